"""Batches shared out to processes: nothing lost, errors told, nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

import vireid_cli
from vireid_cli.errors import DataError
from vireid_cli.occlusion.workers import process_map


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


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_batch_once(workers: int) -> None:
    result = [n for batch in process_map(square, BATCHES, workers) for n in batch]
    assert sorted(result) == [n * n for n in range(27)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_job_is_the_caller_s(workers: int) -> None:
    with pytest.raises(OSError, match="No space left"):
        list(process_map(fail_at_seven, BATCHES, workers))


def test_a_killed_worker_is_reported() -> None:
    with pytest.raises(DataError, match="worker process was killed"):
        list(process_map(killed_at_seven, BATCHES, 2))


SLOW = """
import os, time
def slow(batch):
    time.sleep(0.05)
    return os.getpid()
"""
PARENT = """
import {module}
from vireid_cli.occlusion.workers import process_map
pids = set()
for pid in process_map({module}.slow, list(range({batches})), 2):
    if pid not in pids:
        print(pid, flush=True)
        pids.add(pid)
"""


def started(tmp_path: Path, batches: int) -> subprocess.Popen[str]:
    """A script without a main guard that shares batches out to two workers."""
    (tmp_path / "slowly.py").write_text(SLOW)
    script = tmp_path / "script.py"
    script.write_text(PARENT.format(module="slowly", batches=batches))
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(vireid_cli.__file__).parents[1])},
        start_new_session=True,
    )


def test_a_script_without_a_guard_is_not_run_again(tmp_path: Path) -> None:
    with started(tmp_path, 6) as parent:
        out, err = parent.communicate(timeout=60)
    assert (parent.returncode, err) == (0, "")
    assert len(out.splitlines()) == 2


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with started(tmp_path, 10_000) as parent:
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    alive = [pid for pid in pids if os.path.exists(f"/proc/{pid}") and _state(pid) != "Z"]
    assert not alive


def test_ctrl_c_reaches_the_parent_alone(tmp_path: Path) -> None:
    with started(tmp_path, 10_000) as parent:
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: every process of the group gets it
        _, err = parent.communicate(timeout=20)
    assert err.count("KeyboardInterrupt") == 1
    assert not any(os.path.exists(f"/proc/{pid}") and _state(pid) != "Z" for pid in pids)


def test_workers_hold_none_of_the_parent_s_threads() -> None:
    """Forking a process that runs threads is what Python 3.12 and later warn of."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = sorted(n for batch in process_map(square, BATCHES, 2) for n in batch)
    finally:
        stop.set()
        thread.join()
    assert result == [n * n for n in range(27)]


def test_a_worker_does_not_wait_for_torch() -> None:
    """Its start would take seconds: nothing that occludes an image needs torch."""
    code = (
        "import sys; import vireid_cli.occlusion.build, vireid_cli.data.decode; "
        "assert not {'torch', 'scipy', 'matplotlib'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(vireid_cli.__file__).parents[1])


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]
