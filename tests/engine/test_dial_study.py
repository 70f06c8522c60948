"""A study with a dial: one tree per value, paired results, a figure."""

from __future__ import annotations

import json
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_sysu_tree
from vireid_cli.data.provenance import MANIFEST
from vireid_cli.engine import dial_study, prepare
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.session import Session
from vireid_cli.errors import RecipeError, UsageError
from vireid_cli.files import read_json
from vireid_cli.recipe.study import Dial, Row, Study

Options = make_dataclass("Options", [("layout", str), ("gap", float, 1.0)])
"""Parameters of the renderer as far as a dial needs them."""


def render(options: Any, session: Session, **others: Any) -> None:
    """Write the people of the fixture, the same at every value of the dial."""
    root = session.data_dir / "rendered" / "SYSU-MM01"
    if root.exists():
        return
    write_sysu_tree(root)
    mark = {"version": 1, "complete": True, "seed": 0, "content_hash": f"gap {options.gap}", "parameters": {}}
    (root / MANIFEST).write_text(json.dumps(mark))


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial_study, "RenderOptions", Options)
    monkeypatch.setattr(prepare, "render", render)


def study(recipe: Path) -> Study:
    rows = (
        Row(label="plain", recipe=str(recipe)),
        Row(label="gem", recipe=str(recipe), set={"method.options.pool": "gem"}),
    )
    return Study(
        name="turned",
        seeds=(0,),
        dial=Dial(name="gap", values=(0.0, 1.0)),
        parent="plain",
        set={"data.size": [64, 32], "train.epochs": 1, "train.steps_per_epoch": 2},
        rows=rows,
    )


def test_the_study_is_repeated_at_each_value(rendered: None, tiny_recipe: Path, tmp_path: Path) -> None:
    engine = Engine.choose(
        device="cpu", precision="fp32", data_dir=tmp_path / "data", runs_dir=tmp_path / "runs"
    )
    result = engine.compare(study(tiny_recipe))
    protocol = "all-single-seeded"
    assert {name for name in result.tables if protocol in name} == {
        f"gap 0, {protocol}",
        f"gap 1, {protocol}",
    }
    assert {path.name for path in (tmp_path / "data" / "dials").iterdir()} == {"gap-0", "gap-1"}
    written = read_json(tmp_path / "runs" / "turned" / "study.json")
    change = written["dial"]["protocols"][protocol]["plain"]["mAP"]
    means = [result.tables[f"gap {value}, {protocol}"].rows[0].metrics["mAP"].mean for value in (0, 1)]
    assert (written["dial"]["from"], written["dial"]["to"]) == (0.0, 1.0)
    assert change["mean"] == pytest.approx(means[1] - means[0])
    assert change["interval"] == pytest.approx([0.0, 0.0]), "the same pixels: paired differences vanish"
    (figure,) = (path for path in result.figures if protocol in path.name)
    assert figure == tmp_path / "runs" / "turned" / "figures" / f"gap-{protocol}.png"
    assert figure.stat().st_size > 10_000
    runs = sorted((tmp_path / "runs" / "turned").glob("gap-*/tiny-*"))
    assert len(runs) == 4
    engine.compare(study(tiny_recipe))
    assert sorted((tmp_path / "runs" / "turned").glob("gap-*/tiny-*")) == runs


def test_data_without_a_rendered_layout_are_refused(
    rendered: None, tiny_recipe: Path, tmp_path: Path
) -> None:
    engine = Engine.choose(device="cpu", data_dir=tmp_path / "data", runs_dir=tmp_path / "runs")
    other = study(tiny_recipe)
    other = other.model_copy(update={"set": {**other.set, "data.dataset": "folder"}})
    with pytest.raises(UsageError, match="needs one rendered dataset; its rows are trained on folder"):
        engine.compare(other)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [((0.5, 0.5), "must be strictly increasing"), ((0.0, 1.5), "less than or equal to 1")],
)
def test_values_of_a_dial(values: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dial(name="gap", values=values)


def test_settings_without_effect_are_refused(tmp_path: Path) -> None:
    from vireid_cli.recipe.study import load_study

    path = tmp_path / "trial.yaml"
    path.write_text(
        "dial: {name: gap, values: [0, 1]}\nevaluate: {datasets: [sysu]}\nruns: other\n"
        "rows:\n  - {label: a, recipe: agw}\n"
    )
    with pytest.raises(
        RecipeError, match=r"evaluate\.datasets has no effect, because the study has dial.*runs has no effect"
    ):
        load_study(str(path))
