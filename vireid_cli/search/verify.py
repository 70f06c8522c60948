"""Verification of an index: SQLite's pages, the seal of every record with its vector, and FAISS' file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vireid_cli.errors import DataError
from vireid_cli.search.columns import FIXED
from vireid_cli.search.database import Database, added_columns
from vireid_cli.search.meta import all_meta
from vireid_cli.search.records import seal
from vireid_cli.search.segments import DTYPE, mapped, vector_file
from vireid_cli.sums import file_digest
from vireid_cli.types import Progress

_CHUNK = 16_384


def verify(database: Database, progress: Progress | None = None) -> list[str]:
    """Return all damage of an index, one line each; empty if there is none."""
    with database.reading() as connection:
        rows = connection.execute("PRAGMA integrity_check").fetchall()
        damage = [f"{database.path}: {text}" for (text,) in rows if text != "ok"]
        if damage:
            return damage
        meta = all_meta(connection)
        path = vector_file(database.folder, meta["generation"])
        try:
            vectors = mapped(path, meta["slots"], meta["dimension"])
        except FileNotFoundError:
            return [f"{path} does not exist."]
        except DataError as error:
            return [error.message]
        damage += damaged_records(connection, vectors, progress)
    if structure := meta["structure"]:
        file = database.folder / structure["file"]
        if file_digest(file) != structure["sha256"]:
            damage.append(f"{file} is missing or does not match its hash; vireid index compact rebuilds it.")
    return damage


def damaged_records(
    connection: sqlite3.Connection, vectors: np.ndarray, progress: Progress | None = None
) -> list[str]:
    """Compare each record and its vector with the record's seal; one line per mismatch."""
    total = connection.execute("SELECT count(*) FROM records").fetchone()[0]
    damage: list[str] = []
    done = 0
    for rows in sealed_rows(connection):
        slots = np.array([row[0] for row in rows])
        if slots.min() < 0 or slots.max() >= len(vectors):
            outside = [row for row in rows if not 0 <= row[0] < len(vectors)]
            damage += [f"record {row[1]} ({row[4]}): slot {row[0]} has no vector" for row in outside]
            rows = [row for row in rows if 0 <= row[0] < len(vectors)]
        damage += _mismatches(connection, rows, vectors)
        done += len(rows)
        if progress:
            progress(done, total)
    return damage


def _mismatches(connection: sqlite3.Connection, rows: list[tuple], vectors: np.ndarray) -> list[str]:
    """Compare the seals of some rows with their values and vectors."""
    content = np.asarray(vectors[[row[0] for row in rows]], dtype=DTYPE)
    names = list(added_columns(connection))
    damaged = (
        row
        for vector, row in zip(content, rows, strict=True)
        if row_seal(vector.tobytes(), row, names) != row[2]
    )
    return [f"record {row[1]} ({row[4]}): its values or its vector are damaged" for row in damaged]


def row_seal(vector: bytes, row: Sequence[Any], names: Sequence[str]) -> int:
    """Seal of a row of ``sealed_rows`` with its vector; ``names`` are those of the other columns."""
    fixed, extra = row[4 : 4 + len(FIXED)], row[4 + len(FIXED) :]
    return seal(vector, row[3], fixed, zip(names, extra, strict=True))


def sealed_rows(connection: sqlite3.Connection, condition: str = "1") -> Iterator[list[tuple]]:
    """Rows in the order of slots: slot, id, seal, root, values of ``FIXED`` and of the other columns.

    Args:
        connection: In a transaction.
        condition: SQL condition of this package.
    """
    names = [*FIXED, *(stored for stored, _ in added_columns(connection).values())]
    cursor = connection.execute(
        "SELECT records.slot, records.id, records.seal, coalesce(roots.path, ''), "
        f"{', '.join(f'records.{name}' for name in names)} FROM records "
        f"LEFT JOIN roots ON roots.id = records.root WHERE {condition} ORDER BY records.slot"
    )
    while rows := cursor.fetchmany(_CHUNK):
        yield rows
