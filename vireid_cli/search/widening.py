"""Columns of the user's lists in the database: created by one addition, widened by a later one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from vireid_cli.search.columns import (
    FIXED,
    MOST_EXACT,
    SAME_TEXT,
    Cell,
    ColumnType,
    convert,
    infer_type,
    is_exact,
    wider,
)
from vireid_cli.search.database import added_columns
from vireid_cli.search.meta import all_meta
from vireid_cli.search.segments import DTYPE, mapped, vector_file
from vireid_cli.search.verify import row_seal, sealed_rows


def ensure_column(
    connection: sqlite3.Connection, folder: Path, name: str, values: Sequence[Cell]
) -> ColumnType:
    """Create a column, or widen its type so that it holds the values. Returns its type.

    A column of real numbers becomes text if it would round an integer, of a record or of the values.

    Args:
        connection: In a transaction that writes.
        folder: Folder of the index.
        name: Name of the column.
        values: Values of new records.

    Raises:
        DataError: The file of vectors is damaged.
    """
    kind = infer_type(values)
    known = added_columns(connection)
    if name not in known:
        stored = f"x{len(known) + 1}"  # the database never contains the user's text as a name
        connection.execute(f"ALTER TABLE records ADD COLUMN {stored}")
        connection.execute("INSERT INTO columns VALUES (?, ?, ?)", [name, stored, kind])
        return kind
    stored, present = known[name]
    widest = wider(kind, present)
    if widest == "real" and not (all(map(is_exact, values)) and _holds_exact(connection, stored)):
        widest = "text"
    if widest != present:
        seals = _new_seals(connection, folder, name, stored) if widest == "real" else []
        connection.execute("UPDATE columns SET type = ? WHERE name = ?", [widest, name])
        connection.create_function("vireid_convert", 1, lambda value: convert(value, widest))
        connection.execute(
            f"UPDATE records SET {stored} = vireid_convert({stored}) WHERE {stored} IS NOT NULL"
        )
        connection.executemany("UPDATE records SET seal = ? WHERE id = ?", seals)
    return widest


def _holds_exact(connection: sqlite3.Connection, stored: str) -> bool:
    """Whether real numbers hold every integer of a column."""
    rows = connection.execute(
        f"SELECT 1 FROM records WHERE typeof({stored}) = 'integer' "
        f"AND {stored} NOT BETWEEN {-MOST_EXACT} AND {MOST_EXACT} LIMIT 1"
    )
    return rows.fetchone() is None


def _new_seals(connection: sqlite3.Connection, folder: Path, name: str, stored: str) -> list[tuple[int, int]]:
    """Seals of the records whose text of an integer changes with the conversion to real: (seal, id).

    A record that does not match its present seal is damaged, and keeps it.
    """
    condition = f"records.{stored} NOT BETWEEN {1 - SAME_TEXT} AND {SAME_TEXT - 1}"
    names = list(added_columns(connection))
    place = 4 + len(FIXED) + names.index(name)
    meta = all_meta(connection)
    path = vector_file(folder, meta["generation"])
    if not path.exists():
        return []
    vectors = mapped(path, meta["slots"], meta["dimension"])
    seals = []
    for rows in sealed_rows(connection, condition):
        for row in rows:
            if not 0 <= row[0] < len(vectors):
                continue
            vector = vectors[row[0]].astype(DTYPE, copy=False).tobytes()
            if row_seal(vector, row, names) == row[2]:
                changed = [*row[:place], convert(row[place], "real"), *row[place + 1 :]]
                seals.append((row_seal(vector, changed, names), row[1]))
    return seals
