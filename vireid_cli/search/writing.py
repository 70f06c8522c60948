"""Removal and compaction of records."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np

from vireid_cli.errors import DataError
from vireid_cli.search.database import Database
from vireid_cli.search.filters import Filter
from vireid_cli.search.meta import all_meta, read_meta, write_meta
from vireid_cli.search.segments import append, is_vector_file, mapped, vector_file
from vireid_cli.search.snapshot import condition_of
from vireid_cli.search.verify import damaged_records
from vireid_cli.types import Progress

CHUNK = 16_384
"""Vectors per step of a compaction."""


def first_meta(kind: str, model: str | None) -> dict[str, Any]:
    """Values of ``meta`` of an empty index.

    Args:
        kind: ``exact``, ``hnsw`` or ``ivf-pq``.
        model: Path of the model that embeds queries, or None.
    """
    return {
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


def change_kind(database: Database, kind: str) -> None:
    """Change the kind of an index, which leaves it without a structure; the caller holds the lock."""
    with database.writing() as connection:
        write_meta(connection, "kind", kind)
        write_meta(connection, "structure", None)
        write_meta(connection, "version", read_meta(connection, "version") + 1)
    remove_leftovers(database)


def remove(database: Database, tree: Filter) -> int:
    """Remove the records that a filter selects; the caller holds the lock. Returns their number.

    Their vectors stay in the file until compaction, and no search returns them.
    """
    with database.writing() as connection:
        condition, parameters = condition_of(connection, tree)
        count = connection.execute(f"DELETE FROM records WHERE {condition}", parameters).rowcount
        write_meta(connection, "version", read_meta(connection, "version") + 1)
    return int(count)


def compact(database: Database, progress: Progress | None = None) -> int:
    """Write the vectors of existing records to a new file; the caller holds the lock.

    Returns:
        Number of vectors of removed or replaced records, which the new file lacks.

    Raises:
        DataError: A record does not match its seal: the index is damaged.
    """
    remove_leftovers(database)
    with database.writing() as connection:
        meta = all_meta(connection)
        rows = connection.execute("SELECT slot FROM records ORDER BY slot").fetchall()
        slots = np.array(rows, dtype=np.int64).reshape(-1)
        dropped = int(meta["slots"] - len(slots))
        old = vector_file(database.folder, meta["generation"])
        if dropped:
            vectors = mapped(old, meta["slots"], meta["dimension"])
            if damage := damaged_records(connection, vectors):
                raise DataError(
                    f"{database.folder} is damaged: {damage[0]}", "List all damage: vireid index verify NAME"
                )
            new = vector_file(database.folder, meta["generation"] + 1)
            for first in range(0, len(slots), CHUNK):
                append(new, vectors[slots[first : first + CHUNK]], first)
                if progress:
                    progress(min(first + CHUNK, len(slots)), len(slots))
            # ascending, and each new slot is at most the old one: it is free when the row moves
            moves = [(place, int(slot)) for place, slot in enumerate(slots) if place != slot]
            connection.executemany("UPDATE records SET slot = ? WHERE slot = ?", moves)
            write_meta(connection, "generation", meta["generation"] + 1)
            write_meta(connection, "slots", len(slots))
            write_meta(connection, "structure", None)
            write_meta(connection, "version", meta["version"] + 1)
    if dropped:
        remove_leftovers(database)
        database.vacuum()
    return dropped


def remove_leftovers(database: Database) -> None:
    """Delete files of killed additions and compactions; the caller holds the lock."""
    with database.reading() as connection:
        meta = all_meta(connection)
    structure = meta["structure"]
    used = {
        vector_file(database.folder, meta["generation"]).name,
        *([structure["file"]] if structure else []),
    }
    for path in sorted(database.folder.iterdir()):
        if path.name not in used and (is_vector_file(path.name) or path.suffix == ".faiss"):
            with suppress(OSError):  # Windows does not delete mapped files; the next writer does
                path.unlink()
