"""Files of the folder of recipes: the same search for recipes, studies and tuning studies."""

from __future__ import annotations

from pathlib import Path

import pytest

from vireid_cli.errors import RecipeError, UsageError
from vireid_cli.recipe.lookup import KINDS, RECIPE, STUDY, TUNING, Kind, find_file, shipped_folder
from vireid_cli.recipe.study import load_study
from vireid_cli.recipe.tuning import load_tuning

SHIPPED = {RECIPE: "sepg", STUDY: "signs", TUNING: "quickstart-rates"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_is_before_ones_own_and_these_before_the_shipped(kind: Kind, tmp_path: Path) -> None:
    name = SHIPPED[kind]
    assert find_file(name, kind).is_relative_to(shipped_folder())
    own = Path("recipes") / kind.folders[0] / f"{name}.yaml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_file(name, kind) == own
    Path(f"{name}.yaml").touch()
    assert find_file(name, kind) == Path(f"{name}.yaml")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "mine.yaml").touch()
    assert find_file("~/mine", kind) == tmp_path / "home" / "mine.yaml"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_another_kind_is_refused_with_its_command(kind: Kind, other: Kind) -> None:
    names = {path.stem for folder in kind.folders for path in (shipped_folder() / folder).glob("*.yaml")}
    name = SHIPPED[other]
    if name in names:
        return
    with pytest.raises(UsageError, match=f"'{name}' is {other.title}, not {kind.title}") as error:
        find_file(name, kind)
    assert error.value.hint == f"{other.verb} {name}"


@pytest.mark.parametrize(
    ("kind", "wrong", "near"),
    [(RECIPE, "spg", "sepg"), (STUDY, "sign", "signs"), (TUNING, "quickstart-rate", "quickstart-rates")],
)
def test_the_nearest_names_are_shown(kind: Kind, wrong: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"There is no {kind.noun} '{wrong}'") as error:
        find_file(wrong, kind)
    assert near in error.value.hint
    with pytest.raises(UsageError) as error:
        find_file("zzzz", kind)
    assert error.value.hint.startswith(("Known: ", "See all: "))


def test_a_missing_key_names_the_kind_and_the_file(tmp_path: Path) -> None:
    Path("a.yaml").write_text("seeds: [0]\n")
    Path("b.yaml").write_text("space: {train.optimizer.lr: {float: [0.1, 0.2]}}\n")
    with pytest.raises(RecipeError, match=r"The study a\.yaml is invalid: one mistake\.\n  rows: this key"):
        load_study("a")
    with pytest.raises(RecipeError, match=r"The tuning study b\.yaml is invalid: one mistake\.\n  recipe:"):
        load_tuning("b")
