"""Short steps that several processes do one after the other."""

from __future__ import annotations

import errno
import multiprocessing
import time
from pathlib import Path

import pytest

from vireid_cli import lock
from vireid_cli.errors import DataError
from vireid_cli.lock import serialized


def add_one(folder: Path) -> None:
    """Read, wait and write, 20 times: additions are lost unless they are serialized."""
    for _ in range(20):
        with serialized(folder / "lock"):
            value = int((folder / "value").read_text())
            time.sleep(0.002)
            (folder / "value").write_text(str(value + 1))


def test_no_addition_is_lost(tmp_path: Path) -> None:
    (tmp_path / "value").write_text("0")
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=add_one, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (tmp_path / "value").read_text() == "60"
    assert [path.name for path in tmp_path.iterdir()] == ["value"]


def test_an_error_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="within"), serialized(tmp_path / "new" / "lock"):
        raise ValueError("within")
    with serialized(tmp_path / "new" / "lock"):
        pass


def test_a_file_system_without_locks_is_used_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "seize", refuse)
    with serialized(tmp_path / "lock"):
        pass


def test_a_path_that_can_t_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"), serialized(tmp_path / "file" / "lock"):
        pass
