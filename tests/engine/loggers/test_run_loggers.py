"""Loggers: every number read back and compared with ``train.jsonl``; failures never end a training."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import Listener
from vireid_cli.engine.evaluate.evaluate import evaluate_run
from vireid_cli.engine.evaluate.result import EvaluateOptions
from vireid_cli.engine.loggers import run_loggers
from vireid_cli.engine.loggers.backend import (
    LoggerBackend,
    Numbers,
    Picture,
    Recorded,
    RunDetails,
    State,
    clean_name,
    numbers_of,
)
from vireid_cli.engine.loggers.identity import read_identity
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.resume import resume
from vireid_cli.engine.train.train import train
from vireid_cli.errors import Interrupted, MissingExtra, RecipeError
from vireid_cli.lock import locked
from vireid_cli.results.run import RunFolder

CPU = Runtime(torch.device("cpu"), "fp32")
ALL = "train.loggers=[tensorboard, mlflow, wandb]"
Key = tuple[str, int]


def expected(run: RunFolder) -> dict[Key, float]:
    """All numbers of ``train.jsonl`` by name and step."""
    rows = [json.loads(line) for line in run.log.read_text().splitlines()]
    pairs = [((name, row["global_step"]), v) for row in rows for name, v in numbers_of(row).items()]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def in_tensorboard(run: RunFolder) -> tuple[dict[Key, list[float]], list[str]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(run.folder / "tensorboard"), size_guidance={"scalars": 0})
    accumulator.Reload()
    values: dict[Key, list[float]] = {}
    for tag in accumulator.Tags()["scalars"]:
        for event in accumulator.Scalars(tag):
            values.setdefault((tag, event.step), []).append(event.value)
    return values, accumulator.Tags()["images"]


def in_mlflow(run: RunFolder) -> tuple[dict[Key, list[float]], Any, list[str]]:
    from mlflow import MlflowClient

    identity = read_identity(run.folder, "mlflow")
    client = MlflowClient(tracking_uri=identity["store"])
    found = client.get_run(identity["run"])
    values: dict[Key, list[float]] = {}
    for name in found.data.metrics:
        for metric in client.get_metric_history(identity["run"], name):
            values.setdefault((name, metric.step), []).append(metric.value)
    return values, found, [file.path for file in client.list_artifacts(identity["run"], "figures")]


def in_wandb(run: RunFolder) -> tuple[dict[Key, list[float]], dict[str, str]]:
    """Numbers of the history in all offline logs, and the configuration in the first."""
    from vireid_cli.engine.loggers.wandb_file import history, records

    values: dict[Key, list[float]] = {}
    config: dict[str, str] = {}
    for path in sorted(run.folder.glob("wandb/offline-run-*/run-*.wandb")):
        for key, value in history(path).items():
            values.setdefault(key, []).append(value)
        for record in records(path):
            if record.WhichOneof("record_type") == "run":
                config |= {item.key: item.value_json for item in record.run.config.update}
    return values, config


def single(values: dict[Key, list[float]]) -> dict[Key, float]:
    """The numbers, each of which must be recorded once."""
    assert all(len(numbers) == 1 for numbers in values.values())
    return {key: numbers[0] for key, numbers in values.items() if not key[0].startswith("evaluation/")}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs; settings of the user's own loggers do not apply."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "runs"


def test_every_number_is_read_back_after_a_resumption(
    tiny_recipe: Path, sysu_tree: Path, home: Path, stop_after: Callable[[int], None], listener: Listener
) -> None:
    for package in ("tensorboard", "mlflow", "wandb"):
        pytest.importorskip(package)
    session = Session(CPU, listener, sysu_tree, home)
    settings = (ALL, "data.split=train", "train.select=val", "train.log_every=1")
    stop_after(4)
    with pytest.raises(Interrupted):
        train(load_recipe(str(tiny_recipe), settings), session, "run")
    run = RunFolder(home / "run")
    assert in_mlflow(run)[1].info.status == "KILLED"
    event_file = next((run.folder / "tensorboard").iterdir())
    event_file.write_bytes(event_file.read_bytes()[:-3])  # cut by a kill
    resume(run, session)
    evaluation = evaluate_run(run, session, EvaluateOptions())[0]

    numbers = expected(run)
    assert {name.partition("/")[0] for name, _ in numbers} == {"train", "epoch", "val"}
    in_board, images = in_tensorboard(run)
    assert single(in_board) == {key: float(np.float32(value)) for key, value in numbers.items()}
    assert {"figures/curves", "figures/cmc"} <= set(images)
    in_store, stored, artifacts = in_mlflow(run)
    assert single(in_store) == numbers
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "run"
    assert stored.data.params["train.optimizer.lr"] == "0.01"
    assert stored.data.tags["torch"] == torch.__version__
    assert artifacts == ["figures/cmc.png", "figures/curves.png"]
    in_history, config = in_wandb(run)
    assert single(in_history) == numbers
    assert json.loads(config["train.optimizer.lr"]) == 0.01
    assert len(list(run.folder.glob("wandb/**/*.png"))) == 2

    name = f"evaluation/{evaluation.protocol}/mAP"
    (step,) = (step for key, step in in_store if key == name)
    assert in_store[name, step] == [evaluation.mAP]
    assert in_board[name, step] == [float(np.float32(evaluation.mAP))]
    assert listener.warnings == []


def test_nothing_is_imported_without_loggers(
    tiny_recipe: Path, sysu_tree: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = ("tensorboard", "mlflow", "wandb", "optuna", "vireid_cli.engine.loggers.worker")
    for name in [name for name in sys.modules if name.startswith(foreign)]:
        monkeypatch.delitem(sys.modules, name)
    session = Session(CPU, Reporter(), sysu_tree, home)
    run = train(load_recipe(str(tiny_recipe)), session, "run")
    evaluate_run(run, session, EvaluateOptions())
    assert [name for name in sys.modules if name.startswith(foreign)] == []
    assert threading.active_count() == sum(not t.name.startswith("vireid-") for t in threading.enumerate())


class Memory:
    """A logger that keeps everything, and fails at a given call of ``write``."""

    def __init__(self, fails_at: int = 0, recorded: Recorded | None = None) -> None:
        self.rows: list[Numbers] = []
        self.pictures: list[str] = []
        self.state: State | None = None
        self.calls, self.fails_at, self.recorded = 0, fails_at, recorded or {}

    def open(self, details: RunDetails, until: int | None) -> Recorded:
        if self.fails_at == -1:
            raise ConnectionError("no route to host")
        return self.recorded

    def write(self, rows: Sequence[Numbers]) -> None:
        self.calls += 1
        if self.calls == self.fails_at:
            raise OSError(28, "No space left on device")
        self.rows += rows

    def draw(self, picture: Picture) -> None:
        self.pictures.append(picture.name)

    def close(self, state: State) -> None:
        self.state = state


@pytest.mark.parametrize(
    ("fails_at", "reason"), [(1, "No space left on device"), (-1, "no route to host"), (0, "")]
)
def test_a_failing_logger_is_reported_once_and_the_training_goes_on(
    tiny_recipe: Path,
    sysu_tree: Path,
    tmp_path: Path,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    fails_at: int,
    reason: str,
) -> None:
    bad, good = Memory(fails_at), Memory()
    backends: dict[str, LoggerBackend] = {"tensorboard": bad, "wandb": good}
    monkeypatch.setattr(run_loggers, "backend_of", backends.__getitem__)
    monkeypatch.setattr(run_loggers, "find_spec", lambda name: True)
    recipe = load_recipe(str(tiny_recipe), ("train.loggers=[tensorboard, wandb]", "train.log_every=1"))
    run = train(recipe, Session(CPU, listener, sysu_tree, tmp_path / "runs"))
    assert {row.step: None for row in good.rows} == dict.fromkeys(range(1, 7))
    received = {(name, row.step): value for row in good.rows for name, value in row.values.items()}
    assert received == expected(run)
    assert good.pictures == ["curves"]
    assert good.state == "finished"
    assert len(listener.warnings) == bool(reason)
    if reason:
        assert "tensorboard failed" in listener.warnings[0]
        assert reason in listener.warnings[0]


def test_rows_that_a_logger_lacks_are_added_by_an_evaluation(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server was gone during the training; while a process trains, only its own loggers pass rows."""
    bad, good = Memory(-1), Memory()
    monkeypatch.setattr(run_loggers, "find_spec", lambda name: True)
    monkeypatch.setattr(run_loggers, "backend_of", lambda name: bad)
    session = Session(CPU, listener, sysu_tree, tmp_path / "runs")
    recipe = load_recipe(str(tiny_recipe), ("train.loggers=[mlflow]",))
    run = train(recipe, session)
    monkeypatch.setattr(run_loggers, "backend_of", lambda name: good)
    with locked(run.folder, run.lock), run_loggers.attached_loggers(run, recipe, session):
        pass
    assert good.rows == []
    with run_loggers.attached_loggers(run, recipe, session) as loggers:
        loggers.results({"evaluation/a/mAP": 0.5}, 6)
    received = {(name, row.step): value for row in good.rows for name, value in row.values.items()}
    assert received == expected(run) | {("evaluation/a/mAP", 6): 0.5}
    assert good.state == "attached"


def test_repeated_steps_are_not_recorded_twice(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that can't delete keeps the former number, and a different one is counted."""
    memory = Memory(recorded={("train/step", 2): 2.0, ("train/loss", 2): 1e6})
    monkeypatch.setattr(run_loggers, "backend_of", lambda name: memory)
    monkeypatch.setattr(run_loggers, "find_spec", lambda name: True)
    recipe = load_recipe(str(tiny_recipe), ("train.loggers=[mlflow]",))
    train(recipe, Session(CPU, listener, sysu_tree, tmp_path / "runs"))
    names = [name for row in memory.rows if row.step == 2 for name in row.values]
    assert "train/step" not in names
    assert "train/loss" not in names
    assert "train/lr" in names
    assert "keeps 1 numbers of steps that were trained twice" in listener.warnings[0]


def test_a_slow_logger_is_dropped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from vireid_cli.engine.loggers import worker

    blocked = threading.Event()

    class Slow(Memory):
        def open(self, details: RunDetails, until: int | None) -> Recorded:
            blocked.wait(10)
            return {}

    monkeypatch.setattr(worker, "MOST_PENDING", 3)
    details = RunDetails("a", tmp_path, "g", {}, {}, "")
    thread = worker.LoggerThread("mlflow", Slow(), details, 0)
    for step in range(5):
        thread.put(Numbers(step, 0.0, {"a": 1.0}))
    assert "3 rows behind" in thread.problem
    blocked.set()
    thread.close("finished")
    monkeypatch.setattr(worker, "CLOSE_SECONDS", 0.05)
    blocked.clear()
    late = worker.LoggerThread("mlflow", Slow(), details, 0)
    late.close("finished")
    assert "did not finish" in late.problem
    blocked.set()


def test_a_store_is_never_outside_of_the_folder_of_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The address of a store ends at a question mark: ``runs?x/mlflow.db`` would be the file ``runs``."""
    from vireid_cli.engine.loggers import worker

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "runs?x" / "one"
    folder.mkdir(parents=True)
    details = RunDetails("one", folder, "sysu-baseline", {}, {}, "")
    thread = worker.LoggerThread("mlflow", run_loggers.backend_of("mlflow"), details, 0)
    thread.close("finished")
    assert "'?' in the path; set MLFLOW_TRACKING_URI" in thread.problem
    assert "DataError" not in thread.problem
    assert [path.name for path in tmp_path.iterdir()] == ["runs?x"]


def test_foreign_names_and_numbers() -> None:
    losses = {"ok": 1.0, "π/2 (a)": 2.0, "π/2 [a]": 3.0, "../x": 4.0, "nan": float("nan"), "none": None}
    row = {"kind": "step", "global_step": 1, "loss": float("inf"), "losses": losses, "x" * 400: 5}
    numbers = numbers_of(row)
    assert sorted(numbers.values()) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert numbers["train/losses/ok"] == 1.0
    for name in numbers:
        assert len(name) < 250
        assert name.isascii()
        assert ".." not in name.split("/")
    assert clean_name("a//b") != clean_name("a/b")


def test_a_missing_package_is_named_before_the_training(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_loggers, "find_spec", lambda name: None)
    recipe = load_recipe(str(tiny_recipe), ("train.loggers=[mlflow]",))
    with pytest.raises(MissingExtra, match=r"pip install 'vireid\[mlflow\]'"):
        train(recipe, Session(CPU, Reporter(), sysu_tree, tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("value", ["[tensorboard, tensorboard]", "[comet]", "tensorboard"])
def test_wrong_names_of_loggers(tiny_recipe: Path, value: str) -> None:
    with pytest.raises(RecipeError, match=r"train\.loggers"):
        load_recipe(str(tiny_recipe), (f"train.loggers={value}",))
