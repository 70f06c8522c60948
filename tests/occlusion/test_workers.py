"""Batches shared out to processes: nothing lost, errors told, nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from vireid_cli.errors import DataError
from vireid_cli.occlusion.workers import shared_out


def square(batch: list[int]) -> list[int]:
    return [n * n for n in batch]


def fail_at_seven(batch: list[int]) -> list[int]:
    if 7 in batch:
        raise OSError(28, "No space left on device")
    return batch


def killed_at_seven(batch: list[int]) -> list[int]:
    if 7 in batch:
        os.kill(os.getpid(), signal.SIGKILL)
    return batch


BATCHES = [[3 * n, 3 * n + 1, 3 * n + 2] for n in range(9)]


@pytest.mark.parametrize("workers", [1, 2, 10])
def test_every_batch_once(workers: int) -> None:
    found = [n for batch in shared_out(square, BATCHES, workers) for n in batch]
    assert sorted(found) == [n * n for n in range(27)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_job_is_the_caller_s(workers: int) -> None:
    with pytest.raises(OSError, match="No space left"):
        list(shared_out(fail_at_seven, BATCHES, workers))


def test_a_killed_worker_is_told() -> None:
    with pytest.raises(DataError, match="worker process was killed"):
        list(shared_out(killed_at_seven, BATCHES, 2))


PARENT = """
import sys, time
from vireid_cli.occlusion.workers import shared_out
def slow(batch):
    import os
    time.sleep(0.05)
    return os.getpid()
pids = set()
for pid in shared_out(slow, list(range(10_000)), 2):
    if pid not in pids:
        print(pid, flush=True)
        pids.add(pid)
"""


def test_workers_end_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    alive = [pid for pid in pids if os.path.exists(f"/proc/{pid}") and _state(pid) != "Z"]
    assert not alive


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]
