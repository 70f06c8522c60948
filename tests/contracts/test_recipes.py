"""Every shipped recipe is valid, names its paper, and is unchanged after a round trip through YAML."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vireid_cli.engine.network import load_recipe
from vireid_cli.recipe.load import dump, shipped

RECIPES = shipped()


def test_there_are_recipes() -> None:
    assert {"quickstart", "baseline", "sepg"} <= {path.stem for path in RECIPES}
    assert len({path.stem for path in RECIPES}) == len(RECIPES), "bare names must be unique"


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipe(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(str(path))
    text = path.read_text()
    assert recipe.paper, "the paper that it reproduces"
    head = text.split("\n\n")[0] if not text.startswith("#") else re.match(r"(#.*\n)+", text)[0]  # type: ignore[index]
    assert re.search(rf"vireid train --recipe (\S*/)?{path.name}", head), "starts with its launch line"
    written = tmp_path / path.name
    written.write_text(dump(recipe))
    assert load_recipe(str(written)) == recipe


@pytest.mark.parametrize("path", [p for p in RECIPES if p.parent.name == "ablations"], ids=lambda p: p.stem)
def test_ablation_changes_its_parent(path: Path) -> None:
    import yaml

    content = yaml.safe_load(path.read_text())
    parent = load_recipe(str(path.parent / content["extends"]))
    child = load_recipe(str(path))
    settings = {"method": child.method, "data": child.data, "train": child.train}
    before = {"method": parent.method, "data": parent.data, "train": parent.train}
    whole = parent.method.options == child.method.options
    assert settings != before or whole, (
        "an ablation row changes a key, or is the full method by its row's name"
    )


@pytest.mark.parametrize(
    "path", [p for p in RECIPES if p.stem.startswith(("fdnm", "sfcl"))], ids=lambda p: p.stem
)
def test_gradients_through_a_spectrum_are_clipped(path: Path) -> None:
    assert load_recipe(str(path)).train.optimizer.grad_clip == 10.0
