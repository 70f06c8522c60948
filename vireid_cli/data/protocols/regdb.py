"""RegDB: ten splits of the identities, each with its own model; all images on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vireid_cli.data.gallery_draws import sorted_rows
from vireid_cli.data.plan import EvaluationPlan, Fingerprint, complete_fingerprint
from vireid_cli.data.protocols.request import ALL_IMAGES, BOTH_DIRECTIONS, Direction, Request
from vireid_cli.data.store import Store
from vireid_cli.errors import UsageError
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.types import Modality, RecordTable

RULE: CameraRule = "none"
MERGED = False


def plans(store: Store, request: Request) -> list[EvaluationPlan]:
    """Plan each direction of one trial; by default both.

    Raises:
        UsageError: The trial is missing, or there are settings of another dataset.
        DataError: The query or gallery has no images.
    """
    check(request)
    if request.trial is None:
        raise UsageError(
            "RegDB has ten trials, each with its own model: the trial is not known.",
            "Set the trial, for example --trial 1.",
        )
    return [
        regdb_plan(
            store.records_in_trial(request.trial),
            direction=direction,
            trial=request.trial,
            notes=store.ignored_file_notes,
        )
        for direction in request.directions or BOTH_DIRECTIONS
    ]


def check(request: Request) -> None:
    """Refuse unknown settings.

    Raises:
        UsageError: A setting is unknown.
    """
    request.refuse_others("RegDB", "directions", "trial")


def published(fingerprint: Mapping[str, Any]) -> str | None:
    """Return ``v2i`` or ``i2v``; papers report the mean over the ten trials."""
    return fingerprint.get("direction")


def regdb_plan(
    table: RecordTable, *, direction: Direction, trial: int, notes: Sequence[str] = ()
) -> EvaluationPlan:
    """Plan an evaluation on RegDB: all test images of one modality against all of the other, no rule.

    Args:
        table: Records with the splits of this trial.
        direction: ``v2i`` or ``i2v``.
        trial: Number of the trial, 1..10. A model is tested only on the trial of its training.
        notes: Remarks of the source for the fingerprint.

    Raises:
        DataError: The query or gallery has no images.
    """
    side = Modality.VISIBLE if direction == "v2i" else Modality.INFRARED
    test = table.splits == "test"
    query = sorted_rows(table, np.flatnonzero(test & (table.modalities == side.code)))
    gallery = sorted_rows(table, np.flatnonzero(test & (table.modalities == side.other.code)))
    fingerprint: Fingerprint = {
        "dataset": "regdb",
        "split": "test",
        "mode": f"trial-{trial}",
        "shots": ALL_IMAGES,
        "trials": 1,
        "direction": direction,
        "gallery_draw": "none",
    }
    full = complete_fingerprint(fingerprint, "none", merged=False, notes=notes)
    return EvaluationPlan(f"{direction}-trial{trial}", (query,), (gallery,), "none", False, full)
