"""Locks between processes; the operating system releases them when the process ends."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from vireid_cli.errors import DataError
from vireid_cli.files import write_error
from vireid_cli.unfinished import is_at, remove_unfinished

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, getattr(errno, "ENOTSUP", errno.ENOSYS))

POLL = 0.02
"""Seconds between two attempts to take a lock that another process holds."""

if sys.platform == "win32":
    import msvcrt

    def seize(stream: IO[str]) -> None:
        """Lock the open file, or raise ``OSError`` at once if another process holds the lock."""
        stream.seek(1 << 20)  # a byte far behind the text, so that others can read the text
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        stream.seek(0)
else:
    import fcntl

    def seize(stream: IO[str]) -> None:
        """Lock the open file, or raise ``OSError`` at once if another process holds the lock."""
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(folder: Path, path: Path | None = None) -> Iterator[None]:
    """Hold the lock of ``folder`` during the block. File systems without locks are used without one.

    Args:
        folder: Folder that the block writes.
        path: Path of the lock file, by default ``<folder>/lock``; creates missing folders.

    Raises:
        DataError: Another process holds the lock (the message names its id), or the folder can't be
            written.
    """
    path = path or folder / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a+", encoding="ascii", errors="replace")
    except OSError as error:
        raise write_error(folder, error) from error
    with opened as stream:
        try:
            seize(stream)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                yield  # some network file systems have no locks; single writes are still atomic
                return
            if not isinstance(error, BlockingIOError | PermissionError):
                raise write_error(folder, error) from error
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            raise DataError(
                f"{folder} is being written by another process (process id {holder})",
                "Wait until it ends, or stop it; its finished parts are kept.",
            ) from error
        stream.seek(0)
        stream.truncate()
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        remove_unfinished(folder)
        yield


@contextmanager
def serialized(path: Path) -> Iterator[None]:
    """Hold the lock file at ``path`` during the block; waits for other holders, so the block must be short.

    The file is deleted at the end. File systems without locks are used without one.

    Raises:
        DataError: The folder can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = _wait_for(path)
    except OSError as error:
        raise write_error(path.parent, error) from error
    with stream:
        try:
            yield
        finally:
            with suppress(OSError):  # Windows does not delete an open file: it stays, without a lock
                path.unlink()


def _wait_for(path: Path) -> IO[str]:
    """Open the lock file and take its lock."""
    while True:
        stream = path.open("a+", encoding="ascii")
        try:
            seize(stream)
        except (BlockingIOError, PermissionError):
            stream.close()
            time.sleep(POLL)
            continue
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return stream
            stream.close()
            raise
        if is_at(path, stream.fileno()):
            return stream
        stream.close()  # the former holder deleted the file after this process had opened it
