"""Attention of trained runs through the command line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command

TRAIN = ("train", "--recipe", "tiny.yaml", "--set", "train.epochs=1", "--set", "train.steps_per_epoch=1")


def written(message: Any) -> Path:
    assert message.code == 0, message.err
    return Path(message.out.split("wrote ")[1].splitlines()[0])


def test_one_run_and_two(vireid: Command, place: Path) -> None:
    first = written(vireid(*TRAIN))
    alone = written(vireid("visualize", "attention", "--ids", 2, "--steps", 2, "--format", "svg"))
    assert alone == first / "figures" / "attention.svg"
    content = alone.read_bytes()
    repeated = vireid("visualize", "attention", first, "--ids", 2, "--steps", 2, "--out", "again.svg")
    assert written(repeated).read_bytes() == content
    named = ("--pid", 12, "--pid", 3, "--steps", 2, "--out", "named.svg")
    assert written(vireid("visualize", "attention", *named)).read_bytes() != content

    second = written(vireid(*TRAIN, "--seed", 5))
    both = written(
        vireid("visualize", "attention", first, second, "--ids", 2, "--steps", 2, "--out", "two.svg")
    )
    assert both.stat().st_size > len(content)

    unknown = vireid("visualize", "attention", "--pid", 999)
    assert unknown.code == 2
    assert "pid 999 does not exist" in unknown.err
    many = vireid("visualize", "attention", *[first] * 7)
    assert many.code == 2
    assert "1 to 6 runs" in many.err
    text = (second / "recipe.yaml").read_text()
    (second / "recipe.yaml").write_text(text.replace("dataset: sysu", "dataset: regdb"))
    mixed = vireid("visualize", "attention", first, second)
    assert mixed.code == 2
    assert "Name runs of one dataset" in mixed.err
    shutil.rmtree(first / "checkpoints")
    bare = vireid("visualize", "attention", first)
    assert bare.code == 2
    assert "checkpoint" in bare.err


def test_training_identities_cause_a_warning(vireid: Command, place: Path) -> None:
    from vireid_cli.data.identity import find_people
    from vireid_cli.engine.session import data_folder

    run = written(vireid(*TRAIN))
    records = find_people("sysu", data_folder()).records
    trained = records.pids[records.splits == "train"].min()
    result = vireid("visualize", "attention", "--pid", trained, "--steps", 1, "--out", "seen.svg")
    assert written(result).name == "seen.svg"
    assert f"{run.name} was trained on pid {trained}: marked in the figure" in " ".join(result.err.split())
    fresh = vireid("visualize", "attention", "--ids", 1, "--steps", 1, "--out", "fresh.svg")
    assert written(fresh).name == "fresh.svg"
    assert "trained on" not in fresh.err


@pytest.mark.parametrize("words", [("attention",), ("attention", "nowhere")])
def test_without_a_run_the_error_says_so(vireid: Command, place: Path, words: tuple[str, ...]) -> None:
    result = vireid("visualize", *words)
    assert result.code == 2
    assert "run" in result.err
