"""A study is right or refused, and says for each row and seed what ``--set`` would say."""

from __future__ import annotations

from pathlib import Path

import pytest

from vireid_cli.engine.network import load_recipe
from vireid_cli.errors import RecipeError, UsageError
from vireid_cli.recipe.lookup import shipped_folder
from vireid_cli.recipe.study import Row, Study, load_study


def write(folder: Path, text: str) -> str:
    path = folder / "trial.yaml"
    path.write_text(text)
    return str(path)


def test_row_wins_over_study_and_seed_is_set() -> None:
    row = Row(label="a", recipe="baseline", set={"data.size": [96, 48]})
    study = Study(name="s", seeds=(5,), set={"data.size": [64, 32], "train.epochs": 2}, rows=(row,))
    recipe = load_recipe(row.recipe, (*study.settings(row, 5),))
    assert (recipe.data.size, recipe.train.epochs, recipe.train.seed) == ((96, 48), 2, 5)


def test_every_mistake_with_its_line(tmp_path: Path) -> None:
    name = write(
        tmp_path, "seed: [1]\nrows:\n  - {label: a, recipe: baseline}\n  - {lable: b, recipe: agw}\n"
    )
    with pytest.raises(RecipeError) as caught:
        load_study(name)
    text = str(caught.value)
    assert "trial.yaml:1: seed" in text
    assert "Did you mean 'seeds'?" in text
    assert "trial.yaml:4" in text
    assert "lable" in text


def test_labels_are_unique(tmp_path: Path) -> None:
    name = write(tmp_path, "rows:\n  - {label: a, recipe: baseline}\n  - {label: a, recipe: agw}\n")
    with pytest.raises(RecipeError, match=r"trial.yaml:3: rows.1.label: 'a' is another row's label"):
        load_study(name)


def test_unknown_study_names_the_shipped_ones() -> None:
    with pytest.raises(UsageError, match="no study 'nothing'"):
        load_study("nothing")


@pytest.mark.parametrize(
    "path", sorted((shipped_folder() / "studies").glob("*.yaml")), ids=lambda path: path.stem
)
def test_shipped_studies_name_valid_recipes(path: Path) -> None:
    study = load_study(str(path))
    trunk = []
    if study.start:
        load_recipe(study.start.recipe, tuple(study.start.settings()))
        trunk = ["backbone.weights=trunk.safetensors"]  # the name of the starting run
    for row in study.rows:
        load_recipe(row.recipe, (*study.settings(row, study.seeds[0]), *trunk))


@pytest.mark.parametrize("where", ["set", "row 'a'"])
@pytest.mark.parametrize(
    ("key", "value", "by"), [("train.seed", 3, "seeds"), ("backbone.weights", "none", "start")]
)
def test_keys_of_the_study_are_set_nowhere_else(
    tmp_path: Path, where: str, key: str, value: object, by: str
) -> None:
    shared, own = (f"  {key}: {value}\n" if where == place else "" for place in ("set", "row 'a'"))
    row = f"rows:\n- label: a\n  recipe: baseline\n{'  set:' if own else ''}\n{'  ' + own if own else ''}"
    text = f"start: {{recipe: quickstart}}\n{'set:' if shared else ''}\n{shared}{row}"
    with pytest.raises(RecipeError) as refused:
        load_study(write(tmp_path, text))
    assert f"{where}: {key} has no effect, because the study has {by}; remove it" in str(refused.value)
    if by == "start":
        load_study(write(tmp_path, text.replace("start: {recipe: quickstart}\n", "")))


def test_a_row_s_section_wins_over_a_key_in_it() -> None:
    row = Row(label="a", recipe="baseline", set={"train.optimizer": {"name": "adam", "lr": 0.5}})
    shared = {"train.optimizer": {"name": "adam"}, "train.optimizer.lr": 0.1}
    study = Study(name="s", seeds=(5,), set=shared, rows=(row,))
    assert load_recipe(row.recipe, tuple(study.settings(row, 5))).train.optimizer.lr == 0.5


def test_parents_are_the_rows_own_else_the_studys() -> None:
    rows = (
        Row(label="a", recipe="agw"),
        Row(label="b", recipe="agw"),
        Row(label="c", recipe="agw", parent="b"),
    )
    assert Study(rows=rows, parent="a").parents() == {"b": "a", "c": "b"}
    assert Study(rows=rows).parents() == {"c": "b"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("name: ../x\nrows:\n  - {label: a, recipe: agw}\n", "name: this can't be the name of a folder"),
        ("runs: ..\nrows:\n  - {label: a, recipe: agw}\n", "runs: this can't be the name of a folder"),
        ("parent: z\nrows:\n  - {label: a, recipe: agw}\n", "parent 'z': no row has this label"),
        ("rows:\n  - {label: a, recipe: agw, parent: y}\n", "row 'a': parent 'y': no row has this label"),
        ("rows:\n  - {label: a, recipe: agw, parent: a}\n", "row 'a': parent: name another row"),
    ],
)
def test_a_parent_is_another_row(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_study(write(tmp_path, line))
