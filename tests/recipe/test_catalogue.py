"""The catalogue of recipes, and copies that stay the same experiments."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vireid_cli.engine.network import load_recipe
from vireid_cli.errors import UsageError
from vireid_cli.recipe import catalogue
from vireid_cli.recipe.load import shipped
from vireid_cli.recipe.lookup import shipped_folder
from vireid_cli.recipe.schema import Reported


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without recipes."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_every_shipped_recipe_is_listed_once() -> None:
    result = catalogue.entries()
    assert {entry.path for entry in result} == set(shipped())
    assert len(result) == len(shipped())
    assert all(entry.recipe is not None and not entry.own for entry in result)
    folders = ["/" in entry.name for entry in result]
    assert folders == sorted(folders), "ablations come after the others"
    for entry in result:
        assert shipped_folder() / f"{entry.name}.yaml" == entry.path


def test_own_recipes_come_first_and_a_broken_one_breaks_no_list(elsewhere: Path) -> None:
    (elsewhere / "recipes").mkdir()
    (elsewhere / "recipes" / "mine.yaml").write_text("extends: sepg.yaml\npaper: Mine\n")
    (elsewhere / "recipes" / "broken.yaml").write_text("train: {epoch: 3}\n")
    broken, mine, *others = catalogue.entries()
    assert (broken.name, broken.own, broken.recipe) == ("broken", True, None)
    assert "broken.yaml:1: train.epoch" in broken.problem
    assert mine.recipe is not None
    assert mine.recipe.paper == "Mine"
    assert len(others) == len(shipped())


def test_the_shipped_folder_is_not_listed_as_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shipped_folder().parent)
    assert not any(entry.own for entry in catalogue.entries())


def test_search_in_name_paper_dataset_and_method() -> None:
    result: dict[str, list[str]] = {text: [] for text in ("LLCM", "Zhang and W")}
    for entry in catalogue.entries():
        for text, names in result.items():
            names += [entry.name] if entry.matches(text) else []
    assert {"deen-llcm", "agw-llcm", "deen"} <= set(result["LLCM"])
    assert set(result["Zhang and W"]) == {"deen", "deen-llcm", "deen-regdb"}


def test_figures_in_short() -> None:
    row = Reported(dataset="sysu", protocol="all-single", rank1=69.5, mAP=66.75)
    assert catalogue.metrics(row) == "all-single 69.50 / 66.75"
    assert catalogue.metrics(row.model_copy(update={"mAP": None})) == "all-single 69.50 / –"


def test_header_is_the_leading_comment() -> None:
    assert catalogue.header("# a\n#\n# b\n\nname: x  # c\n# d\n") == "# a\n#\n# b\n"
    assert catalogue.header("name: x\n# d\n") == ""


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_a_copy_is_the_same_experiment_with_its_own_launch_line(path: Path, elsewhere: Path) -> None:
    copied = catalogue.copy(path.stem)
    assert copied == Path("recipes") / path.name
    assert load_recipe(str(copied)) == load_recipe(str(path))
    launch = f"vireid train --recipe {path.name}\n"
    assert launch in catalogue.header(copied.read_text())
    assert load_recipe(path.name) == load_recipe(str(copied))


def test_a_copy_extends_ones_own_parent_if_present() -> None:
    catalogue.copy("sepg")
    own = Path("recipes/sepg.yaml")
    own.write_text(own.read_text().replace("epochs: 120", "epochs: 7"))
    assert load_recipe(str(catalogue.copy("sepg-se"))).train.epochs == 7
    assert load_recipe(str(shipped_folder() / "ablations" / "sepg-se.yaml")).train.epochs == 120


def test_a_shipped_parent_is_found_whatever_lies_above_the_working_folder(elsewhere: Path) -> None:
    shutil.copy(shipped_folder() / "quickstart.yaml", elsewhere.parent / "sepg.yaml")
    assert load_recipe(str(catalogue.copy("sepg-se"))).method.name == "sepg"


def test_copies_of_ones_own_recipe_keep_its_parent(elsewhere: Path) -> None:
    parent = catalogue.copy("baseline", elsewhere / "here" / "parent.yaml")
    child = elsewhere / "here" / "child.yaml"
    child.write_text('extends: "parent.yaml"  # mine\ntrain: {epochs: 3}\n')
    there = catalogue.copy(str(child), elsewhere / "there")
    assert there == elsewhere / "there" / "child.yaml"
    assert f"extends: {parent.resolve()}  # mine" in there.read_text()
    assert load_recipe(str(there)).train == load_recipe(str(child)).train
    beside = catalogue.copy(str(child), child.parent / "other.yaml")
    assert "extends: parent.yaml  # mine" in beside.read_text()


def test_nothing_is_overwritten_unasked() -> None:
    copied = catalogue.copy("sepg")
    copied.write_text("# mine\n")
    with pytest.raises(UsageError, match="exists") as refused:
        catalogue.copy("sepg")
    assert "--force" in refused.value.hint
    assert copied.read_text() == "# mine\n"
    catalogue.copy("sepg", overwrite=True)
    assert load_recipe(str(copied)).method.name == "sepg"
    with pytest.raises(UsageError, match="is the recipe itself"):
        catalogue.copy(str(copied), copied, overwrite=True)


def test_to_names_a_file_or_a_folder(elsewhere: Path) -> None:
    file = catalogue.copy("sepg", Path("my/own.yaml"))
    assert "--recipe my/own.yaml\n" in file.read_text()
    assert load_recipe("my/own.yaml").method.name == "sepg"
    assert catalogue.copy("sepg", Path("my")) == Path("my/sepg.yaml")


def test_an_unknown_recipe_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UsageError, match="no recipe 'sepgg'") as refused:
        catalogue.copy("sepgg")
    assert "sepg" in refused.value.hint
    with pytest.raises(UsageError) as refused:
        catalogue.copy("zzzzzz")
    assert refused.value.hint == "See all: vireid recipes list"
