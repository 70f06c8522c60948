"""Resuming: one process at a time, the run's own precision, and a warning about different numerics."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Listener
from vireid_cli import files
from vireid_cli.engine.checkpoint import load_position
from vireid_cli.engine.embed import load_trained
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Precision, Runtime
from vireid_cli.engine.session import Session
from vireid_cli.engine.train import resume, train
from vireid_cli.errors import DataError, Interrupted, UsageError
from vireid_cli.lock import locked
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder, changed_recipe_warning

CPU = torch.device("cpu")


def session(
    data: Path,
    precision: Precision,
    reporter: Reporter | None = None,
    *,
    runs: Path = Path("unused"),
    automatic: bool = False,
) -> Session:
    return Session(Runtime(CPU, precision, automatic), reporter or Reporter(), data, runs)


@pytest.fixture
def cut(tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, stop_after: Callable[[int], None]) -> RunFolder:
    """A run in bf16 that was stopped after its first epoch."""
    stop_after(3)
    with pytest.raises(Interrupted, match=r"^Stopped; saved a checkpoint to .*last\.\n") as caught:
        train.train(
            load_recipe(str(tiny_recipe)),
            session(sysu_tree, "bf16", runs=tmp_path / "my runs"),
        )
    run = RunFolder(next((tmp_path / "my runs").glob("tiny-*")))
    assert caught.value.hint == f"Resume: vireid train --resume '{run.folder}' --data {sysu_tree}"
    return run


def test_its_own_precision_unless_another_is_asked_for(
    cut: RunFolder, sysu_tree: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    autocast = Runtime.autocast

    def look(self: Runtime) -> AbstractContextManager[Any]:
        seen.append(self.precision)
        return autocast(self)

    monkeypatch.setattr(Runtime, "autocast", look)
    resume.resume(cut, session(sysu_tree, "fp32", listener, automatic=True))
    assert len(seen) >= 3  # a step each, and the calibration after each epoch
    assert set(seen) == {"bf16"}
    assert listener.warnings == []
    assert "resumed" not in cut.environment()


def test_a_changed_recipe_is_named(cut: RunFolder, sysu_tree: Path, listener: Listener) -> None:
    text = cut.recipe_file.read_text()
    assert changed_recipe_warning(cut) == ""
    cut.recipe_file.write_text(re.sub(r"log_every: \d+", "log_every: 7", text))
    session_of_cut = session(sysu_tree, "bf16", listener)
    load_trained(cut, session_of_cut)
    resume.resume(cut, session_of_cut)
    first, second = listener.warnings
    assert first == second
    assert first.startswith(f"{cut.recipe_file} was edited or damaged after the run began")
    cut.recipe_file.write_text(text)
    assert changed_recipe_warning(cut) == ""
    environment = dict(cut.environment())
    del environment["recipe_sha256"]  # earlier versions wrote none
    files.write_sealed(cut.folder / schema.ENVIRONMENT, environment)
    cut.recipe_file.write_text(f"{text}\n")
    assert changed_recipe_warning(cut) == ""


def test_a_stop_in_the_middle_of_a_step_names_the_older_checkpoint(
    cut: RunFolder, sysu_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Runtime) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Runtime, "autocast", interrupted)
    with pytest.raises(
        Interrupted, match=r"^Stopped within a step; the previous checkpoint is .*last\.\n"
    ) as caught:
        resume.resume(cut, session(sysu_tree, "bf16"))
    assert caught.value.hint.startswith("Resume: vireid train --resume")
    assert load_position(cut.checkpoints / "last").global_step == 3


def test_different_numerics_are_warned_of_and_recorded(
    cut: RunFolder, sysu_tree: Path, listener: Listener
) -> None:
    resume.resume(cut, session(sysu_tree, "fp32", listener))
    assert len(listener.warnings) == 1
    assert "resuming with different precision fp32 (was bf16)" in listener.warnings[0]
    environment = cut.environment()
    assert environment["precision"] == "bf16"
    assert environment["resumed"] == [{"global_step": 3, "precision": "fp32"}]


def test_one_process_trains_a_run(cut: RunFolder, sysu_tree: Path) -> None:
    before = cut.log.read_bytes()
    with locked(cut.folder, cut.lock), pytest.raises(DataError, match="another process"):
        resume.resume(cut, session(sysu_tree, "bf16"))
    assert cut.log.read_bytes() == before


def test_a_recipe_that_cannot_be_validated_leaves_no_run(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> None:
        raise UsageError("no validation identities")

    monkeypatch.setattr(train, "validation_plan", refuse)
    recipe = load_recipe(str(tiny_recipe), ("data.split=train", "train.select=val"))
    with pytest.raises(UsageError):
        train.train(recipe, session(sysu_tree, "fp32", runs=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["meta", "mps:0", "foo", "cuda:99"])
def test_a_device_that_does_not_compute_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="can't be used"):
        Runtime.choose(name)
