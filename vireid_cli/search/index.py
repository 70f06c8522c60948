"""The index on this machine: vectors in files, records in SQLite."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from vireid_cli import folders
from vireid_cli.errors import UsageError
from vireid_cli.lock import locked
from vireid_cli.search import adding, structures, verify, writing
from vireid_cli.search.adding import EXISTS_ADVICE, Added
from vireid_cli.search.approximate import StructureCache
from vireid_cli.search.columns import ColumnType
from vireid_cli.search.contract import KINDS, AnyIndex, Kind
from vireid_cli.search.database import RECORDS, Database, column_types
from vireid_cli.search.description import describe
from vireid_cli.search.exact import faiss
from vireid_cli.search.filters import parse_filter
from vireid_cli.search.meta import IndexMeta, write_meta
from vireid_cli.search.pipeline import SearchOptions, filter_of, search
from vireid_cli.search.records import IndexRecord, Match, read_records
from vireid_cli.search.snapshot import SelectionCache, Snapshot, VectorMap, condition_of, snapshot_of
from vireid_cli.types import Progress


class Index(AnyIndex):
    """An index in a folder. Several threads may search it, and each search sees the newest committed state.

    Args:
        folder: Folder of an existing index.

    Raises:
        DataError: The folder is no index, or it is damaged.

    Attributes:
        folder: Folder of the index.
        name: Name of the folder.
        database: Records, settings and the commit point of additions.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.database = Database(folder)
        self._caches = (VectorMap(folder), SelectionCache(), StructureCache())
        with self.snapshot():
            pass

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open an index; see the class."""
        return cls(folder)

    @classmethod
    def create(cls, folder: Path, *, kind: Kind = "exact", model: str | None = None) -> Self:
        """Create an empty index.

        Args:
            folder: Its folder, which must not exist.
            kind: ``exact``, or an approximate structure of FAISS for millions of records.
            model: Path of the model that embeds queries.

        Raises:
            UsageError: The folder exists, or the kind is unknown.
            DataError: The folder can't be written.
        """
        _check_kind(kind)
        with locked(folder.parent, folder.parent / ".lock"):
            if folder.exists():
                raise UsageError(f"{folder} exists already.", EXISTS_ADVICE)
            with folders.replacing(folder, RECORDS) as fresh:
                Database.create(fresh, writing.first_meta(kind, model))
        return cls(folder)

    def close(self) -> None:
        """Close the connections to the database."""
        self.database.close()

    @property
    def kind(self) -> Kind:
        """Kind of the index: exact, hnsw or ivf-pq."""
        return self._meta()["kind"]

    @property
    def dimension(self) -> int | None:
        """Width D of the vectors; None before the first addition."""
        return self._meta()["dimension"]

    @property
    def model(self) -> str | None:
        """Path of the model that embeds queries, or None."""
        return self._meta()["model"]

    @property
    def fingerprint(self) -> dict[str, Any] | None:
        """Fingerprint of the embeddings; None before the first addition."""
        return self._meta()["fingerprint"]

    @property
    def columns(self) -> dict[str, ColumnType]:
        """Types of the columns that a filter can use, by name."""
        with self.database.reading() as connection:
            return column_types(connection)

    def _search(
        self, vectors: np.ndarray, options: SearchOptions, progress: Progress | None
    ) -> list[list[Match]]:
        """Search the newest committed state."""
        with self.snapshot() as state:
            return search(state, vectors, options, progress)

    def records(self, *, where: str | None = None, offset: int = 0, limit: int = 100) -> list[IndexRecord]:
        """Return records in the order of addition, ``limit`` of them from ``offset`` on."""
        with self.database.reading() as connection:
            tree = filter_of(where, None, column_types(connection))
            condition, parameters = condition_of(connection, tree)
            tail = "ORDER BY records.id LIMIT ? OFFSET ?"
            return list(read_records(connection, condition, [*parameters, limit, offset], tail).values())

    def count(self, where: str | None = None) -> int:
        """Number of records that a filter selects; without a filter, of all."""
        with self.database.reading() as connection:
            condition, parameters = condition_of(connection, filter_of(where, None, column_types(connection)))
            sql = f"SELECT count(*) FROM records WHERE {condition}"
            return int(connection.execute(sql, parameters).fetchone()[0])

    def record(self, identifier: int | str) -> IndexRecord:
        """Return the record with this identifier.

        Raises:
            UsageError: There is none.
        """
        with self.database.reading() as connection:
            known = read_records(connection, "records.id = ?", [self._integer(identifier)])
        if not known:
            raise UsageError(f"index {self.name} has no record {identifier}.")
        return next(iter(known.values()))

    def vectors(self, identifiers: Sequence[int | str]) -> np.ndarray:
        """Return the vectors of records, in the given order: (n, D) float32.

        Raises:
            UsageError: A record does not exist.
        """
        numbers = [self._integer(identifier) for identifier in identifiers]
        with self.snapshot() as state:
            rows = state.connection.execute(
                "SELECT id, slot FROM records WHERE id IN (SELECT value FROM json_each(?))",
                [json.dumps(numbers)],
            )
            slots = dict(rows.fetchall())
            for number in numbers:
                if number not in slots:
                    raise UsageError(f"index {self.name} has no record {number}.")
            return np.array(state.vectors[[slots[number] for number in numbers]])

    def add(
        self,
        vectors: np.ndarray,
        columns: Mapping[str, Sequence[Any]],
        *,
        fingerprint: Mapping[str, Any],
        source: str = "the embeddings",
        root: str = "",
        model: str | None = None,
        replace: bool = False,
        progress: Progress | None = None,
        build_progress: Progress | None = None,
    ) -> Added:
        """Add records; see ``AnyIndex.add``. Its transactions are those of ``adding.add``."""
        with locked(self.folder):
            added = adding.add(
                self.database,
                vectors,
                columns,
                fingerprint,
                source=source,
                root=root,
                replace=replace,
                progress=progress,
            )
            if model is not None:
                with self.database.writing() as connection:
                    write_meta(connection, "model", model)
            structures.maintain(self.database, self._caches[0], progress=build_progress)
        return added

    def remove(self, where: str) -> int:
        """Remove the records that a filter selects, and return their number."""
        with locked(self.folder):
            with self.database.reading() as connection:
                tree = parse_filter(where, column_types(connection))
            return writing.remove(self.database, tree)

    def compact(
        self,
        progress: Progress | None = None,
        *,
        kind: Kind | None = None,
        build_progress: Progress | None = None,
    ) -> int:
        """Drop the vectors of removed records; see ``AnyIndex.compact``; errors: ``writing.compact``."""
        if kind is not None:
            _check_kind(kind)
        with locked(self.folder):
            dropped = writing.compact(self.database, progress)
            if kind is not None:
                writing.change_kind(self.database, kind)
            structures.maintain(self.database, self._caches[0], rebuild=True, progress=build_progress)
        return dropped

    def verify(self, progress: Progress | None = None) -> list[str]:
        """Return all damage, one line each; see ``verify.verify``."""
        return verify.verify(self.database, progress)

    def info(self) -> dict[str, Any]:
        """Return a description as JSON values."""
        return describe(self.database)

    def _integer(self, identifier: int | str) -> int:
        """Convert the identifier of a record to an integer of 64 bits, as SQLite has them."""
        try:
            number = int(identifier)
        except ValueError:
            raise UsageError(f"a record's identifier is an integer, not '{identifier}'.") from None
        if not -(2**63) <= number < 2**63:
            raise UsageError(f"index {self.name} has no record {identifier}.")
        return number

    def _meta(self) -> IndexMeta:
        """Values of ``meta`` in the newest state."""
        with self.snapshot() as state:
            return state.meta

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open the newest committed state for reading; see ``snapshot_of``."""
        with snapshot_of(self.database, *self._caches) as state:
            yield state


def _check_kind(kind: str) -> None:
    """Refuse an unknown kind, and an approximate one without FAISS."""
    if kind not in KINDS:
        raise UsageError(f"there is no kind '{kind}'.", f"Choose: {', '.join(KINDS)}")
    if kind != "exact":
        faiss()
