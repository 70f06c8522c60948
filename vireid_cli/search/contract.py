"""The contract of an index, on this machine or on a server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from vireid_cli.search.adding import Added, refuse_other_fingerprint
from vireid_cli.search.columns import ColumnType
from vireid_cli.search.pipeline import SearchOptions
from vireid_cli.search.records import IndexRecord, Match
from vireid_cli.types import Progress

Kind = Literal["exact", "hnsw", "ivf-pq"]
KINDS: tuple[Kind, ...] = ("exact", "hnsw", "ivf-pq")


class AnyIndex(ABC):
    """An index: vectors with their records. It is closed at the end of a ``with`` block.

    Args:
        folder: Its folder; that of a server's index has the server's address only.

    Attributes:
        folder: Folder of the index.
        name: Name of the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name

    def __enter__(self) -> Self:
        """Return the index, which is closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the index; see ``close``."""
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close the connections to the database or to the server."""

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """Kind of the index: exact, hnsw or ivf-pq."""

    @property
    @abstractmethod
    def dimension(self) -> int | None:
        """Width D of the vectors; None before the first addition."""

    @property
    @abstractmethod
    def model(self) -> str | None:
        """Path of the model that embeds queries, or None."""

    @property
    @abstractmethod
    def fingerprint(self) -> dict[str, Any] | None:
        """Fingerprint of the embeddings; None before the first addition."""

    @property
    @abstractmethod
    def columns(self) -> dict[str, ColumnType]:
        """Types of the columns that a filter can use, by name."""

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
        fingerprint: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> list[list[Match]]:
        """Return the best matches of each query.

        Args:
            vectors: (Q, D) float32 queries, unit length.
            top, where, modality, query_cameras, rerank, group_by, fingerprint: See ``SearchOptions``.
            progress: Called with the numbers of re-ranked and of all queries.

        Returns:
            Matches of each query, best first; equal scores in the order of addition, on a server of paths.

        Raises:
            UsageError: A wrong option, filter or width.
            OtherModel: The index has embeddings of another model than ``fingerprint``.
            DataError: The index is damaged, or its server can't be reached.
        """
        options = SearchOptions(top, where, modality, query_cameras, rerank, group_by, fingerprint)
        options.check(len(vectors))
        return self._search(vectors, options, progress)

    @abstractmethod
    def _search(
        self, vectors: np.ndarray, options: SearchOptions, progress: Progress | None
    ) -> list[list[Match]]:
        """Search with checked options; see ``search``."""

    @abstractmethod
    def records(self, *, where: str | None = None, offset: int = 0, limit: int = 100) -> list[IndexRecord]:
        """Return records in a fixed order, ``limit`` of them from ``offset`` on."""

    @abstractmethod
    def count(self, where: str | None = None) -> int:
        """Number of records that a filter selects; without a filter, of all."""

    @abstractmethod
    def record(self, identifier: int | str) -> IndexRecord:
        """Return the record with this identifier.

        Raises:
            UsageError: There is none.
        """

    @abstractmethod
    def vectors(self, identifiers: Sequence[int | str]) -> np.ndarray:
        """Return the vectors of records, in the given order: (n, D) float32.

        Raises:
            UsageError: A record does not exist.
        """

    def check_fingerprint(self, fingerprint: Mapping[str, Any], source: str) -> None:
        """Refuse embeddings of another model; see ``adding.refuse_other_fingerprint``."""
        refuse_other_fingerprint(self.fingerprint, fingerprint, self.name, source)

    @abstractmethod
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
        """Add records; see ``adding.add``.

        Args:
            vectors, columns, fingerprint, source, root, replace, progress: See ``adding.add``.
            model: Path of the model that embeds queries; None keeps the stored one.
            build_progress: Called with the numbers of vectors in the approximate structure and of all.

        Raises:
            UsageError: Unsuitable vectors or columns.
            DataError: Another model's embeddings, another process writes, a wrong value, or a full disk.
        """

    @abstractmethod
    def remove(self, where: str) -> int:
        """Remove the records that a filter selects, and return their number."""

    @abstractmethod
    def compact(
        self,
        progress: Progress | None = None,
        *,
        kind: Kind | None = None,
        build_progress: Progress | None = None,
    ) -> int:
        """Drop the vectors of removed records and build the approximate structure again.

        Args:
            progress: Called with the numbers of copied and of all vectors.
            kind: New kind of the index; None keeps it.
            build_progress: Called with the numbers of vectors in the structure and of all.

        Returns:
            Number of dropped vectors.
        """

    @abstractmethod
    def verify(self, progress: Progress | None = None) -> list[str]:
        """Compare each record and its vector with the record's seal; return one line per mismatch."""

    @abstractmethod
    def info(self) -> dict[str, Any]:
        """Return a description as JSON values."""
