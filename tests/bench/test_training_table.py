"""The table of training steps: its rows, its file, and a stop or an error within it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import Command
from vireid_cli.bench import training_table
from vireid_cli.bench.memory import PeakMemory
from vireid_cli.bench.training import TrainingStep
from vireid_cli.bench.training_table import reduced, shipped_names
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session

SMALL = ["backbone.name=resnet18", "backbone.width=16", "backbone.weights=none", "data.size=[64, 32]"]
TWO = ["bench", "train", "--recipe", "quickstart", "--recipe", "agw", "--repeats", 1, "--device", "cpu"]
SETTINGS = [word for setting in SMALL for word in ("--set", setting)]


def test_a_table_has_rows_machine_and_file(vireid: Command, tmp_path: Path) -> None:
    file = tmp_path / "new" / "table.json"
    result = vireid(*TWO, *SETTINGS, "--json", "--out", file, "--precision", "fp32")
    assert result.code == 0, result.err
    table = json.loads(result.out)
    assert table == json.loads(file.read_text())
    assert [row["recipe"] for row in table["rows"]] == ["quickstart", "agw"]
    for row in table["rows"]:
        low, high = row["seconds_per_step_quartiles"]
        assert low <= row["seconds_per_step"] <= high
        assert row["images_per_second"] == pytest.approx(row["images_per_step"] / row["seconds_per_step"])
        assert row["peak_memory_bytes"] > 1e7
        assert (row["precision"], row["compile"], row["channels_last"]) == ("fp32", "off", True)
    first, second = table["rows"]
    assert (first["images_per_step"], second["images_per_step"]) == (8, 16)
    assert first["own"] == {"size": "64x32", "images_per_step": 64}
    assert first["reduced"]
    assert not table["stopped"]
    assert {"cpu", "cuda", "device", "threads", "commit", "torch", "numpy", "vireid"} <= table.keys()
    shown = vireid(*TWO, *SETTINGS, "--precision", "fp32")
    assert "8*" in shown.out
    assert "fp32, channels-last" in shown.out


def test_a_stop_keeps_the_finished_rows(
    vireid: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = training_table.step_values

    def stopped(recipe: Any, session: Session, repeats: int) -> dict[str, Any]:
        if recipe.name == "agw":
            raise KeyboardInterrupt
        return measured(recipe, session, repeats)

    monkeypatch.setattr(training_table, "step_values", stopped)
    file = tmp_path / "table.json"
    result = vireid(*TWO, *SETTINGS, "--json", "--out", file)
    assert result.code == 130
    assert "1 of 2 recipes measured" in result.err
    assert str(file) in " ".join(result.err.split())
    table = json.loads(result.out)
    assert table == json.loads(file.read_text())
    assert [row["recipe"] for row in table["rows"]] == ["quickstart"]
    assert (table["planned"], table["stopped"]) == (2, True)


def test_a_recipe_that_fails_has_a_row_with_its_error(
    vireid: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = vireid(*TWO, *SETTINGS, "--set", "method.options.stem=shared", "--json")
    assert result.code == 0, result.err
    first, second = json.loads(result.out)["rows"]
    assert "error" not in first
    assert "stem" in second["error"]

    def full(recipe: Any, session: Session, repeats: int) -> dict[str, Any]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training_table, "step_values", full)
    result = vireid(*TWO, *SETTINGS)
    assert result.code == 1
    assert "out of memory" in result.err
    assert "out of memory" in result.out


def test_one_recipe_is_written_to_a_file_too(vireid: Command, tmp_path: Path) -> None:
    file = tmp_path / "step.json"
    result = vireid("bench", "train", "--repeats", 1, *SETTINGS, "--json", "--out", file)
    assert json.loads(result.out) == json.loads(file.read_text())
    assert json.loads(result.out)["recipe"] == "quickstart"


def test_all_shipped_recipes_have_a_reduced_form(vireid: Command) -> None:
    names = shipped_names()
    assert {"agw", "fdnm", "sfcl", "lightcnn-buaa", "quickstart"} <= set(names)
    assert not [name for name in names if "/" in name]
    for name in names:
        recipe = reduced(name, ())
        assert recipe.data.sampler.identities == 4
        assert recipe.data.image_size == (96, 48) or recipe.method.name == "face"
    assert reduced("agw", ("data.size=64x32",)).data.image_size == (64, 32)
    result = vireid("bench", "train", "--all", "--recipe", "agw")
    assert result.code == 2
    assert "exclude each other" in result.err


def test_the_options_of_a_training_are_measured() -> None:
    settings = ("train.ema=0.9", "train.accumulate=2", "train.optimizer.fused=true")
    recipe = load_recipe("quickstart", (*SMALL, "data.sampler.identities=4", *settings))
    session = Session(Runtime(torch.device("cpu"), "fp32"), Reporter(), Path(), Path())
    step = TrainingStep(recipe, session)
    before = [p.clone() for group in step.optimizer.param_groups for p in group["params"]]
    step()
    after = [p for group in step.optimizer.param_groups for p in group["params"]]
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert step.fused
    assert step.images == 8


def test_the_peak_of_a_part_excludes_earlier_parts() -> None:
    cpu = torch.device("cpu")
    memory = PeakMemory(cpu)
    if memory.kind != "process":
        pytest.skip("the system can't reset the peak")
    start = memory.read()
    block = np.ones(1 << 27, dtype=np.uint8)
    assert memory.read() - start > 1 << 26
    del block
    assert PeakMemory(cpu).read() - start < 1 << 26
