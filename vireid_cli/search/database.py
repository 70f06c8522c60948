"""The SQLite database of an index: schema, connections, transactions. A commit in it is an acknowledgement.

The database is in WAL mode, so that readers continue while one process writes, and every commit is flushed
to the disk (``synchronous = FULL``). WAL needs a local disk.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vireid_cli.errors import DataError
from vireid_cli.search.columns import FILTERABLE, FIXED, IDENTIFIER, ColumnType
from vireid_cli.search.meta import write_meta
from vireid_cli.search.sqlite_errors import translated

RECORDS = "records.sqlite"
"""Name of the database in the folder of an index."""

APPLICATION = 0x76697265
"""SQLite's application id of an index: "vire"."""

VERSION = 1
"""Version of the schema."""

BUSY_SECONDS = 30.0
"""Seconds that a connection waits for another one's lock."""

_TRIES = 20

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE columns (name TEXT PRIMARY KEY, stored TEXT NOT NULL UNIQUE, type TEXT NOT NULL);
CREATE TABLE roots (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
CREATE TABLE records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    slot INTEGER NOT NULL UNIQUE,
    seal INTEGER NOT NULL,
    root INTEGER NOT NULL,
    path TEXT NOT NULL,
    modality TEXT NOT NULL,
    camid INTEGER,
    pid INTEGER,
    time TEXT,
    UNIQUE (root, path, modality)
);
"""


class Connection(sqlite3.Connection):
    """A connection to the database.

    Attributes:
        epoch: Number of the file among those that were at the database's path, see ``Database.epoch``.
    """

    epoch = 0


class Database:
    """Connections to the database of one index; several threads may use it.

    If the file is replaced, such as by another index of the same name, connections to the former one are
    closed: they would read the deleted file for ever.

    Args:
        folder: Folder of the index.

    Attributes:
        folder: Folder of the index.
        path: The database's file.
        epoch: Number of the file at this path, from 1; a replacement increases it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / RECORDS
        self.epoch = 0
        self._file: tuple[int, int] | None = None
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    @staticmethod
    def create(folder: Path, meta: dict[str, Any]) -> None:
        """Create the database in an empty folder, with its first ``meta`` values, and close it."""
        with translated(folder / RECORDS):
            connection = sqlite3.connect(folder / RECORDS, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_SCHEMA)
                connection.execute("BEGIN")
                for key, value in meta.items():
                    write_meta(connection, key, value)
                connection.execute("COMMIT")
            finally:
                connection.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees one committed state, whatever other processes write meanwhile.

        Raises:
            DataError: The database is missing, damaged, of another version, or locked for too long.
        """
        with translated(self.path):
            connection = self._take()
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                self._give(connection)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that writes; it commits at the end of the block and rolls back on an error.

        Raises:
            DataError: As ``reading``; or the disk is full, or the folder is read-only.
        """
        with translated(self.path):
            connection = self._take()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            finally:
                self._give(connection)

    def vacuum(self) -> None:
        """Return unused pages to the file system."""
        with translated(self.path):
            connection = self._take()
            try:
                connection.execute("VACUUM")
                # a reader may still need the log: then the next checkpoint empties it
                connection.execute("PRAGMA busy_timeout = 0")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                connection.execute(f"PRAGMA busy_timeout = {int(1000 * BUSY_SECONDS)}")
            finally:
                self._give(connection)

    def close(self) -> None:
        """Close all idle connections; those in use are closed at the end of their block."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def is_current(self, connection: Connection) -> bool:
        """Whether the file of a connection is still the one at the database's path."""
        with self._lock:
            self._notice_replacement()
            return connection.epoch == self.epoch

    def _take(self) -> Connection:
        """Return an idle connection, or open one."""
        for _ in range(_TRIES):
            with self._lock:
                self._notice_replacement()
                if self._idle:
                    return self._idle.pop()
                epoch = self.epoch
            connection = self._connect()
            connection.epoch = epoch
            if self.is_current(connection):
                return connection
            connection.close()  # the file was replaced while it was opened
        raise DataError(f"{self.path} is replaced again and again.", "Run this again later.")

    def _notice_replacement(self) -> None:
        """Compare the file with the last one; close the idle connections to another one.

        An open connection keeps its file's number from being used again. The caller holds ``_lock``.
        """
        try:
            state = self.path.stat()
            file = (state.st_dev, state.st_ino)
        except OSError:
            file = None
        if file != self._file:
            self._file = file
            self.epoch += 1
            idle, self._idle = self._idle, []
            for connection in idle:
                connection.close()

    def _give(self, connection: Connection) -> None:
        """Roll back an open transaction and keep the connection for later."""
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        with self._lock:
            if not self._closed and connection.epoch == self.epoch:
                self._idle.append(connection)
                return
        connection.close()

    def _connect(self) -> Connection:
        """Open a connection."""
        if not self.path.is_file():
            raise DataError(f"{self.folder} is not an index: {RECORDS} is missing.")
        writable = os.access(self.folder, os.W_OK) and os.access(self.path, os.W_OK)
        # Without permission to write, SQLite can't create the WAL's shared memory. The file alone is
        # complete if no process left a log.
        immutable = not writable and not self.path.with_name(f"{RECORDS}-wal").exists()
        mode = "rw" if writable else "ro&immutable=1" if immutable else "ro"
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
        try:
            connection.text_factory = decoded
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA synchronous = FULL")
            self._check_version(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_version(self, connection: sqlite3.Connection) -> None:
        """Refuse the databases of other programs and other versions."""
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION:
            raise DataError(f"{self.path} is not the database of an index.")
        if version != VERSION:
            raise DataError(
                f"{self.path} has version {version} of the schema; this version of vireid reads {VERSION}.",
                "Update vireid, or create the index again.",
            )


def added_columns(connection: sqlite3.Connection) -> dict[str, tuple[str, ColumnType]]:
    """Columns of the user's lists: name in the database and type, by name, in the order of their addition."""
    rows = connection.execute("SELECT name, stored, type FROM columns ORDER BY rowid").fetchall()
    return {name: (stored, kind) for name, stored, kind in rows}


def column_types(connection: sqlite3.Connection) -> dict[str, ColumnType]:
    """Types of all columns that a filter can use, by name."""
    return FILTERABLE | {name: kind for name, (_, kind) in added_columns(connection).items()}


def stored_names(connection: sqlite3.Connection) -> dict[str, str]:
    """Names in the database of all columns that a filter can use; none of them is the user's text."""
    own = {name: f"records.{name}" for name in FIXED} | {IDENTIFIER: "records.id"}
    return own | {name: f"records.{stored}" for name, (stored, _) in added_columns(connection).items()}


def bound(value: Any) -> Any:
    """A parameter of SQL: text with bytes that are not UTF-8 (a file name) becomes these bytes.

    The statement converts it by ``CAST(? AS TEXT)``.
    """
    if isinstance(value, str) and not value.isascii():
        encoded = value.encode("utf-8", "surrogateescape")
        return encoded if encoded != value.encode("utf-8", "replace") else value
    return value


def decoded(content: bytes) -> str:
    """Text of the database; bytes that are not UTF-8 become lone surrogates, as in Python's file names."""
    return content.decode("utf-8", "surrogateescape")
