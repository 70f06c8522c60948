"""Folders replaced as a whole: a reader sees the old folder or the new one, never files of both.

The new folder is made beside the old one as ``.NAME.new``, and one rename exchanges the two. A system that
can't exchange folders renames twice; a reader between the two renames takes ``.NAME.new`` (``current``).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from vireid_cli.files import write_error

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def fresh_of(folder: Path) -> Path:
    """Return the place beside ``folder`` where its successor is made."""
    return folder.with_name(f".{folder.name}.new")


def _old_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def is_part(folder: Path) -> bool:
    """Return whether a folder is the unfinished or replaced side of another one."""
    return folder.name.startswith(".") and folder.suffix in (".new", ".old")


def current(folder: Path, mark: str) -> Path:
    """Return where the newest whole version of ``folder`` is. Nothing is renamed: others may be writing.

    Args:
        folder: The folder's own place.
        mark: Name of the file that is written last.
    """
    fresh = fresh_of(folder)
    return fresh if not folder.exists() and (fresh / mark).is_file() else folder


@contextmanager
def replacing(
    folder: Path, mark: str, owned: Callable[[str], bool] | Collection[str] | None = None
) -> Iterator[Path]:
    """Make the successor of ``folder``, which takes its place when the block ends without an error.

    Only one process at a time may do so for one folder; see ``lock.locked``. What killed processes left
    beside the folder is removed.

    Args:
        folder: The folder; it need not exist. A link to a folder stays a link.
        mark: Name of the file that the block writes last.
        owned: Names that the block writes; entries of other names are carried over (as hard links, where the
            system has them). None: nothing is carried over.

    Yields:
        An empty folder. Its files must be written through ``files``, which flushes them to the disk.

    Raises:
        DataError: The disk is full or the folder can't be written; the old one stays.
    """
    folder = folder.resolve()
    fresh, old = fresh_of(folder), _old_of(folder)
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
    """Finish a replacement that a kill cut between its two renames; only for the folder's only writer."""
    fresh = current(folder, mark)
    if fresh != folder:
        fresh.rename(folder)


def swap(fresh: Path, folder: Path, old: Path) -> None:
    """Put ``fresh`` in the place of ``folder``; the replaced one is then at ``fresh`` or at ``old``.

    Raises:
        OSError: It can't be renamed; ``folder`` is as it was.
    """
    if not folder.exists():
        fresh.rename(folder)
    elif not _exchange(fresh, folder):
        folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            old.rename(folder)
            raise


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False on a system or a file system that can't."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    sys.audit("os.rename", os.fspath(one), os.fspath(other), -1, -1)  # as os.rename itself announces
    return bool(renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def flush(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some network file systems refuse it for folders; the files themselves are flushed
        pass
    finally:
        os.close(handle)


def _carry_over(folder: Path, fresh: Path, owned: Callable[[str], bool] | Collection[str]) -> None:
    """Bring entries that the new folder does not write itself into it."""
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
    """Remove a folder that nobody reads any more; what can't be removed is the next writer's."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)
