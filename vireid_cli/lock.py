"""One process at a time writes a folder: a lock that the system drops when its holder dies."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vireid_cli.errors import DataError
from vireid_cli.files import write_error
from vireid_cli.unfinished import remove_unfinished

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, getattr(errno, "ENOTSUP", errno.ENOSYS))

if sys.platform == "win32":
    import msvcrt

    def _seize(stream: IO[str]) -> None:
        stream.seek(1 << 20)  # a byte far behind the text, which must stay readable for others
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        stream.seek(0)
else:
    import fcntl

    def _seize(stream: IO[str]) -> None:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(folder: Path, path: Path | None = None) -> Iterator[None]:
    """Hold the lock of ``folder`` while the block runs; a file system without locks is written without.

    Args:
        folder: What is written.
        path: The lock's file; missing folders are made. None: ``<folder>/lock``.

    Raises:
        DataError: Another process holds it (the message gives its number), or the folder can't be written.
    """
    path = path or folder / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a+", encoding="ascii", errors="replace")
    except OSError as error:
        raise write_error(folder, error) from error
    with opened as stream:
        try:
            _seize(stream)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                yield  # some network file systems have no locks; the writes are atomic there, too
                return
            if not isinstance(error, BlockingIOError | PermissionError):
                raise write_error(folder, error) from error
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            raise DataError(
                f"{folder} is being written by another process (process id {holder})",
                "Wait until it is done, or stop it; what it has finished is kept.",
            ) from error
        stream.seek(0)
        stream.truncate()
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        remove_unfinished(folder)
        yield
