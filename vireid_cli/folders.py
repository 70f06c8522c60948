"""Atomic replacement of folders: a reader sees the old folder or the new one, never a mix of files.

The writer creates ``.NAME.new`` beside the folder, and one rename exchanges the two. Systems without an
atomic exchange need two renames; between them, readers use ``.NAME.new`` (see ``current``).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vireid_cli.files import write_error
from vireid_cli.unfinished import unfinished_folder

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def successor_of(folder: Path) -> Path:
    """Return the path of the successor of ``folder`` while it is being written."""
    return folder.with_name(f".{folder.name}.new")


def _old_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def is_temporary(folder: Path) -> bool:
    """Return whether a folder is the successor or the replaced version of another folder."""
    return folder.name.startswith(".") and folder.suffix in (".new", ".old")


def current(folder: Path, mark: str) -> Path:
    """Return the path of the newest complete version of ``folder``. Renames nothing, as others may write.

    Args:
        folder: Final path of the folder.
        mark: Name of the file that the writer writes last.
    """
    fresh = successor_of(folder)
    return fresh if not folder.exists() and (fresh / mark).is_file() else folder


@contextmanager
def replacing(
    folder: Path, mark: str, owned: Callable[[str], bool] | Collection[str] | None = None
) -> Iterator[Path]:
    """Create a successor of ``folder`` and exchange the two when the block ends without an error.

    Only one process at a time may replace a folder; see ``lock.locked``. Leftovers of killed processes
    are removed.

    Args:
        folder: Path of the folder; it need not exist. A link to a folder stays a link.
        mark: Name of the file that the block writes last.
        owned: Names that the block writes. Entries with other names are copied to the new folder, as hard
            links if the system supports them. None: no entry is copied.

    Yields:
        An empty folder. Write its files through ``files``, which flushes them to the disk.

    Raises:
        DataError: The disk is full or the folder can't be written; the old folder is unchanged.
    """
    folder = folder.resolve()
    fresh, old = successor_of(folder), _old_of(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        recover(folder, mark)
        _remove(fresh)
        _remove(old)
        fresh.mkdir()
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        yield fresh
    except BaseException:
        _remove(fresh)
        raise
    try:
        if owned is not None and folder.is_dir():
            _carry_over(folder, fresh, owned)
        flush(fresh)
        swap(fresh, folder, old)
        flush(folder.parent)
    except OSError as error:
        raise write_error(folder, error) from error
    _remove(fresh)
    _remove(old)


def recover(folder: Path, mark: str) -> None:
    """Finish a replacement that was killed between its two renames. Call it only while holding the lock."""
    fresh = current(folder, mark)
    if fresh != folder:
        fresh.rename(folder)


def swap(fresh: Path, folder: Path, old: Path) -> None:
    """Rename ``fresh`` to ``folder``; the replaced folder is then at ``fresh`` or at ``old``.

    Raises:
        OSError: The rename failed; ``folder`` is unchanged.
    """
    if not folder.exists():
        fresh.rename(folder)
    elif not exchange(fresh, folder):
        folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            old.rename(folder)
            raise


def exchange(one: Path, other: Path) -> bool:
    """Exchange two paths atomically; return False if the system or file system does not support it."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    sys.audit("os.rename", os.fspath(one), os.fspath(other), -1, -1)  # the audit event of os.rename
    return bool(renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def flush(folder: Path) -> None:
    """Flush a folder's entries to the disk, on systems that support it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some network file systems refuse fsync on folders; the files are flushed
        pass
    finally:
        os.close(handle)


def _carry_over(folder: Path, fresh: Path, owned: Callable[[str], bool] | Collection[str]) -> None:
    """Link or copy entries that the new folder does not have and the writer does not own."""
    is_owned = owned if callable(owned) else owned.__contains__
    for entry in folder.iterdir():
        target = fresh / entry.name
        if is_owned(entry.name) or entry.name.endswith(".tmp") or target.exists():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, target, symlinks=True, copy_function=_link)
        else:
            _link(entry, target)


def _link(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _remove(folder: Path) -> None:
    """Remove a replaced folder; the next writer removes the rest of a failed removal."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def staging(folder: Path, name: str) -> Iterator[Path]:
    """Create a temporary folder within ``folder``, for files that ``publish`` moves to it.

    Args:
        folder: Target folder, created if missing.
        name: Part of the temporary folder's name.

    Raises:
        DataError: The folder is read-only, the disk is full, or the path can't be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with unfinished_folder(folder, name) as place:
            yield place
    except OSError as error:
        raise write_error(folder, error) from error


def publish(paths: Iterable[Path], folder: Path) -> tuple[Path, ...]:
    """Flush complete files to the disk and move them to ``folder``, one after the other."""
    paths = list(paths)
    for path in paths:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    return tuple(path.replace(folder / path.name) for path in paths)
