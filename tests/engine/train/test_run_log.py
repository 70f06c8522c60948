"""``train.log`` and diagnostics: times, levels, escaping, and no change of a program's own logging."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import Command
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.resume import resume
from vireid_cli.engine.train.run_log import FILE, run_log
from vireid_cli.engine.train.train import train
from vireid_cli.errors import DataError, Interrupted
from vireid_cli.results.run import RunFolder

CPU = Runtime(torch.device("cpu"), "fp32")
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) vireid_cli\.[\w.]+: .+")


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Start with Python's levels, and restore levels and handlers."""
    root, package = logging.getLogger(), logging.getLogger("vireid_cli")
    handlers, levels = list(root.handlers), (root.level, package.level)
    root.setLevel(logging.WARNING)
    package.setLevel(logging.NOTSET)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    package.setLevel(levels[1])


def test_train_log_has_messages_of_start_stop_and_resumption(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, stop_after: Callable[[int], None]
) -> None:
    session = Session(CPU, Reporter(), sysu_tree, tmp_path / "runs")
    stop_after(4)
    with pytest.raises(Interrupted):
        train(load_recipe(str(tiny_recipe)), session, "a")
    run = RunFolder(tmp_path / "runs" / "a")
    text = (run.folder / "train.log").read_text()
    assert "WARNING vireid_cli.messages: interrupted: Stopped" in text
    resume(run, session)
    lines = (run.folder / "train.log").read_text().splitlines()
    assert all(LINE.fullmatch(line) or line.startswith("Resume:") for line in lines), lines
    for part in ("identities", "saved checkpoint last at step 3", "epoch 1: loss", "resuming", "trained 2"):
        assert sum(part in line for line in lines) >= 1, part


def test_a_failure_is_in_the_log_and_names_are_escaped(tmp_path: Path) -> None:
    def fail() -> None:
        with run_log() as log:
            log.write_to(tmp_path)
            logging.getLogger("vireid_cli.x").info("name %s", "\x1b[31m")
            logging.getLogger("vireid_cli.x").debug("details")
            logging.getLogger("other").warning("of a library")
            raise DataError("the file is damaged", "Restore it.")

    with pytest.raises(DataError):
        fail()
    text = (tmp_path / "train.log").read_text()
    assert "name \\x1b[31m" in text
    assert "ERROR vireid_cli.messages: the file is damaged" in text
    assert "details" not in text
    assert "of a library" not in text


def test_an_unwritable_log_does_not_end_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.log").mkdir()
    with run_log() as log:
        log.write_to(tmp_path)
        logging.getLogger("vireid_cli.x").info("text")
    assert capsys.readouterr().err == ""


def test_the_level_of_a_program_applies_to_its_own_handlers(caplog: pytest.LogCaptureFixture) -> None:
    with run_log():
        logging.getLogger("vireid_cli.x").info("only for the file")
        logging.getLogger("vireid_cli.x").warning("for both")
    assert [record.message for record in caplog.records] == ["for both"]
    package = logging.getLogger("vireid_cli")
    assert (package.level, package.propagate, package.handlers) == (logging.NOTSET, True, [])


def test_v_prints_diagnostics_escaped(
    vireid: Command, tiny_recipe: Path, sysu_tree: Path, tmp_path: Path
) -> None:
    shared = ("--data", sysu_tree, "--runs", tmp_path / "runs", "--device", "cpu", "--set", "train.epochs=1")
    plain = vireid("train", "--recipe", tiny_recipe, *shared)
    assert plain.code == 0
    assert "vireid_cli." not in plain.err
    info = vireid("train", "-v", "--recipe", tiny_recipe, *shared)
    assert "info: vireid_cli.engine.train.trainer: saved checkpoint last" in info.err
    assert "vireid_cli.messages" not in info.err
    assert "debug: " not in info.err
    most = vireid("-v", "train", "-v", "--recipe", tiny_recipe, *shared)
    assert "debug: vireid_cli.engine.train.trainer: step 3" in most.err


def test_warnings_of_libraries_are_escaped(vireid: Command, capsys: pytest.CaptureFixture[str]) -> None:
    vireid("-vv", "--version")
    logging.getLogger("library").warning("a\x1b[31mb")
    logging.getLogger("library").info("chatter")
    assert "warning: library: a\\x1b[31mb" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_the_file_does_not_hang_the_training(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE)
    with run_log() as log:
        log.write_to(tmp_path)
        logging.getLogger("vireid_cli").info("a message")
    assert (tmp_path / FILE).is_fifo()
