"""Small trees in SYSU-MM01's layout, made of noise with a person's own pattern; no renderer involved."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
import typer.main

from vireid_cli.commands import main as command_line
from vireid_cli.engine.reporter import Reporter

# One thread, here and in processes that tests start: networks are tiny, and threads that wait for each
# other on a busy machine take ten times as long.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    """Restore the levels and handlers of logging: commands and libraries set them for their process."""
    loggers = logging.getLogger(), logging.getLogger("vireid_cli")
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
        for handler in list(logger.handlers):
            if type(handler).__module__.startswith("vireid_cli"):
                logger.removeHandler(handler)


TRAIN = (1, 2, 3, 4, 5, 6)
VAL = (7, 8)
TEST = (11, 12, 13, 14)


def write_sysu_tree(root: Path, images: int = 3, size: tuple[int, int] = (64, 32)) -> Path:
    """Six cameras, twelve people, ``images`` frames each: a person's pattern plus noise."""
    for pid in (*TRAIN, *VAL, *TEST):
        draw = np.random.default_rng(pid)
        pattern = cv2.resize(draw.integers(0, 256, (6, 3, 3), dtype=np.uint8), size[::-1])
        for camid in range(1, 7):
            folder = root / f"cam{camid}" / f"{pid:04d}"
            folder.mkdir(parents=True)
            for frame in range(1, images + 1):
                noise = np.random.default_rng([pid, camid, frame]).integers(-30, 31, (*size, 3))
                pixels = np.clip(pattern.astype(np.int64) + noise, 0, 255).astype(np.uint8)
                if camid in (3, 6):
                    pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
                cv2.imwrite(str(folder / f"{frame:04d}.jpg"), pixels)
    exp = root / "exp"
    exp.mkdir()
    for name, pids in (("train", TRAIN), ("val", VAL), ("test", TEST), ("available", (*TRAIN, *VAL, *TEST))):
        (exp / f"{name}_id.txt").write_text(",".join(str(pid) for pid in pids) + "\n")
    return root


@pytest.fixture(scope="session")
def sysu_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a SYSU-MM01 of twelve people; tests must not write into it."""
    data = tmp_path_factory.mktemp("data")
    write_sysu_tree(data / "SYSU-MM01")
    return data


TINY = """
paper: none
data:
  dataset: sysu
  size: [64, 32]
  sampler: {identities: 3, images: 2}
  augment: {pad: 2, erase: {probability: 0.5}}
backbone: {name: resnet18, weights: none, width: 16}
method: {name: baseline}
train:
  epochs: 2
  steps_per_epoch: 3
  log_every: 2
  optimizer: {name: sgd, lr: 0.01, backbone_scale: 1.0}
  schedule: {warmup_epochs: 0, milestones: [1]}
"""


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    """A recipe that trains in a second or two."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


class Listener(Reporter):
    """Keeps everything that the engine reports.

    Attributes:
        infos: Lines of information.
        warnings: Warnings.
        lines: Both, in their order.
        jobs: (done, total) of each job, as last reported.
    """

    def __init__(self) -> None:
        self.infos: list[str] = []
        self.warnings: list[str] = []
        self.lines: list[str] = []
        self.jobs: dict[str, tuple[int, int]] = {}

    def info(self, text: str) -> None:
        self.infos.append(text)
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.lines.append(text)

    def advance(self, job: str, done: int, total: int, shown: Mapping[str, str] | None = None) -> None:
        self.jobs[job] = (done, total)


@pytest.fixture
def listener() -> Listener:
    """A reporter that keeps everything."""
    return Listener()


class CommandResult(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


Command = Callable[..., CommandResult]
"""Runs ``vireid`` with the given words, in this process."""

_parsed_commands = functools.cache(typer.main.get_command)
"""Typer's commands, built once: building takes longer than most commands that refuse their options."""


@pytest.fixture
def vireid(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """A function that runs a command line in this process, as ``main`` does."""
    monkeypatch.setattr(typer.main, "get_command", _parsed_commands)

    def run(*words: object) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["vireid", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return CommandResult(int(ended.value.code or 0), captured.out, captured.err)

    return run
