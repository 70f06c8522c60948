"""A prepared dataset and a run that is trained and evaluated, made once for all kills."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import TINY
from vireid_cli import folders
from vireid_cli.data.protocols.request import Request
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.evaluate.result import EvaluateOptions
from vireid_cli.results.run import RunFolder

SETTINGS = ("train.epochs=2", "train.steps_per_epoch=1", "train.log_every=1", "backbone.width=8")
OPTIONS = EvaluateOptions(Request(modes=("all",)))
PROTOCOL = "all-single-seeded"


@pytest.fixture(scope="session")
def data(sysu_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory of its own, prepared."""
    data = tmp_path_factory.mktemp("crash") / "data"
    shutil.copytree(sysu_tree / "SYSU-MM01", data / "SYSU-MM01")
    engine(data, data / "runs").prepare("sysu", (64, 32), workers=1)
    return data


@pytest.fixture(scope="session")
def trained(data: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that is trained and evaluated; copy it before changing it."""
    runs = tmp_path_factory.mktemp("trained") / "runs"
    run = engine(data, runs).train(str(recipe), SETTINGS)
    engine(data, runs).evaluate(run, OPTIONS)
    return run


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(params=["exchange", "two renames"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A system that can exchange two folders, and one that can't."""
    if request.param == "two renames":
        monkeypatch.setattr(folders, "exchange", lambda one, other: False)
    return str(request.param)


def engine(data: Path, runs: Path) -> Engine:
    return Engine.choose(device="cpu", precision="fp32", data_dir=data, runs_dir=runs)


def copy_of(run: RunFolder, runs: Path) -> RunFolder:
    shutil.copytree(run.folder, runs / run.name)
    return RunFolder(runs / run.name)


def with_other_weights(run: RunFolder) -> RunFolder:
    """Change a run's last checkpoint, so that it embeds differently."""
    last = run.checkpoints / checkpoints.LAST
    saved = checkpoints.load_checkpoint(last)
    model = {name: value + 0.1 if value.is_floating_point() else value for name, value in saved.model.items()}
    checkpoints.save_checkpoint(last, replace(saved, model=model))
    return run
