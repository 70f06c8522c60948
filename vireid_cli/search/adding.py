"""Additions to an index: vectors first, flushed to the disk, then the commit of their records."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vireid_cli.embedding_files.origin import refuse_other_model
from vireid_cli.errors import UsageError
from vireid_cli.search.columns import (
    FIXED,
    MODALITY,
    PATH,
    Cell,
    checked_columns,
    convert,
)
from vireid_cli.search.database import Database, added_columns, bound
from vireid_cli.search.meta import all_meta, read_meta, write_meta
from vireid_cli.search.records import seal
from vireid_cli.search.segments import DTYPE, append, vector_file
from vireid_cli.search.widening import ensure_column
from vireid_cli.search.writing import remove_leftovers
from vireid_cli.types import Progress

CHUNK = 16_384
"""Records per transaction."""

EXISTS_ADVICE = "To add to it: vireid index add NAME FILE. For a new index, choose another name."
"""Advice of a creation whose folder exists, of an earlier one that was interrupted, too."""

UNIT_TOLERANCE = 1e-3
"""Largest accepted difference of a vector's length from 1."""

_PARAMETERS = 500
"""Rows per statement that looks records up; SQLite binds 32,766 parameters."""


@dataclass(frozen=True, slots=True)
class Added:
    """Numbers of records of an addition.

    Attributes:
        added: New records.
        skipped: Records of the same root, path and modality that the index has already.
        replaced: Records with a replaced vector and replaced values.
    """

    added: int = 0
    skipped: int = 0
    replaced: int = 0

    def __add__(self, other: Added) -> Added:
        """Sum of two additions."""
        return Added(self.added + other.added, self.skipped + other.skipped, self.replaced + other.replaced)


def refuse_other_fingerprint(
    expected: Mapping[str, Any] | None, fingerprint: Mapping[str, Any], name: str, source: str
) -> None:
    """Refuse embeddings of another model; an index without embeddings accepts any model.

    Args:
        expected: Fingerprint of the index, or None.
        fingerprint: Fingerprint of the embeddings.
        name: Name of the index.
        source: Name of the embeddings.

    Raises:
        OtherModel: They differ; the message shows both values of each differing key.
    """
    if expected is not None:
        refuse_other_model(expected, fingerprint, our_name=f"index {name}", their_name=source)


def checked_vectors(vectors: np.ndarray, dimension: int | None) -> np.ndarray:
    """Validate vectors: (N, D) float32, finite, of unit length.

    Raises:
        UsageError: Another shape or width, or a vector that is not finite or not of unit length.
    """
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise UsageError(f"vectors have shape {vectors.shape}; expected (N, D).")
    if dimension is not None and vectors.shape[1] != dimension:
        raise UsageError(f"vectors have {vectors.shape[1]} values; the index has vectors of {dimension}.")
    vectors = np.ascontiguousarray(vectors, dtype=DTYPE)
    for first in range(0, len(vectors), CHUNK):
        part = vectors[first : first + CHUNK]
        lengths = np.sqrt(np.einsum("nd,nd->n", part, part))
        wrong = np.flatnonzero(~(np.abs(lengths - 1.0) <= UNIT_TOLERANCE))
        if len(wrong):
            raise UsageError(
                f"the vector of row {first + wrong[0] + 1} has length {lengths[wrong[0]]:.4g}; expected 1.",
                "vireid embed writes vectors of unit length.",
            )
    return vectors


def add(
    database: Database,
    vectors: np.ndarray,
    columns: Mapping[str, Sequence[Any]],
    fingerprint: Mapping[str, Any],
    *,
    source: str,
    root: str = "",
    replace: bool = False,
    progress: Progress | None = None,
) -> Added:
    """Add records in transactions of ``CHUNK``; the caller holds the folder's lock.

    A kill loses only the chunk that is being written; the same addition can be repeated.

    Args:
        database: The index.
        vectors: (N, D) float32, unit length.
        columns: See ``columns.checked_columns``.
        fingerprint: Fingerprint of the embeddings.
        source: Name of their file in errors.
        root: Folder of relative paths.
        replace: Replace records of the same root, path and modality; otherwise they are skipped.
        progress: Called with the numbers of committed and of all records.

    Raises:
        UsageError: Unsuitable vectors or columns.
        DataError: Another model's embeddings, a wrong value, or a full disk.
    """
    with database.reading() as connection:
        meta = all_meta(connection)
    if meta["slots"]:  # an addition that was killed before its first commit binds the index to no model
        refuse_other_fingerprint(meta["fingerprint"], fingerprint, database.folder.name, source)
    vectors = checked_vectors(vectors, meta["dimension"] if meta["slots"] else None)
    table = checked_columns(columns, len(vectors))
    extra = [name for name in table if name not in FIXED]
    remove_leftovers(database)
    with database.writing() as connection:
        if not meta["slots"]:
            write_meta(connection, "fingerprint", dict(fingerprint))
            write_meta(connection, "dimension", vectors.shape[1])
        types = {name: ensure_column(connection, database.folder, name, table[name]) for name in extra}
    table |= {name: [convert(value, kind) for value in table[name]] for name, kind in types.items()}
    total = Added()
    for first in range(0, len(vectors), CHUNK):
        part = slice(first, first + CHUNK)
        chunk = {name: values[part] for name, values in table.items()}
        total += _add_chunk(database, vectors[part], chunk, root, replace)
        if progress:
            progress(min(first + CHUNK, len(vectors)), len(vectors))
    return total


def _add_chunk(
    database: Database, vectors: np.ndarray, table: Mapping[str, Sequence[Cell]], root: str, replace: bool
) -> Added:
    """Add records in one transaction."""
    with database.writing() as connection:
        folder = _root_id(connection, root)
        keys = list(zip(table[PATH], table[MODALITY], strict=True))
        # the last row of a key replaces the others; without ``replace``, the first one stays
        rows = {key: row for row, key in enumerate(keys)} if replace else {}
        if not replace:
            for row, key in enumerate(keys):
                rows.setdefault(key, row)
        present = _present(connection, folder, list(rows))
        chosen = [row for key, row in rows.items() if replace or key not in present]
        if not chosen:
            return Added(skipped=len(keys))
        generation, first = read_meta(connection, "generation"), read_meta(connection, "slots")
        append(vector_file(database.folder, generation), vectors[chosen], first)
        _insert(connection, vectors, table, (folder, root), chosen, first)
        write_meta(connection, "slots", first + len(chosen))
        write_meta(connection, "version", read_meta(connection, "version") + 1)
    replaced = len(present) if replace else 0
    return Added(len(chosen) - replaced, len(keys) - len(chosen), replaced)


def _insert(
    connection: sqlite3.Connection,
    vectors: np.ndarray,
    table: Mapping[str, Sequence[Cell]],
    root: tuple[int, str],
    chosen: Sequence[int],
    first: int,
) -> None:
    """Insert the chosen rows at consecutive slots, or update the records of the same key."""
    known = {name: entry for name, entry in added_columns(connection).items() if name in table}
    extra = list(known)
    names = ["slot", "seal", "root", *FIXED, *(stored for stored, _ in known.values())]
    types = {**FIXED, **dict(known.values())}
    # CAST converts the bytes of a file name that is not UTF-8 to text
    marks = ["CAST(? AS TEXT)" if types.get(name) == "text" else "?" for name in names]
    updates = ", ".join(f"{name} = excluded.{name}" for name in names if name not in ("root", PATH, MODALITY))

    def values(place: int, row: int) -> list[Any]:
        """Parameters of the row at a place of the chunk."""
        fixed = [table[name][row] for name in FIXED]
        others = [(name, table[name][row]) for name in extra]
        mark = seal(vectors[row].tobytes(), root[1], fixed, others)
        cells = [*fixed, *(value for _, value in others)]
        return [first + place, mark, root[0], *(bound(cell) for cell in cells)]

    connection.executemany(
        f"INSERT INTO records ({', '.join(names)}) VALUES ({', '.join(marks)}) "
        f"ON CONFLICT (root, path, modality) DO UPDATE SET {updates}",
        (values(place, row) for place, row in enumerate(chosen)),
    )


def _present(
    connection: sqlite3.Connection, root: int, keys: Sequence[tuple[Cell, Cell]]
) -> set[tuple[Cell, Cell]]:
    """Path and modality of existing records among these."""
    result: set[Any] = set()
    for first in range(0, len(keys), _PARAMETERS):
        part = keys[first : first + _PARAMETERS]
        marks = ", ".join(["(?, CAST(? AS TEXT), ?)"] * len(part))
        rows = connection.execute(
            f"WITH wanted(root, path, modality) AS (VALUES {marks}) "
            "SELECT path, modality FROM wanted JOIN records USING (root, path, modality)",
            [bound(value) for key in part for value in (root, *key)],
        )
        result.update(rows.fetchall())
    return result


def _root_id(connection: sqlite3.Connection, root: str) -> int:
    """Number of a folder of images; it is created if it is new."""
    connection.execute("INSERT OR IGNORE INTO roots (path) VALUES (CAST(? AS TEXT))", [bound(root)])
    row = connection.execute("SELECT id FROM roots WHERE path = CAST(? AS TEXT)", [bound(root)]).fetchone()
    return int(row[0])
