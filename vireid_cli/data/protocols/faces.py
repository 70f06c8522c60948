"""Oulu-CASIA NIR-VIS and BUAA-VisNir: infrared faces query visible ones; Rank-1 and VR@FAR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vireid_cli.data.faces import OURS
from vireid_cli.data.gallery_draws import sorted_rows
from vireid_cli.data.plan import EvaluationPlan, Fingerprint, complete_fingerprint
from vireid_cli.data.protocols.request import ALL_IMAGES, Request
from vireid_cli.data.store import Store
from vireid_cli.errors import UsageError
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.metrics.verification import FACE_FARS, FAR_READINGS, FarReading
from vireid_cli.types import Modality, RecordTable

RULE: CameraRule = "none"
MERGED = False
FARS = FACE_FARS


def plans(store: Store, request: Request) -> list[EvaluationPlan]:
    """Plan the evaluation of papers on faces: infrared queries, visible gallery.

    Raises:
        UsageError: Settings of another dataset, or visible queries.
        DataError: The query or gallery has no images.
    """
    check(request)
    notes = [*store.ignored_file_notes, *(note for note in store.info.notes if note == OURS)]
    reading = request.far or "not-exceeded"
    return [faces_plan(store.records, dataset=store.info.dataset, notes=notes, reading=reading)]


def check(request: Request) -> None:
    """Refuse unknown settings and visible queries.

    Raises:
        UsageError: A setting is refused.
    """
    request.refuse_others("faces", "directions", "far")
    if request.directions is not None and request.directions != ("i2v",):
        raise UsageError(
            "faces are compared in one direction: infrared queries, visible gallery (i2v).",
            "Omit the direction; to evaluate both, read the data with the source 'folder'.",
        )


def published(fingerprint: Mapping[str, Any]) -> str | None:
    """Return ``faces``, or None if this package drew the protocol files, which no paper used."""
    return None if OURS in str(fingerprint.get("notes")) else "faces"


def faces_plan(
    table: RecordTable,
    *,
    dataset: str,
    notes: Sequence[str] = (),
    reading: FarReading = "not-exceeded",
) -> EvaluationPlan:
    """Plan an evaluation on faces: the infrared images of ``query`` against the visible ones of ``gallery``.

    Images of split ``test``, from lists without sides, are queries or gallery according to their modality.

    Args:
        table: All records of the dataset.
        dataset: Name of the source.
        notes: Remarks of the source for the fingerprint.
        reading: Definition of the operating point for a false acceptance rate; part of the plan's name
            unless it is the default.

    Raises:
        DataError: The query or gallery has no images.
    """
    query = sorted_rows(table, table.side("query", Modality.INFRARED))
    gallery = sorted_rows(table, table.side("gallery", Modality.VISIBLE))
    fingerprint: Fingerprint = {
        "dataset": dataset,
        "split": "test",
        "mode": "verification",
        "shots": ALL_IMAGES,
        "trials": 1,
        "direction": "i2v",
        "gallery_draw": "none",
        "verification_rate": FAR_READINGS[reading],
    }
    full = complete_fingerprint(fingerprint, RULE, merged=MERGED, notes=notes)
    name = "faces" if reading == "not-exceeded" else f"faces-{reading}"
    return EvaluationPlan(name, (query,), (gallery,), RULE, MERGED, full, FACE_FARS, reading)
