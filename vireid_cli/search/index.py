"""The index on this machine: vectors in files, searched by FAISS; records in SQLite."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from vireid_cli import folders
from vireid_cli.errors import UsageError
from vireid_cli.lock import locked
from vireid_cli.search import ranking, verify, writing
from vireid_cli.search.columns import MODALITY, ColumnType
from vireid_cli.search.database import RECORDS, Database, column_types, write_meta
from vireid_cli.search.exact import exact_top, faiss
from vireid_cli.search.filters import Comparison, Every, Filter, parse_filter
from vireid_cli.search.records import IndexRecord, Match, read_records, records_at
from vireid_cli.search.snapshot import (
    SelectionCache,
    Snapshot,
    VectorMap,
    condition_of,
    snapshot_of,
)
from vireid_cli.search.writing import Added
from vireid_cli.types import Modality, Progress

Kind = Literal["exact", "hnsw", "ivf-pq"]
KINDS: tuple[Kind, ...] = ("exact", "hnsw", "ivf-pq")

GROUPS = ("pid", "path")

MOST_MATCHES = 10_000
"""Largest accepted number of matches per query."""

_GROUPED = 4
"""Candidates per requested group in the first step, and growth of later steps."""


class Index:
    """An index in a folder. Several threads may search it, and each search sees the newest committed state.

    Args:
        folder: Folder of an existing index.

    Raises:
        DataError: The folder is no index, or it is damaged.
        MissingExtra: FAISS is not installed.

    Attributes:
        folder: Folder of the index.
        name: Name of the folder.
    """

    def __init__(self, folder: Path) -> None:
        faiss()
        self.folder = folder
        self.name = folder.name
        self._database = Database(folder)
        self._vectors = VectorMap(folder)
        self._selections = SelectionCache()
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
        faiss()
        if kind not in KINDS:
            raise UsageError(f"there is no kind '{kind}'.", f"Choose: {', '.join(KINDS)}")
        with locked(folder.parent, folder.parent / ".lock"):
            if folder.exists():
                raise UsageError(f"{folder} exists already.", "Choose another name, or remove the folder.")
            meta = {
                "kind": kind,
                "model": model,
                "fingerprint": None,
                "dimension": None,
                "generation": 1,
                "slots": 0,
                "version": 1,
                "structure": None,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "identifier": secrets.token_hex(8),
            }
            with folders.replacing(folder, RECORDS) as fresh:
                Database.create(fresh, meta)
        return cls(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    @property
    def kind(self) -> Kind:
        """Kind of the index: exact, hnsw or ivf-pq."""
        kind: Kind = self._meta()["kind"]
        return kind

    @property
    def dimension(self) -> int | None:
        """Width D of the vectors; None before the first addition."""
        dimension: int | None = self._meta()["dimension"]
        return dimension

    @property
    def model(self) -> str | None:
        """Path of the model that embeds queries, or None."""
        model: str | None = self._meta()["model"]
        return model

    @property
    def fingerprint(self) -> dict[str, Any] | None:
        """Fingerprint of the embeddings; None before the first addition."""
        fingerprint: dict[str, Any] | None = self._meta()["fingerprint"]
        return fingerprint

    @property
    def columns(self) -> dict[str, ColumnType]:
        """Types of the columns that a filter can use, by name."""
        with self._database.reading() as connection:
            return column_types(connection)

    def search(
        self,
        vectors: np.ndarray,
        *,
        top: int = 20,
        where: str | None = None,
        modality: str | None = None,
        query_cameras: Sequence[int | None] | None = None,
        rerank: bool = False,
        group_by: str | None = None,
    ) -> list[list[Match]]:
        """Return the best matches of each query.

        Args:
            vectors: (Q, D) float32 queries, unit length.
            top: Number of matches per query; of groups with ``group_by``.
            where: Filter of the records; see ``filters``.
            modality: ``visible`` or ``infrared``: search this modality only.
            query_cameras: Camera of each query, whose records are excluded; None entries exclude nothing.
            rerank: Re-rank by k-reciprocal encoding, among the ``ranking.RERANKED`` best matches.
            group_by: ``pid`` or ``path``: the best match per person or image only. A record without a person
                is a group of its own.

        Returns:
            Matches of each query, best first; equal scores in the order of addition.

        Raises:
            UsageError: A wrong option, filter or width.
            DataError: The index is damaged.
        """
        _check_options(top, group_by, query_cameras, len(vectors))
        with self.snapshot() as state:
            if state.meta["dimension"] is None:
                return [[] for _ in vectors]
            queries = writing.checked_vectors(vectors, state.meta["dimension"])
            tree = _filter_of(where, modality, column_types(state.connection))
            size = len(queries)
            slots = np.full((size, top), -1)
            scores = np.full((size, top), -np.inf)
            distances = np.full((size, top), np.inf) if rerank else None
            for camera, places in _by_camera(query_cameras, size):
                selected = state.select(tree, camera)
                part = self._ranked(state, queries[places], selected, top, rerank, group_by)
                slots[places], scores[places] = part[0], part[1]
                if distances is not None:
                    distances[places] = part[2]
            records = records_at(state.connection, slots)
        return _matches(slots, scores, distances, records)

    def _ranked(
        self,
        state: Snapshot,
        queries: np.ndarray,
        selected: np.ndarray | None,
        top: int,
        rerank: bool,
        group_by: str | None,
    ) -> ranking.Ranked:
        """Search one selection for several queries."""
        count = len(state.vectors) if selected is None else len(selected)
        wanted = max(top, ranking.RERANKED) if rerank else top
        if group_by is None:
            return _cut(self._candidates(state, queries, selected, wanted, rerank), top)
        fetch = min(count, wanted * _GROUPED)
        while True:
            found = self._candidates(state, queries, selected, max(fetch, top), rerank)
            marks = ranking.first_of_groups(found[0], state.values(found[0], group_by))
            if fetch >= count or marks.sum(axis=1).min(initial=top) >= top:
                return ranking.take_marked(found, marks, top)
            fetch = min(count, fetch * _GROUPED)

    def _candidates(
        self, state: Snapshot, queries: np.ndarray, selected: np.ndarray | None, top: int, rerank: bool
    ) -> ranking.Ranked:
        slots, scores = exact_top(queries, state.vectors, selected, top)
        if not rerank:
            return slots, scores, None
        return ranking.rerank(queries, slots, scores, lambda chosen: state.vectors[chosen])

    def records(self, *, where: str | None = None, offset: int = 0, limit: int = 100) -> list[IndexRecord]:
        """Return records in the order of addition, ``limit`` of them from ``offset`` on."""
        with self._database.reading() as connection:
            tree = _filter_of(where, None, column_types(connection))
            condition, parameters = condition_of(connection, tree)
            tail = "ORDER BY records.id LIMIT ? OFFSET ?"
            return list(read_records(connection, condition, [*parameters, limit, offset], tail).values())

    def count(self, where: str | None = None) -> int:
        """Number of records that a filter selects; without a filter, of all."""
        with self._database.reading() as connection:
            condition, parameters = condition_of(
                connection, _filter_of(where, None, column_types(connection))
            )
            sql = f"SELECT count(*) FROM records WHERE {condition}"
            return int(connection.execute(sql, parameters).fetchone()[0])

    def record(self, identifier: int | str) -> IndexRecord:
        """Return the record with this identifier.

        Raises:
            UsageError: There is none.
        """
        with self._database.reading() as connection:
            known = read_records(connection, "records.id = ?", [_integer(identifier)])
        if not known:
            raise UsageError(f"index {self.name} has no record {identifier}.")
        return next(iter(known.values()))

    def vectors(self, identifiers: Sequence[int | str]) -> np.ndarray:
        """Return the vectors of records, in the given order: (n, D) float32.

        Raises:
            UsageError: A record does not exist.
        """
        numbers = [_integer(identifier) for identifier in identifiers]
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

    def check_fingerprint(self, fingerprint: Mapping[str, Any], source: str) -> None:
        """Refuse embeddings of another model; see ``writing.refuse_other_fingerprint``."""
        writing.refuse_other_fingerprint(self.fingerprint, fingerprint, self.name, source)

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
    ) -> Added:
        """Add records; see ``writing.add``. ``model`` is remembered as the model that embeds queries.

        Raises:
            UsageError: Unsuitable vectors or columns.
            DataError: Another model's embeddings, another process writes, a wrong value, or a full disk.
        """
        with locked(self.folder):
            added = writing.add(
                self._database,
                vectors,
                columns,
                fingerprint,
                source=source,
                root=root,
                replace=replace,
                progress=progress,
            )
            if model is not None:
                with self._database.writing() as connection:
                    write_meta(connection, "model", model)
        return added

    def remove(self, where: str) -> int:
        """Remove the records that a filter selects, and return their number."""
        with locked(self.folder):
            with self._database.reading() as connection:
                tree = parse_filter(where, column_types(connection))
            return writing.remove(self._database, tree)

    def compact(self, progress: Progress | None = None) -> int:
        """Drop the vectors of removed records; see ``writing.compact``. Returns their number."""
        with locked(self.folder):
            return writing.compact(self._database, progress)

    def verify(self, progress: Progress | None = None) -> list[str]:
        """Return all damage, one line each; see ``verify.verify``."""
        return verify.verify(self._database, progress)

    def info(self) -> dict[str, Any]:
        """Return a description as JSON values."""
        with self._database.reading() as connection:
            meta = {
                key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM meta")
            }
            counts = connection.execute("SELECT modality, count(*) FROM records GROUP BY modality").fetchall()
            columns = column_types(connection)
        records = sum(count for _, count in counts)
        return {
            "name": self.name,
            "folder": str(self.folder),
            "backend": "faiss",
            "kind": meta["kind"],
            "records": records,
            "modalities": dict(counts),
            "removed_vectors": meta["slots"] - records,
            "dimension": meta["dimension"],
            "columns": columns,
            "model": meta["model"],
            "fingerprint": meta["fingerprint"],
            "structure": meta["structure"],
            "created": meta["created"],
            "bytes": sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file()),
        }

    def _meta(self) -> dict[str, Any]:
        with self.snapshot() as state:
            return state.meta

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open the newest committed state for reading; see ``snapshot_of``."""
        with snapshot_of(self._database, self._vectors, self._selections) as state:
            yield state


def _check_options(
    top: int, group_by: str | None, cameras: Sequence[int | None] | None, queries: int
) -> None:
    if not 1 <= top <= MOST_MATCHES:
        raise UsageError(f"--top {top}: expected 1 to {MOST_MATCHES:,}.")
    if group_by is not None and group_by not in GROUPS:
        raise UsageError(f"--group-by {group_by}: choose {' or '.join(GROUPS)}.")
    if cameras is not None and len(cameras) != queries:
        raise UsageError(f"{len(cameras)} cameras for {queries} queries.")


def _filter_of(where: str | None, modality: str | None, columns: Mapping[str, ColumnType]) -> Filter | None:
    """Combine the filter and the modality."""
    parts: list[Filter] = []
    if modality is not None:
        if modality not in list(Modality):
            raise UsageError(f"there is no modality '{modality}'.", "Choose: visible or infrared")
        parts.append(Comparison(MODALITY, "=", modality))
    if where is not None:
        parts.append(parse_filter(where, columns))
    return None if not parts else parts[0] if len(parts) == 1 else Every(tuple(parts))


def _by_camera(cameras: Sequence[int | None] | None, queries: int) -> Iterator[tuple[int | None, np.ndarray]]:
    """Yield each camera with the places of its queries; one group without a camera if none is excluded."""
    if cameras is None:
        yield None, np.arange(queries)
        return
    for camera in dict.fromkeys(cameras):
        yield camera, np.array([place for place, other in enumerate(cameras) if other == camera])


def _cut(ranked: ranking.Ranked, top: int) -> ranking.Ranked:
    slots, scores, distances = ranked
    return slots[:, :top], scores[:, :top], None if distances is None else distances[:, :top]


def _matches(
    slots: np.ndarray, scores: np.ndarray, distances: np.ndarray | None, records: Mapping[int, IndexRecord]
) -> list[list[Match]]:
    return [
        [
            Match(
                records[int(slot)],
                float(scores[query, place]),
                place + 1,
                None if distances is None else float(distances[query, place]),
            )
            for place, slot in enumerate(row)
            if slot >= 0
        ]
        for query, row in enumerate(slots)
    ]


def _integer(identifier: int | str) -> int:
    try:
        return int(identifier)
    except ValueError:
        raise UsageError(f"a record's identifier is an integer, not '{identifier}'.") from None
