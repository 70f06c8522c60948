"""A folder is replaced as a whole: a kill before any rename leaves the old or the new one."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vireid_cli import files, folders, lock
from vireid_cli.errors import DataError
from vireid_cli.lock import locked

MARK = "mark.json"


def write(folder: Path, version: int, owned: tuple[str, ...] | None = None) -> None:
    with folders.replacing(folder, MARK, owned) as fresh:
        files.write_text(fresh / "content.txt", str(version))
        files.write_json(fresh / MARK, version)


def read(folder: Path) -> int:
    """The version of the folder, which is the same in both of its files."""
    place = folders.current(folder, MARK)
    version = files.read_json(place / MARK)
    assert (place / "content.txt").read_text() == str(version)
    return int(version)


@pytest.fixture(params=["exchange", "two renames"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A system that can exchange two folders, and one that can't."""
    if request.param == "two renames":
        monkeypatch.setattr(folders, "exchange", lambda one, other: False)
    elif not sys.platform.startswith("linux"):
        pytest.skip("only Linux exchanges folders")
    return str(request.param)


def test_a_folder_is_replaced_and_nothing_else_stays(tmp_path: Path, system: str) -> None:
    for version in (1, 2, 3):
        write(tmp_path / "a", version)
        assert read(tmp_path / "a") == version
        assert os.listdir(tmp_path) == ["a"]


def test_files_of_the_user_are_carried_over(tmp_path: Path, system: str) -> None:
    folder, owned = tmp_path / "a", (MARK, "content.txt", "former.npz")
    write(folder, 1, owned)
    (folder / "notes.txt").write_text("mine")
    (folder / "former.npz").write_text("of the first")
    (folder / "crops").mkdir()
    (folder / "crops" / "1.png").write_text("crop")
    write(folder, 2, owned)
    assert read(folder) == 2
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "crops" / "1.png").read_text() == "crop"
    assert not (folder / "former.npz").exists()


def test_a_link_to_a_folder_stays_one(tmp_path: Path, system: str) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "disk" / "a")
    write(tmp_path / "a", 1)
    write(tmp_path / "a", 2)
    assert read(tmp_path / "a") == 2
    assert (tmp_path / "a").is_symlink()
    assert os.listdir(tmp_path / "disk") == ["a"]


def test_an_error_leaves_the_old_folder(tmp_path: Path, system: str) -> None:
    write(tmp_path / "a", 1)
    with pytest.raises(ZeroDivisionError), folders.replacing(tmp_path / "a", MARK) as fresh:
        files.write_json(fresh / "content.txt", 2 / 0)
    assert read(tmp_path / "a") == 1
    assert os.listdir(tmp_path) == ["a"]


KILLED = """
import os, sys
from pathlib import Path
from vireid_cli import files, folders
folder, exchange = Path(sys.argv[1]), sys.argv[2] == "exchange"
if not exchange:
    folders.exchange = lambda one, other: False
left = [0]
def hook(event, arguments):
    if event in ("os.rename", "shutil.rmtree"):
        left[0] -= 1
        if left[0] < 0:
            os._exit(9)
sys.addaudithook(hook)
def write(version):
    with folders.replacing(folder, "mark.json") as fresh:
        files.write_text(fresh / "content.txt", str(version))
        files.write_json(fresh / "mark.json", version)
for kill_before in range(20):
    child = os.fork()
    if child == 0:
        left[0] = kill_before
        write(2)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    place = folders.current(folder, "mark.json")
    version = files.read_json(place / "mark.json")
    assert (place / "content.txt").read_text() == str(version) and version in (1, 2)
    print(kill_before, status, version)
    left[0] = 1000
    write(1)
    assert sorted(os.listdir(folder.parent)) == [folder.name], os.listdir(folder.parent)
    if status == 0:
        break
else:
    raise AssertionError("never finished")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_before_every_rename(tmp_path: Path, system: str) -> None:
    write(tmp_path / "a", 1)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "a"), system]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[-1][1:] == ["0", "2"]
    assert [line[1] for line in lines[:-1]] == ["9"] * (len(lines) - 1)
    assert len(lines) >= 4  # two files, and the exchange, at least
    assert {line[2] for line in lines} == {"1", "2"}


def test_a_folder_that_can_not_be_written_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write(tmp_path / "file" / "a", 1)
    with pytest.raises(DataError, match="cannot write"), locked(tmp_path / "file" / "a"):
        pass


def test_a_file_system_without_locks_is_written_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> Callable[[object], None]:
        def seize(stream: object) -> None:
            raise OSError(number, os.strerror(number))

        return seize

    monkeypatch.setattr(lock, "seize", refuse(errno.ENOLCK))
    with locked(tmp_path / "a"):
        write(tmp_path / "a" / "b", 1)
    assert read(tmp_path / "a" / "b") == 1
    monkeypatch.setattr(lock, "seize", refuse(errno.EIO))
    with pytest.raises(DataError, match="cannot write"), locked(tmp_path / "a"):
        pass
