"""Processes that the launcher starts: a killed rank is named, and Ctrl-C stops all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.results.run import RunFolder

SECONDS = 900

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds ranks by /proc")


def start(*words: object) -> subprocess.Popen[str]:
    """Start a command of two processes."""
    command = [sys.executable, "-m", "vireid_cli", "train", *map(str, words), "--processes", "2"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def pid_of_rank(rank: int, agent: subprocess.Popen[str]) -> int:
    """Process id of a rank that the agent started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == agent.pid and f"RANK={rank}".encode() in variables:
            return int(folder.name)
    raise AssertionError(f"no process of rank {rank}")


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.1)


def rows(runs: Path) -> int:
    """Rows in the log of the only run."""
    return sum(len(log.read_text().splitlines()) for log in runs.glob("tiny-*/train.jsonl"))


def test_a_killed_rank_is_named_and_ctrl_c_stops_all_ranks(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path
) -> None:
    place = ("--data", sysu_tree, "--runs", tmp_path, "--device", "cpu", "--precision", "fp32")
    long = (
        "--set",
        "train.epochs=1000",
        "--set",
        "train.log_every=1",
        "--set",
        "train.checkpoint_every=1000",
    )
    agent = start("--recipe", tiny_recipe, *long, *place)
    wait_for(lambda: rows(tmp_path) > 1, agent)
    os.kill(pid_of_rank(1, agent), signal.SIGKILL)
    errors = agent.communicate(timeout=SECONDS)[1]
    assert agent.returncode == 1, errors
    assert "Rank 1 was killed by SIGKILL" in errors
    assert "Traceback" not in errors
    run = RunFolder(next(tmp_path.glob("tiny-*")))
    assert checkpoints.load_position(run.checkpoints / "last").global_step == 0

    (run.log).write_text("")
    agent = start("--resume", run.folder, *place)
    wait_for(lambda: rows(tmp_path) > 1, agent)
    agent.send_signal(signal.SIGINT)
    errors = agent.communicate(timeout=SECONDS)[1]
    assert agent.returncode == 130, errors
    assert errors.count("stopping after this step") == 1
    assert "Resume: vireid train --resume" in errors
    assert "Traceback" not in errors
    assert checkpoints.load_position(run.checkpoints / "last").global_step > 0


def test_ranks_end_after_their_launcher_was_killed(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path
) -> None:
    long = ("--set", "train.epochs=1000", "--set", "train.log_every=1")
    place = ("--data", sysu_tree, "--runs", tmp_path, "--device", "cpu", "--precision", "fp32")
    agent = start("--recipe", tiny_recipe, *long, *place)
    wait_for(lambda: rows(tmp_path) > 1, agent)
    ranks = [pid_of_rank(rank, agent) for rank in range(2)]
    agent.kill()
    agent.communicate(timeout=SECONDS)  # the ranks hold its pipes
    end = time.monotonic() + 10
    while any(_runs(rank) for rank in ranks):
        assert time.monotonic() < end
        time.sleep(0.1)
    run = RunFolder(next(tmp_path.glob("tiny-*")))
    assert checkpoints.load_position(run.checkpoints / "last").global_step > 0, "it stopped at a step"


def _runs(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
