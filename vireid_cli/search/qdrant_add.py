"""Additions to a collection of Qdrant, in parts that the server confirms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vireid_cli.embedding_files.rows import COLUMN_NAME
from vireid_cli.errors import DataError, UsageError
from vireid_cli.search.adding import Added
from vireid_cli.search.columns import (
    FIXED,
    MOST_EXACT,
    Cell,
    ColumnType,
    checked_columns,
    convert,
    infer_type,
    is_exact,
    wider,
)
from vireid_cli.search.qdrant_collection import Collection, point_id, read_collection, write_collection
from vireid_cli.search.qdrant_filter import EXTRA, qdrant
from vireid_cli.search.records import seal
from vireid_cli.types import Progress

PART = 512
"""Points per request."""


def add_points(
    client: Any,
    name: str,
    vectors: np.ndarray,
    columns: Mapping[str, Sequence[Any]],
    fingerprint: Mapping[str, Any],
    *,
    root: str,
    replace: bool,
    progress: Progress | None,
) -> Added:
    """Add records to a collection; arguments as ``adding.add``.

    Raises:
        UsageError: A column has an unsuitable name, or another type than before.
        DataError: A value is wrong, or not Unicode text.
    """
    table = checked_columns(columns, len(vectors))
    extra = [column for column in table if column not in FIXED]
    types = _register(
        client, name, {column: table[column] for column in extra}, fingerprint, vectors.shape[1]
    )
    table |= {column: [convert(value, types[column]) for value in table[column]] for column in extra}
    total = Added()
    for first in range(0, len(vectors), PART):
        rows = range(first, min(first + PART, len(vectors)))
        total += _add_part(client, name, vectors, table, rows, root, replace)
        if progress:
            progress(rows.stop, len(vectors))
    return total


def _register(
    client: Any,
    name: str,
    extra: Mapping[str, Sequence[Cell]],
    fingerprint: Mapping[str, Any],
    dimension: int,
) -> dict[str, ColumnType]:
    """Create the collection or add columns to its description; return the types of the columns."""
    present = read_collection(client, name)
    types = dict(present.columns) if present else {}
    for column, values in extra.items():
        if not COLUMN_NAME.fullmatch(column):
            raise UsageError(f"a column on Qdrant can't be named '{column}'.", "Use letters, digits and _.")
        kind = infer_type(values)
        rounded = types.setdefault(column, kind) == "real" and not all(map(is_exact, values))
        if rounded or wider(kind, types[column]) != types[column]:
            raise UsageError(
                f"column '{column}' is {types[column]} on the server, but {kind} in the new records"
                + (f", beyond ±{MOST_EXACT:,}." if rounded else "."),
                "Rename the column, or create another index.",
            )
    if present is None or types != present.columns:
        collection = Collection(dict(fingerprint), dimension, types)
        write_collection(client, name, collection, new=present is None)
    return types


def _add_part(
    client: Any,
    name: str,
    vectors: np.ndarray,
    table: Mapping[str, Sequence[Cell]],
    rows: range,
    root: str,
    replace: bool,
) -> Added:
    """Add some rows in one request."""
    places = {}
    for row in rows:
        path, modality = str(table["path"][row]), str(table["modality"][row])
        key = point_id(_unicode(root), _unicode(path), modality)
        if replace or key not in places:
            places[key] = row
    present = {str(point.id) for point in client.retrieve(name, list(places), with_payload=False)}
    chosen = {key: row for key, row in places.items() if replace or key not in present}
    if chosen:
        point = qdrant().models.PointStruct
        points = [
            point(id=key, vector=vectors[row].tolist(), payload=_payload(vectors[row], table, row, root))
            for key, row in chosen.items()
        ]
        client.upsert(name, points, wait=True)
    replaced = len(present) if replace else 0
    return Added(len(chosen) - replaced, len(rows) - len(chosen), replaced)


def _payload(vector: np.ndarray, table: Mapping[str, Sequence[Cell]], row: int, root: str) -> dict[str, Any]:
    """Payload of a record: known values and the seal."""
    values = {column: _unicode(cells[row]) for column, cells in table.items() if cells[row] is not None}
    payload: dict[str, Any] = {column: value for column, value in values.items() if column in FIXED}
    payload[EXTRA] = {column: value for column, value in values.items() if column not in FIXED}
    payload["root"] = root
    return payload | {"seal": seal_of(vector, payload)}


def seal_of(vector: np.ndarray, payload: Mapping[str, Any]) -> int:
    """Seal of a vector with the values of its payload; see ``records.seal``."""
    fixed = [payload.get(column) for column in FIXED]
    extra = payload.get(EXTRA, {})
    return seal(np.asarray(vector, "<f4").tobytes(), payload["root"], fixed, extra.items())


def _unicode(value: Any) -> Any:
    """Return a value; refuse text that is not Unicode, such as a file name of other bytes."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"'{value}' is not UTF-8 text, and Qdrant stores no other.", "Rename the file."
            ) from error
    return value
