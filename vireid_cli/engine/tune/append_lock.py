"""Lock for lines of the journal. The system releases it if the process ends, unlike those of Optuna."""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO

from vireid_cli.lock import seize

POLL_SECONDS = 0.005


class AppendLock:
    """Lock on a file, with the methods of Optuna's locks; file systems without locks are used without one.

    Args:
        path: Path of the lock file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: IO[str] | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._stream = self._path.open("a+", encoding="ascii")
        while True:
            try:
                seize(self._stream)
            except (BlockingIOError, PermissionError):
                time.sleep(POLL_SECONDS)
                continue
            except OSError:  # no locks
                pass
            return True

    def release(self) -> None:
        """Release the lock."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
