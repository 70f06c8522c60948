"""Records of an index, matches of a query, and the seal that ties a record to its vector."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.search.columns import FIXED, Cell, as_text
from vireid_cli.search.database import added_columns


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """One image of an index.

    Attributes:
        id: Identifier, never used again; a UUID on a Qdrant server.
        path: Path of the image, relative to ``root``.
        root: Folder of the images; empty if unknown.
        modality: ``visible`` or ``infrared``.
        camid: Camera, or None.
        pid: Person, or None.
        time: Time of ISO 8601, or None.
        extra: Known values of the other columns.
    """

    id: int | str
    path: str
    root: str
    modality: str
    camid: int | None = None
    pid: int | None = None
    time: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """Path of the image file."""
        return Path(self.root) / self.path

    def as_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        names = ("id", "path", "root", "modality", "camid", "pid", "time", "extra")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Match:
    """A record at a rank of a query's result.

    Attributes:
        record: The record.
        score: Inner product with the query: the cosine similarity.
        rank: Rank, from 1.
        distance: Re-ranked distance, lower is closer; None without re-ranking.
    """

    record: IndexRecord
    score: float
    rank: int
    distance: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The match as JSON values."""
        result = {"rank": self.rank, "score": self.score, **self.record.as_json()}
        return result if self.distance is None else {**result, "distance": self.distance}


def seal(vector: bytes, root: str, values: Sequence[Cell], extra: Iterable[tuple[str, Cell]]) -> int:
    """Hash a vector with its record: the first 64 bits of BLAKE2b as a signed integer.

    Args:
        vector: Little-endian float32 values.
        root: Folder of the images.
        values: Values of ``FIXED``.
        extra: Names and values of the other columns, in any order; unknown values do not count. An integer
            has the hash of its text, and below ``SAME_TEXT`` of the equal real number, so a column can get a
            wider type; ``widening`` seals the other records again.
    """
    known = sorted((name, as_text(value)) for name, value in extra if value is not None)
    text = json.dumps([root, *values, known], separators=(",", ":"))
    digest = hashlib.blake2b(text.encode() + vector, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def read_records(
    connection: sqlite3.Connection, condition: str, parameters: Sequence[Any], tail: str = ""
) -> dict[int, IndexRecord]:
    """Read records by slot.

    Args:
        connection: In a transaction.
        condition: SQL condition of this package.
        parameters: Its parameters.
        tail: ``ORDER BY`` and ``LIMIT`` of this package.
    """
    extra = added_columns(connection)
    names = [*(f"records.{name}" for name in FIXED), *(f"records.{stored}" for stored, _ in extra.values())]
    rows = connection.execute(
        f"SELECT records.slot, records.id, roots.path, {', '.join(names)} FROM records "
        f"JOIN roots ON roots.id = records.root WHERE {condition} {tail}",
        parameters,
    )
    return {row[0]: _record(row, list(extra)) for row in rows}


def records_at(connection: sqlite3.Connection, slots: np.ndarray) -> dict[int, IndexRecord]:
    """Read the records of these slots, by slot."""
    wanted = json.dumps(np.unique(slots[slots >= 0]).tolist())
    return read_records(connection, "records.slot IN (SELECT value FROM json_each(?))", [wanted])


def _record(row: Sequence[Any], extra: Sequence[str]) -> IndexRecord:
    """Convert a row of ``read_records``."""
    fixed: Mapping[str, Any] = dict(zip(FIXED, row[3:], strict=False))
    known = zip(extra, row[3 + len(FIXED) :], strict=True)
    return IndexRecord(
        id=row[1], root=row[2], **fixed, extra={name: value for name, value in known if value is not None}
    )
