"""One process at a time writes a folder: a lock that the system drops when its holder dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vireid_cli.errors import DataError

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
    """Hold the lock of ``folder`` while the block runs.

    Args:
        folder: What is written.
        path: The lock's file, whose folder is made where it is missing; None: ``<folder>/lock``.

    Raises:
        DataError: Another process holds it; its number is named.
    """
    path = path or folder / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as stream:
        try:
            _seize(stream)
        except (BlockingIOError, PermissionError) as error:
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
        yield
