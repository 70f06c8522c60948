"""Tuning studies: every mistake is named before the first trial."""

from __future__ import annotations

from pathlib import Path

import pytest

from vireid_cli.errors import RecipeError, UsageError
from vireid_cli.recipe.load import find
from vireid_cli.recipe.lookup import shipped_folder
from vireid_cli.recipe.tuning import Dimension, load_tuning

LR = "space: {train.optimizer.lr: {float: [1e-4, 1e-2], log: true}}"


def write(folder: Path, text: str) -> str:
    path = folder / "study.yaml"
    path.write_text(text)
    return str(path)


def test_a_study_is_loaded(tmp_path: Path) -> None:
    study = load_tuning(
        write(
            tmp_path,
            "recipe: quickstart\nset: {data.split: train}\nspace:\n  train.epochs: {int: [2, 9], step: 3}\n"
            "  train.optimizer.name: {choices: [adamw, sgd]}\n  data.augment.flip: {choices: [0.0, 0.5]}\n",
        )
    )
    assert study.name == "study"
    assert study.size == 3 * 2 * 2
    assert study.settings({"train.epochs": 5}) == (
        'data.split="train"',
        "train.epochs=5",
        'train.select="val"',
    )
    assert Dimension.model_validate({"float": [0, 1]}).size == float("inf")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe: quickstart\nspace: {}", "space is empty"),
        ("recipe: quickstart", "space: this key is required"),
        (LR, "recipe: this key is required"),
        (f"recipe: a\ntrails: 3\n{LR}", "study.yaml:2: trails: unknown key. Did you mean 'trials'"),
        ("recipe: a\nspace: {train.epochs: {int: [3]}}", "value 2 of a list is missing"),
        ("recipe: a\nspace: {train.epochs: {int: [3, 3]}}", "expected low < high"),
        ("recipe: a\nspace: {train.epochs: {int: [3, 4], float: [1, 2]}}", "expected one of float"),
        ("recipe: a\nspace: {train.epochs: {}}", "expected one of float"),
        ("recipe: a\nspace: {train.epochs: {float: [0, 1], log: true}}", "log needs positive numbers"),
        ("recipe: a\nspace: {train.epochs: {choices: []}}", "choices is empty"),
        ("recipe: a\nspace: {train.epochs: {choices: [1, 1]}}", "each choice once"),
        ("recipe: a\nspace: {train.epochs: {choices: [1, 2], log: true}}", "no effect on choices"),
        ("recipe: a\nspace: {train.seed: {int: [0, 9]}}", r"train\.seed can't be searched"),
        ("recipe: a\nspace: {data: {choices: [1, 2]}}", "data can't be searched"),
        ("recipe: a\nspace: {data.split: {choices: [train, all]}}", r"data\.split can't be searched"),
        (f"recipe: a\nset: {{train.optimizer.lr: 1.0}}\n{LR}", "has no effect, because the space has it"),
        (f"recipe: a\nset: {{train.select: last}}\n{LR}", "is val in every trial"),
        (f"recipe: a\nname: ../x\n{LR}", "study.yaml:2: name: this can't be the name of a folder of results"),
        (f"recipe: a\nname: means\n{LR}", "vireid uses a folder of this name itself"),
        ("recipe: a\nspace: {train.seed: {int: [0, 9]}}", r"set it in 'set'\.$"),
        (f"recipe: a\nobjective: mINP\n{LR}", "objective: expected 'mAP' or 'rank1'"),
        (f"recipe: a\npruner: {{name: asha}}\n{LR}", r"pruner\.name"),
        (f"recipe: a\ntrials: 0\n{LR}", "trials"),
        ("rows: []\nrecipe: a", "is a comparison of recipes"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_tuning(write(tmp_path, text))


def test_shipped_studies_are_found_and_are_no_recipes() -> None:
    shipped = sorted((shipped_folder() / "tuning").glob("*.yaml"))
    assert shipped
    assert load_tuning(shipped[0].stem).name == shipped[0].stem
    with pytest.raises(UsageError, match="vireid tune"):
        find(shipped[0].stem)
    with pytest.raises(UsageError, match="no tuning study 'nothing'"):
        load_tuning("nothing")
