"""Tuning: results, pruning, failures, repetitions, several processes, kills, and the best recipe."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import Listener
from vireid_cli import files
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.train import train
from vireid_cli.engine.tune import journal, report, trials
from vireid_cli.engine.tune import tune as verb
from vireid_cli.engine.tune.append_lock import AppendLock
from vireid_cli.engine.tune.report import TuningResult
from vireid_cli.engine.tune.tune import tune
from vireid_cli.errors import DataError, Interrupted, RecipeError, UsageError, VireidError
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.tuning import TuningStudy
from vireid_cli.results import run as runs
from vireid_cli.results.run import RunFolder

optuna = pytest.importorskip("optuna")

CPU = Runtime(torch.device("cpu"), "fp32")
SPACE: dict[str, Any] = {
    "train.optimizer.lr": {"float": [1e-4, 1e-1], "log": True},
    "data.augment.flip": {"choices": [0.0, 0.5]},
}


@pytest.fixture
def session(sysu_tree: Path, tmp_path: Path, listener: Listener) -> Session:
    return Session(CPU, listener, sysu_tree, tmp_path / "runs")


@pytest.fixture
def study(tiny_recipe: Path) -> Callable[..., TuningStudy]:
    """A function that makes a study of the tiny recipe with one step per epoch."""

    def make(space: Mapping[str, Any] = SPACE, **keys: Any) -> TuningStudy:
        shared = {"data.split": "train", "train.steps_per_epoch": 1, "train.epochs": 2}
        shared = {key: value for key, value in shared.items() if key not in space}
        given = {"name": "s", "trials": 3, "pruner": {"name": "none"}, **keys}
        settings = shared | given.pop("set", {})
        return TuningStudy.model_validate(
            {"recipe": str(tiny_recipe), "set": settings, "space": space, **given}
        )

    return make


Trainer = Callable[..., None]


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    """A function that replaces the training by a function of learning rate and epoch, at once."""

    def simulate(value_of: Callable[[float, int], float], figures: bool = False) -> None:
        def trained(recipe: Any, session: Session, *, name: str, watch: Any) -> RunFolder:
            for path in session.runs_dir.glob("*/recipe.yaml"):
                if path.read_text() == dump(recipe):
                    name = path.parent.name
            run = RunFolder(session.runs_dir / name)
            files.write_text(run.recipe_file, dump(recipe))
            for epoch in range(1, recipe.train.epochs + 1):
                value = value_of(recipe.train.optimizer.lr, epoch)
                val = {"rank1": value / 2, "mAP": value, "mINP": 0.0}
                row = {"kind": "epoch", "epoch": epoch - 1, "global_step": epoch, "val": val}
                runs.append_row(run.log, row)
                watch(epoch, val)
            return run

        monkeypatch.setattr(verb, "trained", trained)
        if not figures:
            monkeypatch.setattr(report, "_draw", lambda *arguments: [])

    return simulate


def values(result: TuningResult) -> list[tuple[Any, ...]]:
    return [(row.state, row.value, dict(row.settings)) for row in result.rows]


def test_the_best_recipe_is_that_of_its_trial(
    study: Callable[..., TuningStudy], session: Session, metrics: Trainer
) -> None:
    metrics(lambda rate, epoch: min(1.0, 10 * rate) / epoch, figures=True)
    result = tune(study(trials=5, objective="rank1"), session)
    assert result.counts() == {"complete": 5, "pruned": 0, "failed": 0}
    assert result.best is not None
    assert result.best.settings["train.optimizer.lr"] == max(
        r.settings["train.optimizer.lr"] for r in result.rows
    )
    run = RunFolder(result.folder / result.best.run)
    best = load_recipe(str(result.folder / "best.yaml"))
    assert dump(best) == run.recipe_file.read_text()
    assert result.best.value == next(run.log_rows())["val"]["rank1"], "the first epoch has the best mAP"
    assert (best.train.select, best.data.split) == ("val", "train")
    assert best.train.optimizer.lr == result.best.settings["train.optimizer.lr"]
    content = json.loads((result.folder / "tune.json").read_text())
    assert [trial["rank1"] for trial in content["trials"]] == [row.value for row in result.rows]
    assert content["best"] == result.best.number
    names = {path.name for path in result.paths}
    assert names == {"tune.json", "best.yaml", "history.png", "slices.png", "importance.png"}
    assert max(result.importance, key=result.importance.__getitem__) == "train.optimizer.lr"
    assert not list(result.folder.glob("trial-*/evaluation")), "test identities are never evaluated"


def test_a_continued_study_equals_an_uninterrupted_one(
    study: Callable[..., TuningStudy], session: Session, metrics: Trainer
) -> None:
    metrics(lambda rate, epoch: rate)
    keys = {"sampler": {"startup": 2}}
    whole = tune(study(name="whole", trials=5, **keys), session)
    assert len(tune(study(name="cut", trials=3, **keys), session).rows) == 3
    parts = tune(study(name="cut", trials=5, **keys), session)
    assert values(parts) == values(whole)
    assert values(tune(study(name="cut", trials=5, **keys), session)) == values(whole), "complete"
    assert values(tune(study(name="cut", **keys), session, 0)) == values(whole), "only the report"
    other = tune(study(name="other", trials=1, sampler={"seed": 1}), session)
    assert values(other)[0] != values(whole)[0]


def test_pruned_trials_end_early_and_are_counted(
    study: Callable[..., TuningStudy], session: Session, metrics: Trainer
) -> None:
    metrics(lambda rate, epoch: rate)
    result = tune(study(trials=8, set={"train.epochs": 3}, pruner={"name": "median", "startup": 2}), session)
    counts = result.counts()
    assert counts["pruned"] > 0
    assert counts["complete"] + counts["pruned"] == 8
    for row in result.rows:
        assert row.epochs == (3 if row.state == "complete" else 1)
    band = tune(study(name="band", trials=6, set={"train.epochs": 3}, pruner={"name": "hyperband"}), session)
    assert sum(band.counts().values()) == 6


def test_the_same_parameters_are_trained_once(
    study: Callable[..., TuningStudy], session: Session, metrics: Trainer, listener: Listener
) -> None:
    metrics(lambda rate, epoch: rate)
    space = {
        "data.augment.flip": {"choices": [0.0, 0.5]},
        "train.optimizer.name": {"choices": ["sgd", "adamw"]},
    }
    result = tune(study(space, trials=50), session)
    assert len(list(result.folder.glob("trial-*"))) == 4
    assert len({json.dumps(dict(row.settings)) for row in result.rows}) == 4, "every combination"
    assert len(result.rows) < 50, "it ends after the last combination"
    for row in result.rows:
        if row.note:
            first = result.rows[int(row.note.removeprefix("repeats trial "))]
            assert (row.settings, row.value, row.run) == (first.settings, first.value, first.run)


def test_failed_trials_are_counted_and_three_in_a_row_end_the_study(
    study: Callable[..., TuningStudy],
    session: Session,
    metrics: Trainer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics(lambda rate, epoch: rate)
    space = {
        "train.optimizer.name": {"choices": ["sgd", "adamw"]},
        "train.optimizer.momentum": {"choices": [0.9, 0.5]},  # has no effect on adamw
    }
    result = tune(study(space, trials=6), session)
    failed = [row for row in result.rows if row.state == "failed"]
    assert failed
    assert all("momentum" in row.note for row in failed)
    assert result.best is not None

    def fail(*arguments: Any, **options: Any) -> None:
        raise VireidError("the disk is full", "Free some space.")

    monkeypatch.setattr(verb, "trained", fail)
    with pytest.raises(VireidError, match="3 trials in a row failed, the last one: the disk is full"):
        tune(study(name="full", trials=9), session)
    end = tune(study(name="full", trials=9), session, 0)
    assert end.counts() == {"complete": 0, "pruned": 0, "failed": 3}
    assert {path.name for path in end.paths} == {"tune.json"}


def test_an_interrupted_trial_is_continued(
    study: Callable[..., TuningStudy], session: Session, stop_after: Callable[[int], None], listener: Listener
) -> None:
    stop_after(3)  # the first step of the second trial, or the second epoch's
    with pytest.raises(Interrupted, match=r"Continue: vireid tune 'my s\.yaml' --data") as caught:
        tune(study(trials=3, set={"train.epochs": 4}), session, source="my s.yaml")
    assert f"--runs {session.runs_dir}" in caught.value.hint
    assert caught.value.exit_code == 130
    result = tune(study(trials=2, set={"train.epochs": 4}), session)
    assert any("resuming" in line for line in listener.infos)
    assert result.counts() == {"complete": 2, "pruned": 0, "failed": 1}
    assert [row.epochs for row in result.rows if row.state == "complete"] == [4, 4]
    assert result.rows[0].note == "interrupted; queued again"
    assert result.rows[0].settings == result.rows[1].settings


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_an_interruption_changes_no_later_trial(
    study: Callable[..., TuningStudy], tmp_path: Path, sampler: str
) -> None:
    space = {"train.optimizer.lr": SPACE["train.optimizer.lr"]}
    made = study(space, sampler={"name": sampler, "startup": 2} if sampler == "tpe" else {"name": sampler})

    def rates(cut: int | None) -> list[float]:
        """Learning rates of six trials; ``cut`` is interrupted once."""
        opened = optuna.create_study(direction="maximize")
        finished: list[float] = []
        for call in itertools.count():
            with trials.next_trial(made, opened, tmp_path, 6) as trial:
                if trial is None:
                    return finished
                if call == cut:
                    trials.fail(opened, trial, trials.INTERRUPTED)
                    continue
                finished.append(trial.params["train.optimizer.lr"])
                opened.tell(trial, finished[-1])
        raise AssertionError

    assert rates(None) == rates(1) == rates(3)
    assert len(set(rates(None))) == 6


def test_another_study_and_other_folders_are_refused(
    study: Callable[..., TuningStudy], session: Session, metrics: Trainer
) -> None:
    metrics(lambda rate, epoch: rate)
    tune(study(trials=1), session)
    other = {"train.optimizer.lr": {"float": [1e-3, 1e-1], "log": True}}
    with pytest.raises(UsageError, match="trials of another study: space changed"):
        tune(study(other), session)
    with pytest.raises(UsageError, match="recipe changed"):
        tune(study(set={"train.epochs": 1}), session)
    with pytest.raises(UsageError, match="objective changed"):
        tune(study(objective="rank1"), session)
    assert tune(study(trials=1, pruner={"name": "median"}), session).counts()["complete"] == 1
    files.write_json(session.runs_dir / "compared" / "study.json", {})
    with pytest.raises(UsageError, match="other results"):
        tune(study(name="compared"), session)


def test_a_damaged_journal_is_named_and_a_cut_line_is_removed(
    study: Callable[..., TuningStudy], session: Session, metrics: Trainer
) -> None:
    metrics(lambda rate, epoch: rate)
    before = tune(study(trials=1), session)
    path = before.folder / journal.JOURNAL
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"wor')
    assert values(tune(study(trials=1), session)) == values(before)
    assert path.read_bytes().startswith(whole)
    path.write_bytes(b"garbage\n" + whole)
    with pytest.raises(DataError, match=r"journal\.log is damaged"):
        tune(study(trials=1), session)


def test_a_locked_journal_is_named(
    study: Callable[..., TuningStudy], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "WAIT_SECONDS", 0.1)
    folder = session.runs_dir / "s"
    with journal.journal_lock(folder), pytest.raises(DataError, match="being written by another process"):
        tune(study(), session)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"train.optimzer.lr": {"float": [0.1, 1]}}, "Did you mean 'train.optimizer'"),
        ({"train.epochs": {"float": [1.5, 2.5]}}, r"space: train\.epochs = 1\.5.*valid integer"),
        ({"method.options.stem": {"choices": ["shared", "both"]}}, 'space: method.options.stem = "both"'),
        ({"data.sampler.identities": {"int": [1, 4]}}, r"space: data\.sampler\.identities = 1"),
    ],
)
def test_wrong_keys_are_refused_before_the_first_trial(
    study: Callable[..., TuningStudy], session: Session, space: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        tune(study(space), session)
    assert not (session.runs_dir / "s").exists()


def test_a_split_without_validation_identities_is_refused(
    study: Callable[..., TuningStudy], session: Session
) -> None:
    with pytest.raises(UsageError, match=r"data\.split is trainval .* never sees"):
        tune(study(set={"data.split": "trainval"}), session)


@pytest.mark.long
def test_a_trained_study_gives_its_best_recipe(study: Callable[..., TuningStudy], session: Session) -> None:
    """Real trainings; the best recipe trains as it stands, with the fingerprint of its trial."""
    result = tune(study(trials=2, set={"train.epochs": 1}), session)
    assert result.best is not None
    run = RunFolder(result.folder / result.best.run)
    (row,) = [row for row in run.log_rows() if row["kind"] == "epoch"]
    assert result.best.value == row["val"]["mAP"]
    again = train(load_recipe(str(result.folder / "best.yaml")), session, "again")
    assert again.environment()["recipe_sha256"] == run.environment()["recipe_sha256"]
    assert again.log.read_bytes() == run.log.read_bytes()


def in_child(work: Callable[[], object]) -> int:
    """Run a function in a forked process; returns its number."""
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.long
def test_a_killed_trial_is_marked_and_two_processes_share_the_rest(
    study: Callable[..., TuningStudy], session: Session, metrics: Trainer, tmp_path: Path
) -> None:
    flag = tmp_path / "trains"

    def slow(rate: float, epoch: int) -> float:
        flag.touch()
        time.sleep(0.05)
        return rate

    metrics(slow)
    many = study(trials=8, set={"train.epochs": 3})
    killed = in_child(lambda: tune(many, session))
    while not flag.exists():
        time.sleep(0.01)
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    children = [in_child(lambda: tune(many, session)) for _ in range(2)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    result = tune(many, session, 0)
    assert result.counts() == {"complete": 8, "pruned": 0, "failed": 1}
    (failed,) = (row for row in result.rows if row.state == "failed")
    assert failed.note == "its process ended without a result; queued again"
    again = [row for row in result.rows if row.settings == failed.settings]
    assert [row.state for row in again] == ["failed", "complete"]
    assert len({json.dumps(dict(row.settings)) for row in result.rows}) == 8
    assert not list(result.folder.glob(".trial-*.lock"))


def test_a_dataset_without_validation_identities_is_refused(
    study: Callable[..., TuningStudy], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = SimpleNamespace(splits=np.array(["train", "test"]))
    store = SimpleNamespace(records=records, info=SimpleNamespace(dataset="regdb"))
    monkeypatch.setattr(verb, "ensure_prepared", lambda *arguments: store)
    with pytest.raises(UsageError, match="regdb has no validation identities"):
        tune(study(), session)
    assert not (session.runs_dir / "s").exists()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_lock_of_a_killed_process_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    def hold() -> None:
        AppendLock(path).acquire()
        (tmp_path / "held").touch()
        time.sleep(60)

    child = in_child(hold)
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    lock = AppendLock(path)
    assert lock.acquire()
    lock.release()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_waits_for_the_same_trial_of_another(
    study: Callable[..., TuningStudy], session: Session, metrics: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(rate: float, epoch: int) -> float:
        time.sleep(0.1)
        return rate

    metrics(slow)
    monkeypatch.setattr(verb, "POLL_SECONDS", 0.02)
    one = study(
        {"data.augment.flip": {"choices": [0.5]}, "train.optimizer.name": {"choices": ["sgd", "adamw"]}}
    )
    children = [in_child(lambda: tune(one, session)) for _ in range(3)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    result = tune(one, session, 0)
    assert result.counts()["failed"] == 0
    assert len(list(result.folder.glob("trial-*"))) == len({str(row.settings) for row in result.rows})
