"""Unfinished files and folders: locked while they are written, removed once their writer is gone.

A writer makes ``.NAME.<random>.tmp`` beside its target, locks it, and renames it when it is whole. The system
drops the lock when the process ends, however it ends: what can be locked by somebody else is litter.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":

    def _lock(handle: int) -> bool | None:
        return None  # an open file can't be deleted there: no lock is needed
else:
    import fcntl

    def _lock(handle: int) -> bool | None:
        """Take the lock; False if somebody else holds it, None on a file system without locks."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True


TEMPORARY = ".tmp"
"""End of the names of unfinished files and folders."""

_LITTER = re.compile(r"\.[^.].*\.[^.]+\.tmp|\.onnx-[a-z0-9_]{8}", re.DOTALL)
"""Names of unfinished files and folders, those of earlier versions included."""

_LINK_AGE = 60.0
"""Seconds after which an unfinished symbolic link, which can't be locked, is nobody's."""

_TRIES = 16


@contextmanager
def unfinished_file(path: Path) -> Iterator[tuple[int, Path]]:
    """Make a file beside ``path`` to write and to rename; it is removed if it has not been renamed.

    Yields:
        An open descriptor, which the block closes, and the file's path.

    Raises:
        OSError: It can't be made.
    """
    handle, temporary = _make_file(path)
    # it holds the lock until the file has its own name; Windows renames no open file
    guard = None if sys.platform == "win32" else os.dup(handle)
    try:
        yield handle, temporary
    finally:
        if guard is not None:
            os.close(guard)
        temporary.unlink(missing_ok=True)


@contextmanager
def unfinished_folder(folder: Path, name: str) -> Iterator[Path]:
    """Make a folder within ``folder`` that vanishes after the block, or with the next writer after a kill.

    Args:
        folder: The place; it must exist.
        name: Part of the folder's name, such as ``onnx``.

    Raises:
        OSError: It can't be made.
    """
    remove_unfinished(folder)
    place, guard = _make_folder(folder, name)
    try:
        yield place
    finally:
        if guard is not None:
            os.close(guard)
        shutil.rmtree(place, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Delete what killed processes left unfinished right in ``folder``; never a living writer's."""
    try:
        names = [name for name in os.listdir(folder) if _LITTER.fullmatch(name)]
    except OSError:
        return
    for name in names:
        with suppress(OSError):  # another process was faster, or it is not ours to delete
            _remove(folder / name)


def _remove(path: Path) -> None:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        if time.time() - status.st_mtime > _LINK_AGE:
            path.unlink()
        return
    is_folder = stat.S_ISDIR(status.st_mode)
    if not is_folder and not stat.S_ISREG(status.st_mode):
        return
    if sys.platform == "win32":
        shutil.rmtree(path) if is_folder else path.unlink()
        return
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if _lock(handle) and _is_at(path, handle):
            shutil.rmtree(path) if is_folder else path.unlink()
    finally:
        os.close(handle)


def _make_file(path: Path) -> tuple[int, Path]:
    for _ in range(_TRIES):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=TEMPORARY, dir=path.parent)
        temporary = Path(name)
        if _lock(handle) is not False and _is_at(temporary, handle):
            return handle, temporary
        os.close(handle)  # another process sweeps it between its making and its locking
    raise FileNotFoundError(f"temporary files beside {path} vanish")


def _make_folder(folder: Path, name: str) -> tuple[Path, int | None]:
    for _ in range(_TRIES):
        place = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=TEMPORARY, dir=folder))
        if sys.platform == "win32":
            return place, None
        try:
            guard = os.open(place, os.O_RDONLY)
        except FileNotFoundError:
            continue
        if _lock(guard) is not False and _is_at(place, guard):
            return place, guard
        os.close(guard)
    raise FileNotFoundError(f"temporary folders in {folder} vanish")


def _is_at(path: Path, handle: int) -> bool:
    """Whether a path still names the open file or folder."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
