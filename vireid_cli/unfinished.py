"""Temporary files and folders that are locked during writing and removed after a crash of the writer.

A writer creates ``.NAME.<random>.tmp`` beside its target, locks it, and renames it when it is complete. The
system releases the lock when the process ends, for any reason. A temporary file without a lock therefore
belongs to a dead process and can be removed.
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
        return None  # Windows does not delete open files: no lock is needed
else:
    import fcntl

    def _lock(handle: int) -> bool | None:
        """Take the lock. False if another process holds it, None on file systems without locks."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True


TEMPORARY = ".tmp"
"""Suffix of temporary files and folders."""

_LITTER = re.compile(r"\.[^.].*\.[^.]+\.tmp|\.onnx-[a-z0-9_]{8}", re.DOTALL)
"""Names of temporary files and folders, including those of earlier versions."""

_LINK_AGE = 60.0
"""Age in seconds from which a temporary symbolic link is removed, since links can't be locked."""

_TRIES = 16


@contextmanager
def unfinished_file(path: Path) -> Iterator[tuple[int, Path]]:
    """Create a temporary file beside ``path``; it is removed after the block unless the block renamed it.

    Yields:
        An open descriptor, which the block closes, and the path of the file.

    Raises:
        OSError: The file can't be created.
    """
    handle, temporary = _make_file(path)
    # The duplicate holds the lock until the file is renamed; Windows does not rename open files.
    guard = None if sys.platform == "win32" else os.dup(handle)
    try:
        yield handle, temporary
    finally:
        if guard is not None:
            os.close(guard)
        temporary.unlink(missing_ok=True)


@contextmanager
def unfinished_folder(folder: Path, name: str) -> Iterator[Path]:
    """Create a temporary folder in ``folder``; it is removed after the block or, after a kill, by the next
    writer.

    Args:
        folder: Existing parent folder.
        name: Part of the temporary folder's name, such as ``onnx``.

    Raises:
        OSError: The folder can't be created.
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
    """Delete temporary entries of killed processes from ``folder``, without its subfolders."""
    try:
        names = [name for name in os.listdir(folder) if _LITTER.fullmatch(name)]
    except OSError:
        return
    for name in names:
        with suppress(OSError):  # another process removed it first, or no permission
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
        if _lock(handle) and is_at(path, handle):
            shutil.rmtree(path) if is_folder else path.unlink()
    finally:
        os.close(handle)


def _make_file(path: Path) -> tuple[int, Path]:
    for _ in range(_TRIES):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=TEMPORARY, dir=path.parent)
        temporary = Path(name)
        if _lock(handle) is not False and is_at(temporary, handle):
            return handle, temporary
        os.close(handle)  # another process removed it between its creation and its lock
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
        if _lock(guard) is not False and is_at(place, guard):
            return place, guard
        os.close(guard)
    raise FileNotFoundError(f"temporary folders in {folder} vanish")


def is_at(path: Path, handle: int) -> bool:
    """Whether a path still refers to the open file or folder."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
