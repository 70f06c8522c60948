"""An index on a Qdrant server, with the methods of ``Index``."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from vireid_cli import folders
from vireid_cli.errors import UsageError
from vireid_cli.lock import locked
from vireid_cli.search.adding import EXISTS_ADVICE, Added, checked_vectors
from vireid_cli.search.columns import FILTERABLE, IDENTIFIER, ColumnType
from vireid_cli.search.contract import AnyIndex, Kind
from vireid_cli.search.pipeline import SearchOptions, filter_of
from vireid_cli.search.qdrant_add import add_points, seal_of
from vireid_cli.search.qdrant_collection import (
    POINTER,
    Collection,
    Pointer,
    connect,
    pages,
    read_collection,
    translated,
)
from vireid_cli.search.qdrant_filter import qdrant, to_qdrant
from vireid_cli.search.qdrant_search import record_of, search_points
from vireid_cli.search.records import IndexRecord, Match
from vireid_cli.types import Progress

KINDS: tuple[Kind, ...] = ("exact", "hnsw")


class QdrantIndex(AnyIndex):
    """An index on a Qdrant server, with a pointer in its folder.

    Args:
        folder: Folder with the pointer.

    Raises:
        DataError: The pointer is damaged, or the server can't be reached.
        MissingExtra: Qdrant's client is not installed.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._pointer = Pointer.read(folder)
        with translated(self._pointer.url):
            self._client = connect(self._pointer.url)
            read_collection(self._client, self._pointer.collection)

    @classmethod
    def create(cls, folder: Path, url: str, *, kind: str = "exact", model: str | None = None) -> Self:
        """Create an index; its collection has the folder's name and is created by the first addition.

        Raises:
            UsageError: The folder or the collection exists, or the kind or URL is unsuitable.
            DataError: The server can't be reached.
        """
        if kind not in KINDS:
            raise UsageError(f"an index on Qdrant has no kind '{kind}'.", f"Choose: {', '.join(KINDS)}")
        with locked(folder.parent, folder.parent / ".lock"):
            if folder.exists():
                raise UsageError(f"{folder} exists already.", EXISTS_ADVICE)
            with translated(url):
                client = connect(url)
                try:
                    read_collection(client, folder.name)  # an existing one of vireid is shared
                finally:
                    client.close()
            created = datetime.now(UTC).isoformat(timespec="seconds")
            with folders.replacing(folder, POINTER) as fresh:
                Pointer(url, folder.name, kind, model, created).write(fresh)
        return cls(folder)

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    @property
    def kind(self) -> Kind:
        """Kind of the index: exact or hnsw."""
        return self._pointer.kind

    @property
    def model(self) -> str | None:
        """Path of the model that embeds queries, or None."""
        return self._pointer.model

    @property
    def dimension(self) -> int | None:
        """Width of the vectors; None before the first addition."""
        collection = self._collection()
        return None if collection is None else collection.dimension

    @property
    def fingerprint(self) -> dict[str, Any] | None:
        """Fingerprint of the embeddings; None before the first addition."""
        collection = self._collection()
        return None if collection is None else collection.fingerprint

    @property
    def columns(self) -> dict[str, ColumnType]:
        """Types of the columns that a filter can use, by name."""
        return _columns(self._collection())

    def _search(
        self, vectors: np.ndarray, options: SearchOptions, progress: Progress | None
    ) -> list[list[Match]]:
        """Search the server's collection."""
        with translated(self._pointer.url):
            collection = self._collection()
            if collection is None:
                return [[] for _ in vectors]
            options.check_model(collection.fingerprint, self.name)
            queries = checked_vectors(vectors, collection.dimension)
            columns = _columns(collection)
            condition = to_qdrant(filter_of(options.where, options.modality, columns), columns)
            name, exact = self._pointer.collection, self.kind == "exact"
            return search_points(self._client, name, queries, condition, options, exact, progress)

    def records(self, *, where: str | None = None, offset: int = 0, limit: int = 100) -> list[IndexRecord]:
        """Return records in the order of identifiers, ``limit`` of them from ``offset`` on."""
        result: list[IndexRecord] = []
        with translated(self._pointer.url):
            for points in pages(
                self._client, self._pointer.collection, self._condition(where), vectors=False
            ):
                result += [record_of(point) for point in points]
                if len(result) >= offset + limit:
                    break
        return result[offset : offset + limit]

    def count(self, where: str | None = None) -> int:
        """Number of records that a filter selects; without a filter, of all."""
        with translated(self._pointer.url):
            if self._collection() is None:
                return 0
            name, condition = self._pointer.collection, self._condition(where)
            return int(self._client.count(name, count_filter=condition, exact=True).count)

    def record(self, identifier: int | str) -> IndexRecord:
        """Return the record with this identifier."""
        return record_of(self._retrieve([identifier], vectors=False)[0])

    def vectors(self, identifiers: Sequence[int | str]) -> np.ndarray:
        """Return the vectors of records, in the given order: (n, D) float32."""
        points = self._retrieve(identifiers, vectors=True)
        return np.array([point.vector for point in points], np.float32).reshape(len(points), -1)

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
        """Add records; the server confirms each part, and builds its structures itself."""
        with locked(self.folder), translated(self._pointer.url):
            self.check_fingerprint(fingerprint, source)
            added = add_points(
                self._client,
                self._pointer.collection,
                checked_vectors(vectors, self.dimension),
                columns,
                fingerprint,
                root=root,
                replace=replace,
                progress=progress,
            )
            if model is not None:
                pointer = self._pointer
                self._pointer = Pointer(pointer.url, pointer.collection, self.kind, model, pointer.created)
                self._pointer.write(self.folder)
        return added

    def remove(self, where: str) -> int:
        """Remove the records that a filter selects, and return their number."""
        with translated(self._pointer.url):
            count = self.count(where)
            if count:
                selector = qdrant().models.FilterSelector(filter=self._condition(where))
                self._client.delete(self._pointer.collection, selector, wait=True)
        return count

    def compact(
        self,
        progress: Progress | None = None,
        *,
        kind: Kind | None = None,
        build_progress: Progress | None = None,
    ) -> int:
        """Return 0: the server compacts its collections itself.

        Raises:
            UsageError: A new kind is given; create another index instead.
        """
        if kind not in (None, self.kind):
            raise UsageError("the kind of an index on Qdrant can't be changed.", "Create another index.")
        return 0

    def verify(self, progress: Progress | None = None) -> list[str]:
        """Compare each record and its vector with the record's seal; one line per mismatch."""
        damage: list[str] = []
        done, total = 0, self.count()
        with translated(self._pointer.url):
            for points in pages(self._client, self._pointer.collection, None, vectors=True):
                damage += [
                    f"record {point.id} ({point.payload.get('path')}): its values or its vector are damaged"
                    for point in points
                    if point.payload.get("seal") != seal_of(np.array(point.vector, "<f4"), point.payload)
                ]
                done += len(points)
                if progress:
                    progress(done, total)
        return damage

    def info(self) -> dict[str, Any]:
        """Return a description as JSON values."""
        counts = {name: self.count(f"modality = '{name}'") for name in ("infrared", "visible")}
        return {
            "name": self.name,
            "folder": str(self.folder),
            "backend": f"qdrant {self._pointer.url}",
            "kind": self.kind,
            "records": self.count(),
            "modalities": {name: count for name, count in counts.items() if count},
            "removed_vectors": 0,
            "dimension": self.dimension,
            "columns": self.columns,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "structure": None,
            "created": self._pointer.created,
            "bytes": (self.folder / POINTER).stat().st_size,
        }

    def _collection(self) -> Collection | None:
        with translated(self._pointer.url):
            return read_collection(self._client, self._pointer.collection)

    def _condition(self, where: str | None) -> Any:
        """Translate the text of a filter."""
        columns = self.columns
        return to_qdrant(filter_of(where, None, columns), columns)

    def _retrieve(self, identifiers: Sequence[int | str], *, vectors: bool) -> list[Any]:
        """Return points in the given order.

        Raises:
            UsageError: A point does not exist.
        """
        wanted = [str(identifier) for identifier in identifiers]
        points: dict[str, Any] = {}
        if all(map(_is_identifier, wanted)) and self._collection() is not None:
            with translated(self._pointer.url):
                name = self._pointer.collection
                retrieved = self._client.retrieve(name, wanted, with_payload=True, with_vectors=vectors)
            points = {str(point.id): point for point in retrieved}
        for identifier in wanted:
            if identifier not in points:
                raise UsageError(f"index {self.name} has no record {identifier}.")
        return [points[identifier] for identifier in wanted]


def _columns(collection: Collection | None) -> dict[str, ColumnType]:
    """Types of the columns that a filter can use; identifiers are texts."""
    return {**FILTERABLE, IDENTIFIER: "text", **(collection.columns if collection else {})}


def _is_identifier(text: str) -> bool:
    """Whether a text is a UUID, as the server's identifiers are."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
