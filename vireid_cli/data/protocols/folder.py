"""A user's own folder: all query images of one modality against the gallery images of the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vireid_cli.data.gallery_draws import sorted_rows
from vireid_cli.data.plan import EvaluationPlan, Fingerprint, complete_fingerprint
from vireid_cli.data.protocols.request import ALL_IMAGES, BOTH_DIRECTIONS, Direction, Request
from vireid_cli.data.store import Store
from vireid_cli.errors import DataError
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.types import Modality, RecordTable

RULE: CameraRule = "none"
MERGED = False


def plans(store: Store, request: Request) -> list[EvaluationPlan]:
    """Plan each requested direction; by default the directions with images on both sides.

    Raises:
        UsageError: Settings of another dataset.
        DataError: A requested direction, or every direction, lacks images on one side.
    """
    check(request)
    possible = [d for d in BOTH_DIRECTIONS if all(len(rows) for rows in sides(store.records, d))]
    requested = request.directions or tuple(possible)
    lacking = [direction for direction in requested if direction not in possible]
    if lacking or not requested:
        raise DataError(
            f"{store.info.root}: no evaluation {' or '.join(lacking or BOTH_DIRECTIONS)} is possible: "
            "it needs query images of one modality and gallery images of the other.",
            "Expected <root>/query/infrared/<pid>/ with <root>/gallery/visible/<pid>/ (i2v), or the reverse.",
        )
    return [
        folder_plan(store.records, direction=direction, notes=store.ignored_file_notes)
        for direction in requested
    ]


def check(request: Request) -> None:
    """Refuse unknown settings.

    Raises:
        UsageError: A setting is unknown.
    """
    request.refuse_others("a folder", "directions")


def published(fingerprint: Mapping[str, Any]) -> str | None:
    """Return None: there are no published metrics of a user's own data."""
    return None


def folder_plan(table: RecordTable, *, direction: Direction, notes: Sequence[str] = ()) -> EvaluationPlan:
    """Plan an evaluation on a user's own data: no draw, no camera rule.

    Args:
        table: All records; images of split ``test`` belong to both sides.
        direction: ``v2i`` or ``i2v``.
        notes: Remarks of the source for the fingerprint.

    Raises:
        DataError: The query or gallery has no images.
    """
    query, gallery = (sorted_rows(table, rows) for rows in sides(table, direction))
    fingerprint: Fingerprint = {
        "dataset": "folder",
        "split": "test",
        "mode": "all images",
        "shots": ALL_IMAGES,
        "trials": 1,
        "direction": direction,
        "gallery_draw": "none",
    }
    full = complete_fingerprint(fingerprint, RULE, merged=MERGED, notes=notes)
    return EvaluationPlan(f"folder-{direction}", (query,), (gallery,), RULE, MERGED, full)


def sides(table: RecordTable, direction: Direction) -> tuple[np.ndarray, np.ndarray]:
    """Return the query rows and the gallery rows of a direction."""
    queries = Modality.VISIBLE if direction == "v2i" else Modality.INFRARED
    return table.side("query", queries), table.side("gallery", queries.other)
