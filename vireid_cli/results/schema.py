"""What lies in a run folder: each file's name, version, keys, shapes and types.

``environment.json``    ``Environment``: versions, device, commit, seed, fingerprints.
``train.jsonl``         one ``StepRow`` a logged step, one ``EpochRow`` an epoch.
``evaluation/<protocol>/metrics.json``   ``EvaluationFile``.
``evaluation/<protocol>/ranking.npz``    see ``RANKING_ARRAYS``.
``evaluation/<protocol>/embeddings.npz`` see ``EMBEDDING_ARRAYS``.

Metrics are stored in [0, 1] and printed in percent.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

VERSION = 1
RANKS = (1, 5, 10, 20)
"""Ranks whose CMC is printed."""

RECIPE = "recipe.yaml"
ENVIRONMENT = "environment.json"
LOG = "train.jsonl"
METRICS = "metrics.json"
RANKING = "ranking.npz"
EMBEDDINGS = "embeddings.npz"

EMBEDDING_ARRAYS = {
    "features": "(N, D) float32",
    "pids": "(N,) int64",
    "camids": "(N,) int64",
    "modalities": "(N,) uint8, 0 visible, 1 infrared",
    "paths": "(N,) unicode",
}
RANKING_ARRAYS = {
    "query_paths": "(Q,) unicode",
    "query_pids": "(Q,) int64",
    "query_camids": "(Q,) int64",
    "gallery_paths": "(G,) unicode: the gallery of trial 0",
    "gallery_pids": "(G,) int64",
    "gallery_camids": "(G,) int64",
    "top": "(Q, 10) int64: gallery rows, best first; -1 where fewer are left",
    "scores": "(Q, 10) float32: their cosine similarity",
    "average_precision": "(Q,) float64: NaN where a query has no legal match",
    "first_rank": "(Q,) int64: 1-based rank of the first match, as the CMC counts; 0: none",
}


class StepRow(TypedDict):
    """One logged step.

    ``losses`` are the weighted terms, mean over the steps since the last line; ``loss`` their sum.
    """

    kind: str  # "step"
    epoch: int
    step: int
    global_step: int
    lr: float
    loss: float
    losses: dict[str, float]


class EpochRow(TypedDict):
    """One finished epoch: means over its steps.

    ``val`` is there with ``train.select: val`` only: rank1, mAP, mINP on the validation identities.
    """

    kind: str  # "epoch"
    epoch: int
    steps: int
    global_step: int
    lr: float
    loss: float
    losses: dict[str, float]
    val: NotRequired[dict[str, float]]


class Metric(TypedDict):
    """Mean over trials and their sample standard deviation (null for a single trial), in [0, 1]."""

    mean: float
    std: float | None


class EvaluationFile(TypedDict):
    """``metrics.json``."""

    version: int
    protocol: str
    fingerprint: dict[str, Any]
    trials: int
    queries: int
    valid_queries: int
    gallery: int
    metrics: dict[str, Metric]
    cmc: list[float]
    per_trial: dict[str, list[float]]
    chance: dict[str, float]
    reported: list[dict[str, Any]]
