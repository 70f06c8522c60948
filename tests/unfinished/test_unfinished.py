"""Files of killed writers are removed by the next writer; files of a living writer are never touched."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from vireid_cli import files
from vireid_cli.errors import DataError
from vireid_cli.lock import locked
from vireid_cli.unfinished import remove_unfinished, unfinished_folder


@pytest.fixture(autouse=True)
def fresh_process() -> None:
    """As if nothing had been written yet by this process."""
    files.remove_unfinished_once.cache_clear()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


KILLED = """
import os, signal, sys
from pathlib import Path
from vireid_cli import files
from vireid_cli.errors import DataError
from vireid_cli.unfinished import unfinished_folder
folder = Path(sys.argv[1])
def half(file):
    file.write(b"half")
    file.flush()
    with unfinished_folder(folder, "onnx") as place:
        (place / "model.onnx").write_bytes(b"half")
        if sys.argv[2] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        print("ready", flush=True)
        sys.stdin.read()
files.write_with(folder / "ranking.npz", half)
"""


def writer(folder: Path, end: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder), end],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_leftovers_of_a_killed_process_are_removed_by_the_next_writer(tmp_path: Path) -> None:
    with writer(tmp_path, "kill") as process:
        assert process.wait() == -9
    left = names(tmp_path)
    assert len(left) == 2
    assert all(name.startswith(".") and name.endswith(".tmp") for name in left)
    files.write_text(tmp_path / "metrics.json", "{}")
    assert names(tmp_path) == {"metrics.json"}


def test_a_living_process_keeps_its_files(tmp_path: Path) -> None:
    process = writer(tmp_path, "wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    during = names(tmp_path)
    assert len(during) == 2
    files.write_text(tmp_path / "metrics.json", "{}")
    with locked(tmp_path):
        pass
    assert during < names(tmp_path)
    process.communicate("")
    assert process.returncode == 0
    assert names(tmp_path) == {"metrics.json", "ranking.npz", "lock"}
    assert (tmp_path / "ranking.npz").read_bytes() == b"half"


@pytest.mark.parametrize(
    "name", [".ranking.npz.abc.tmp", ".val_id.txt.q7_x2k1z.tmp", ".a b\n.x.tmp", ".onnx-ab12cd34"]
)
def test_litter_of_earlier_versions(tmp_path: Path, name: str) -> None:
    if name.startswith(".onnx"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").touch()
    else:
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    "name", ["a.tmp", ".hidden", ".tmp", "a.npz", ".cache.json", ".onnx-mine", "x.a.tmp"]
)
def test_other_files_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert names(tmp_path) == {name}


def test_export_removes_leftovers_of_a_killed_export(tmp_path: Path) -> None:
    from vireid_cli.folders import staging

    (tmp_path / ".onnx-ab12cd34").mkdir()
    with staging(tmp_path, "onnx") as place:
        assert names(tmp_path) == {place.name}
    assert names(tmp_path) == set()


def test_links_and_pipes(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    target.touch()
    (tmp_path / ".new.1.tmp").symlink_to("kept")
    (tmp_path / ".old.1.tmp").symlink_to("kept")
    long_ago = time.time() - 3600
    os.utime(tmp_path / ".old.1.tmp", (long_ago, long_ago), follow_symlinks=False)
    os.mkfifo(tmp_path / ".pipe.1.tmp")
    remove_unfinished(tmp_path)
    assert names(tmp_path) == {"kept", ".new.1.tmp", ".pipe.1.tmp"}


def test_a_folder_that_is_not_there_or_not_ours(tmp_path: Path) -> None:
    remove_unfinished(tmp_path / "none")
    remove_unfinished(tmp_path / "none" / "deeper")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def fail(file: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_with(tmp_path / "a", fail)
    with suppress(KeyboardInterrupt), unfinished_folder(tmp_path, "onnx") as place:
        (place / "x").touch()
        raise KeyboardInterrupt
    assert names(tmp_path) == set()


def test_writers_and_sweepers_at_once_lose_nothing(tmp_path: Path) -> None:
    """Every write arrives although others sweep the folder all the time."""
    stop = threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            remove_unfinished(tmp_path)

    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    for thread in sweepers:
        thread.start()
    try:
        for number in range(60):
            files.write_bytes(tmp_path / f"{number}", b"x")
    finally:
        stop.set()
        for thread in sweepers:
            thread.join()
    assert names(tmp_path) == {str(number) for number in range(60)}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_a_pipe_at_the_target_stays(tmp_path: Path) -> None:
    """The rename would replace it by a file; the same check protects devices such as ``/dev/null``."""
    pipe, link = tmp_path / "out.json", tmp_path / "link.json"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(DataError, match="is a named pipe; a regular file is needed"):
            files.write_text(path, "{}")
    assert pipe.is_fifo()
    assert names(tmp_path) == {"out.json", "link.json"}
