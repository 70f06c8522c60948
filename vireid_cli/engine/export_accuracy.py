"""Calibration images of a quantised export, and the change of its retrieval metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from vireid_cli.data import protocols
from vireid_cli.data.plan import EvaluationPlan, evaluate_plan
from vireid_cli.data.protocols.request import Request
from vireid_cli.engine.embed import BATCH, embed_rows, to_images
from vireid_cli.engine.export_subject import ExportSubject
from vireid_cli.engine.train.data import training_data
from vireid_cli.errors import UsageError, VireidError
from vireid_cli.results.export import AccuracyChange
from vireid_cli.types import Embeddings, Modality

LARGEST_LOSS = 0.5
"""Largest accepted loss of Rank-1 or mAP, in percentage points."""

ROUNDING = 1e-9
"""Tolerance of a loss for rounding, in percentage points."""

CALIBRATION = 256
"""Default number of calibration images, half of them of each modality."""

CheckSplit = Literal["val", "test"]
"""Split of the identities that measure a quantised file."""

EmbedBatch = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Function of images (N, 3, H, W) float32 and codes (N,) int64 → embeddings (N, D) float32."""


def calibration_batches(subject: ExportSubject, count: int, batch: int = 8) -> list[dict[str, np.ndarray]]:
    """Inputs ``images`` and ``modality`` of training images, evenly spread, both modalities in each batch.

    Args:
        subject: The exported run.
        count: Number of images; fewer if the training split has fewer.
        batch: Images per input.
    """
    rows = training_data(subject.trained.recipe, subject.store).rows
    codes = subject.store.records.modalities[rows]
    parts = [rows[codes == modality.code] for modality in Modality]
    least = max(1, min(count // 2, *(len(part) for part in parts)))
    chosen = [part[np.linspace(0, len(part) - 1, num=least, dtype=np.int64)] for part in parts]
    mixed = np.stack(chosen, axis=1).reshape(-1)  # visible and infrared by turns
    pieces = (mixed[start : start + batch] for start in range(0, len(mixed), batch))
    return [dict(zip(("images", "modality"), _inputs(subject, piece), strict=True)) for piece in pieces]


def check_plan(subject: ExportSubject, split: CheckSplit) -> EvaluationPlan:
    """Return the plan of the identities that measure a quantised file.

    Raises:
        UsageError: The dataset has no validation identities.
    """
    store = subject.store
    if split == "test":
        trial = subject.trained.recipe.data.trial if store.records.trials else None
        return protocols.plans_for(store, Request(trial=trial))[0]
    if not np.any(store.records.splits == "val"):
        raise UsageError(
            f"The prepared {store.info.dataset} has no validation identities that could measure the file.",
            "Measure it on the test identities: --check-on test. Their metrics then decide about the export.",
        )
    return protocols.plans_for(store, Request(split="val"))[0]


def accuracy_change(
    subject: ExportSubject, embed: EmbedBatch, plan: EvaluationPlan, split: CheckSplit
) -> AccuracyChange:
    """Measure Rank-1 and mAP of PyTorch and of an exported file on the same images.

    Args:
        subject: The exported run.
        embed: The exported file.
        plan: Plan of ``check_plan``.
        split: Name of the identities.
    """
    rows = plan.rows
    before = embed_rows(subject.trained.network, subject.session, subject.store, subject.size, rows)
    features = np.empty_like(before.features)
    for start in range(0, len(rows), BATCH):
        part = slice(start, start + BATCH)
        features[part] = embed(*_inputs(subject, rows[part]))
        subject.session.reporter.advance("measuring the file", min(start + BATCH, len(rows)), len(rows))
    after = Embeddings(features, before.pids, before.camids, before.modalities, before.paths)
    old, new = (evaluate_plan(plan, side, rows).summary() for side in (before, after))
    return AccuracyChange(
        split={"val": "validation", "test": "test"}[split],
        identities=len(np.unique(before.pids)),
        images=len(rows),
        rank1=new["rank1"].mean,
        rank1_before=old["rank1"].mean,
        mAP=new["mAP"].mean,
        mAP_before=old["mAP"].mean,
    )


def refuse_loss(change: AccuracyChange, name: str) -> None:
    """Raise ``VireidError`` if Rank-1 or mAP falls by more than ``LARGEST_LOSS`` points."""
    if change.loss > LARGEST_LOSS + ROUNDING:
        raise VireidError(
            f"{name} loses {change.loss:.2f} points; the limit is {LARGEST_LOSS}. {change.describe()}. "
            "No file was written.",
            "Calibrate on more images (--calibration), or export without quantisation.",
        )


def _inputs(subject: ExportSubject, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, H, W) float32 and codes (N,) int64 of rows of the store."""
    pixels = subject.store.batch(subject.size, rows)
    images = to_images(pixels, torch.device("cpu")).contiguous().numpy()
    return images, subject.store.records.modalities[rows].astype(np.int64)
