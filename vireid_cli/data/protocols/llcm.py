"""LLCM: all images of one modality against drawn images of the other; three protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vireid_cli.data.gallery_draws import draw_seeded, folders_of, sorted_rows
from vireid_cli.data.permutation import TRIALS
from vireid_cli.data.plan import EvaluationPlan, Fingerprint, check_trials, complete_fingerprint
from vireid_cli.data.protocols.request import (
    ALL_IMAGES,
    BOTH_DIRECTIONS,
    Direction,
    LlcmProtocol,
    Request,
)
from vireid_cli.data.store import Store
from vireid_cli.errors import UsageError
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.types import Modality, RecordTable

RULE: CameraRule = "llcm"
MERGED = True
DRAWS = True
"""The galleries are drawn."""

DEFAULT: LlcmProtocol = "llcm-release"
"""Default protocol: that of the released test code, the source of published metrics."""

LLCM_CAMERAS = {Modality.VISIBLE: tuple(range(1, 10)), Modality.INFRARED: (1, 2, 4, 5, 6, 7, 8, 9)}


def plans(store: Store, request: Request) -> list[EvaluationPlan]:
    """Plan each direction; by default both, with ``llcm-release``, the protocol of papers.

    Raises:
        UsageError: Settings of another dataset, or a number of trials for a protocol without draws.
        DataError: The query or gallery has no images.
    """
    check(request)
    protocol = request.llcm or DEFAULT
    return [
        llcm_plan(
            store.records,
            direction=direction,
            protocol=protocol,
            trials=TRIALS if request.trials is None else request.trials,
            notes=store.ignored_file_notes,
        )
        for direction in request.directions or BOTH_DIRECTIONS
    ]


def check(request: Request) -> None:
    """Refuse unknown or contradictory settings.

    Raises:
        UsageError: A setting is refused.
    """
    request.refuse_others("LLCM", "directions", "trials", "llcm")
    if request.llcm == "llcm-full" and request.trials is not None:
        raise UsageError("llcm-full draws nothing: it has one trial.", "Omit the number of trials.")


def published(fingerprint: Mapping[str, Any]) -> str | None:
    """Return ``v2i`` or ``i2v`` if the metrics are those of the dataset's release, with ten trials.

    Visible to infrared by ``llcm-train`` differs from the published metric, because the release exchanges
    the roles of queries and gallery. The published mAP is therefore far below the published Rank-1.
    """
    mode, direction = fingerprint.get("mode"), fingerprint.get("direction")
    if fingerprint.get("trials") != TRIALS or (
        mode != "llcm-release" and (mode, direction) != ("llcm-train", "i2v")
    ):
        return None
    return direction


def llcm_plan(
    table: RecordTable,
    *,
    direction: Direction,
    protocol: LlcmProtocol = "llcm-train",
    trials: int = TRIALS,
    notes: Sequence[str] = (),
) -> EvaluationPlan:
    """Plan an evaluation on LLCM by one of the three protocols in use.

    ``llcm-train``: all images of one modality against one drawn image of each (id, camera) of the other.
    ``llcm-release``: the dataset's released test code. For "visible to infrared" its queries are the drawn
    infrared images and its gallery all visible images; infrared to visible is as in ``llcm-train``.
    ``llcm-full``: all images on both sides, one trial.

    Args:
        table: All records of the dataset.
        direction: ``v2i`` for visible queries, ``i2v`` for infrared queries.
        protocol: Name of the protocol.
        trials: Number of draws; ignored by ``llcm-full``, which has one trial.
        notes: Remarks of the source for the fingerprint.

    Raises:
        UsageError: The number of trials is below 1.
        DataError: The query or gallery has no images.
    """
    check_trials(trials)
    side = Modality.VISIBLE if direction == "v2i" else Modality.INFRARED
    remarks = list(notes)
    query = sorted_rows(table, _llcm_rows(table, side, remarks))
    other = _llcm_rows(table, side.other, remarks)
    folders, cameras = folders_of(table, other), LLCM_CAMERAS[side.other]
    galleries: tuple[np.ndarray, ...] = (sorted_rows(table, other),)
    if protocol == "llcm-full":
        trials = 1
    else:
        galleries = tuple(draw_seeded(folders, cameras, trial, 1) for trial in range(trials))
    queries: tuple[np.ndarray, ...] = (query,) * trials
    if protocol == "llcm-release" and direction == "v2i":
        remarks.append("as the release's test code: drawn infrared images query all visible images")
        queries, galleries = galleries, queries
    fingerprint: Fingerprint = {
        "dataset": "llcm",
        "split": "test",
        "mode": protocol,
        "shots": ALL_IMAGES if protocol == "llcm-full" else 1,
        "trials": trials,
        "direction": direction,
        "gallery_draw": "none" if protocol == "llcm-full" else "seeded",
    }
    full = complete_fingerprint(fingerprint, "llcm", merged=True, notes=remarks)
    return EvaluationPlan(f"{protocol}-{direction}", queries, galleries, "llcm", True, full)


def _llcm_rows(table: RecordTable, side: Modality, remarks: list[str]) -> np.ndarray:
    """Test rows of one modality from the cameras of the protocol; adds a remark about other cameras."""
    rows = np.flatnonzero((table.splits == "test") & (table.modalities == side.code))
    known = np.isin(table.camids[rows], LLCM_CAMERAS[side])
    if not known.all():
        remarks.append(f"{int((~known).sum())} {side} images of other cameras ignored")
    return rows[known]
