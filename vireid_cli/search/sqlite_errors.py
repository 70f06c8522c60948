"""Errors of SQLite as errors of this package."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vireid_cli.errors import DataError, UsageError

_LIMITS = ("Expression tree", "too many", "parser stack")
"""Beginnings of SQLite's messages about statements beyond its limits."""

_DAMAGE = ("no such", "disk I/O", "table ")
"""Beginnings of SQLite's messages about files of another content than this package writes."""

_READ_ONLY_ADVICE = "Check the permissions of the folder, or copy the index to a local disk."


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Convert SQLite's errors about a database.

    Raises:
        UsageError: A statement exceeds a limit of SQLite.
        DataError: The database is locked, damaged or can't be written, or SQLite fails otherwise.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise DataError(
                f"{path} is locked by another process.", "Run this again when that process has finished."
            ) from error
        if "full" in text:
            raise DataError(
                f"cannot write {path}: the disk is full.", "Free some space; earlier content is unchanged."
            ) from error
        if "readonly" in text or "unable to open" in text:
            raise DataError(f"{path} can't be opened or written: {text}.", _READ_ONLY_ADVICE) from error
        if text.startswith(_LIMITS):
            raise UsageError(f"the filter exceeds a limit of SQLite: {text}.", "Shorten it.") from error
        if text.startswith(_DAMAGE):
            raise DataError(f"{path}: {text}.", "Check it: vireid index verify NAME") from error
        raise DataError(f"SQLite failed with {path}: {text}.", "Run this again.") from error
    except sqlite3.DatabaseError as error:
        raise DataError(f"{path} is damaged: {error}.", "Create the index again.") from error
