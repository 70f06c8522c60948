"""One committed state of an index, as a reader sees it during a search."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.errors import DataError
from vireid_cli.search.approximate import Structure, StructureCache
from vireid_cli.search.columns import CAMERA
from vireid_cli.search.database import Connection, Database, bound, stored_names
from vireid_cli.search.filter_sql import to_sql
from vireid_cli.search.filters import Filter
from vireid_cli.search.meta import IndexMeta, all_meta
from vireid_cli.search.segments import mapped, vector_file

_CACHED_BYTES = 64 << 20
"""Size of all cached selections."""

_TRIES = 20
_VERIFY = "List all damage: vireid index verify NAME"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A committed state: its transaction, values of ``meta`` and vectors.

    Attributes:
        connection: In a transaction.
        meta: Values of the table ``meta``.
        vectors: (N, D) float32, mapped; rows without a record belong to removed ones.
        selections: Cache of selected slots.
        structures: Cache of the approximate structure.
        folder: Folder of the index.
    """

    connection: Connection
    meta: IndexMeta
    vectors: np.ndarray
    selections: SelectionCache
    structures: StructureCache
    folder: Path

    def structure(self) -> Structure | None:
        """Load the approximate structure; None if there is none, or its file was replaced meanwhile.

        Raises:
            DataError: Its file is damaged.
        """
        try:
            return self.structures.get(self.folder, self.meta["structure"])
        except FileNotFoundError:
            return None

    def select(self, tree: Filter | None, without_camera: int | None = None) -> np.ndarray | None:
        """Select slots, ascending.

        Args:
            tree: The filter, or None.
            without_camera: Exclude the records of this camera; records without a camera remain.

        Returns:
            (n,) int64; None if all rows of ``vectors`` are selected.
        """
        file = (self.meta["identifier"], self.connection.epoch)  # a copy of the folder has its identifier
        key = (file, self.meta["version"], tree, without_camera)
        return self.selections.get(key, lambda: self._select(tree, without_camera))

    def _select(self, tree: Filter | None, without_camera: int | None) -> np.ndarray | None:
        """Select slots by SQL."""
        condition, parameters = condition_of(self.connection, tree)
        if without_camera is not None:
            condition = f"({condition}) AND records.{CAMERA} IS NOT ?"
            parameters = [*parameters, without_camera]
        rows = self.connection.execute(
            f"SELECT records.slot FROM records WHERE {condition} ORDER BY records.slot", parameters
        ).fetchall()
        try:
            slots = np.array(rows, dtype=np.int64).reshape(-1)
        except (ValueError, TypeError, OverflowError) as error:
            raise DataError(f"{self.folder}: a record has no valid slot.", _VERIFY) from error
        if len(slots) and not 0 <= slots[0] <= slots[-1] < len(self.vectors):
            raise DataError(f"{self.folder}: a record has a slot without a vector.", _VERIFY)
        return None if len(slots) == len(self.vectors) else slots

    def values(self, slots: np.ndarray, column: str) -> dict[int, Any]:
        """Values of a fixed column by slot."""
        wanted = json.dumps(np.unique(slots[slots >= 0]).tolist())
        stored = stored_names(self.connection)[column]
        return dict(
            self.connection.execute(
                f"SELECT records.slot, {stored} FROM records "
                "WHERE records.slot IN (SELECT value FROM json_each(?))",
                [wanted],
            )
        )


class SelectionCache:
    """The most recently used selections of slots, up to a number of bytes."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Any, np.ndarray | None] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Any, compute: Any) -> np.ndarray | None:
        """Return the cached selection of a key, or compute it."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        slots: np.ndarray | None = compute()
        with self._lock:
            if key not in self._entries:
                self._entries[key] = slots
                self._bytes += 0 if slots is None else slots.nbytes
            while self._bytes > _CACHED_BYTES and len(self._entries) > 1:
                _, old = self._entries.popitem(last=False)
                self._bytes -= 0 if old is None else old.nbytes
        return slots


class VectorMap:
    """The mapped vectors of the newest state; an older mapping stays valid for the searches that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key: tuple[Any, ...] | None = None
        self._vectors = np.empty((0, 1), np.float32)
        self._lock = threading.Lock()

    def get(self, meta: IndexMeta) -> np.ndarray:
        """Map the committed rows; see ``segments.mapped`` for errors."""
        path = vector_file(self.folder, meta["generation"])
        key: tuple[Any, ...] = (meta["identifier"], meta["generation"], meta["slots"], meta["dimension"])
        if meta["slots"]:
            state = path.stat()
            key += (state.st_dev, state.st_ino)  # another file has other numbers while this one is mapped
        with self._lock:
            if key != self._key:
                self._vectors = mapped(path, meta["slots"], meta["dimension"])
                self._key = key
            return self._vectors


@contextmanager
def snapshot_of(
    database: Database, vectors: VectorMap, selections: SelectionCache, structures: StructureCache
) -> Iterator[Snapshot]:
    """Open the newest committed state; the caches belong to the same folder.

    Raises:
        DataError: The index is damaged, or locked for too long.
    """
    for _ in range(_TRIES):
        with database.reading() as connection:
            meta = all_meta(connection)
            try:
                rows = vectors.get(meta)
            except FileNotFoundError:  # compaction replaced it after this transaction began
                continue
            if not database.is_current(connection):  # the vectors may be those of another index
                continue
            yield Snapshot(connection, meta, rows, selections, structures, database.folder)
            return
    path = vector_file(database.folder, meta["generation"])
    raise DataError(f"{path} does not exist.", "Restore it from a copy, or create the index again.")


def condition_of(connection: sqlite3.Connection, tree: Filter | None) -> tuple[str, Sequence[Any]]:
    """SQL condition and parameters of a filter; without one, a condition that always holds."""
    if tree is None:
        return "1", []
    condition, parameters = to_sql(tree, stored_names(connection))
    return condition, [bound(value) for value in parameters]
