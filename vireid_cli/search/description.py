"""Description of an index: its records, columns, model and size."""

from __future__ import annotations

from typing import Any

from vireid_cli.search.database import Database, column_types
from vireid_cli.search.meta import all_meta


def describe(database: Database) -> dict[str, Any]:
    """Describe an index as JSON values."""
    with database.reading() as connection:
        meta = all_meta(connection)
        counts = connection.execute("SELECT modality, count(*) FROM records GROUP BY modality").fetchall()
        columns = column_types(connection)
    records = sum(count for _, count in counts)
    folder = database.folder
    return {
        "name": folder.name,
        "folder": str(folder),
        "backend": "this machine",
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
        "bytes": sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
    }
