"""The approximate structure of an index in its folder: built, extended and registered in the database."""

from __future__ import annotations

from typing import Any

import numpy as np

from vireid_cli.search import approximate, building
from vireid_cli.search.database import Database
from vireid_cli.search.meta import all_meta, read_meta, write_meta
from vireid_cli.search.snapshot import VectorMap
from vireid_cli.search.writing import remove_leftovers
from vireid_cli.sums import file_digest
from vireid_cli.types import Progress


def maintain(
    database: Database, rows: VectorMap, *, rebuild: bool = False, progress: Progress | None = None
) -> Any:
    """Build or extend the structure if enough rows are behind it; the caller holds the folder's lock.

    Args:
        database: The index.
        rows: Its mapped vectors; a mapping of its own would count twice in the memory of the process.
        rebuild: Build it anew in any case.
        progress: Called with the numbers of added and of all rows.

    Returns:
        Description of the new structure as in ``meta``; None if nothing was built.

    Raises:
        DataError: The disk is full, or the structure's file is damaged.
    """
    with database.reading() as connection:
        meta = all_meta(connection)
        slots = connection.execute("SELECT slot FROM records ORDER BY slot").fetchall()
    described, covered = meta["structure"], (meta["structure"] or {"covered": 0})["covered"]
    behind = meta["slots"] - covered
    kind = meta["kind"]
    if kind == "exact" or len(slots) <= approximate.BUILT_FROM:
        return None
    if not (rebuild or behind > building.TAIL_SHARE * covered):
        return None
    former = None
    if described is not None and not rebuild:
        path = database.folder / described["file"]
        former = approximate.load(path, described)
    vectors = rows.get(meta)
    live = np.array(slots, dtype=np.int64).reshape(-1)
    structure, recall = building.build(kind, vectors, live, former=former, progress=progress)
    path = database.folder / f"{kind}-{meta['generation']:06d}-{meta['version']:09d}.faiss"
    approximate.save(structure, path)
    new = {
        "file": path.name,
        "kind": kind,
        "covered": structure.covered,
        "effort": structure.efforts[0],
        "deeper": list(structure.efforts[1:]),
        "recall": recall,
        "components": structure.components,
        "sha256": file_digest(path),
    }
    with database.writing() as connection:
        write_meta(connection, "structure", new)
        write_meta(connection, "version", read_meta(connection, "version") + 1)
    remove_leftovers(database)
    return new
