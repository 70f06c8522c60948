"""What lies in a run folder: each file's name, version, keys, shapes and types.

``environment.json``    ``Environment``: versions, device, commit, seed, fingerprints.
``train.jsonl``         one ``StepRow`` a logged step, one ``EpochRow`` an epoch.
``evaluation/<protocol>/metrics.json``   ``EvaluationFile``; ``<dataset>-<protocol>`` where a run is evaluated
                                         on another dataset than it was trained on.
``evaluation/<protocol>/ranking.npz``    see ``RANKING_ARRAYS``.
``evaluation/<protocol>/embeddings.npz`` see ``EMBEDDING_ARRAYS`` and ``TRIAL_ARRAYS``.

Metrics are stored in [0, 1] and printed in percent.

The three files of an evaluation carry one ``identifier``, a hash over all that they hold; readers check it
(``results.evaluation``). Files of before there were identifiers are read.

Versions: 2 adds ``FIRST_RANK_ARRAYS`` to ``ranking.npz`` and ``chance_cmc`` to ``metrics.json``. Files of
version 1 are read: what needs these says so and goes without.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

VERSION = 2
RANKS = (1, 5, 10, 20)
"""Ranks whose CMC is printed."""

RECIPE = "recipe.yaml"
ENVIRONMENT = "environment.json"
LOG = "train.jsonl"
METRICS = "metrics.json"
RANKING = "ranking.npz"
EMBEDDINGS = "embeddings.npz"

ENVIRONMENT_KEYS = ("data", "num_identities")
EVALUATION_KEYS = ("fingerprint", "metrics")
"""What every file of that name holds, of any version."""

EMBEDDING_ARRAYS = {
    "features": "(N, D) float32",
    "pids": "(N,) int64",
    "camids": "(N,) int64",
    "modalities": "(N,) uint8, 0 visible, 1 infrared",
    "paths": "(N,) unicode",
}
TRIAL_ARRAYS = {
    "queries": "(sum of Q_t,) int64 rows of the embeddings, trial after trial",
    "query_offsets": "(T + 1,) int64: where each trial begins in it",
    "galleries": "(sum of G_t,) int64",
    "gallery_offsets": "(T + 1,) int64",
}
"""Beside the embeddings: which rows are queries and gallery in each trial."""

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


FIRST_RANK_ARRAYS = {
    "first_ranks": "(sum of Q_t,) int32: as first_rank, trial after trial",
    "first_rank_pids": "(sum of Q_t,) int64: the queries' persons",
    "first_rank_offsets": "(T + 1,) int64: where each trial begins in them",
}
"""Beside the ranking of trial 0, from version 2 on: the first match of every query in every trial."""


ROWS = {
    "queries": (0, "pids"),
    "galleries": (0, "pids"),
    "top": (-1, "gallery_pids"),
}
"""Arrays of rows: the smallest row, and the array that the rows are of."""

OFFSETS = {
    "query_offsets": "queries",
    "gallery_offsets": "galleries",
    "first_rank_offsets": "first_ranks",
}
"""Arrays of offsets, and the array that they divide into trials."""


class StepRow(TypedDict):
    """One logged step.

    ``losses`` are the weighted terms, mean over the steps since the last line; ``loss`` their sum.
    ``monitors`` are numbers of a method that are no losses, means likewise; only where it has any.
    """

    kind: str  # "step"
    epoch: int
    step: int
    global_step: int
    lr: float
    loss: float
    losses: dict[str, float]
    monitors: NotRequired[dict[str, float]]


class EpochRow(TypedDict):
    """One finished epoch: means over its steps; ``monitors`` as of its last step row.

    ``val`` is there with ``train.select: val`` only: rank1, mAP, mINP on the validation identities.
    """

    kind: str  # "epoch"
    epoch: int
    steps: int
    global_step: int
    lr: float
    loss: float
    losses: dict[str, float]
    monitors: NotRequired[dict[str, float]]
    val: NotRequired[dict[str, float]]


LOG_COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "step": (("global_step", "lr", "loss"), ("losses", "monitors")),
    "epoch": (("epoch", "global_step"), ("val",)),
}
"""Columns of a row that figures draw, by its kind: numbers, and names with a number each."""

OPTIONAL_COLUMNS = ("monitors", "val")
"""Columns that a row may lack."""


class Metric(TypedDict):
    """A metric in [0, 1].

    ``mean`` and ``std`` are over trials (null for a single one), ``interval`` is [low, high] of the
    bootstrap over people that ``EvaluationFile.interval`` names; null where a metric has none.
    """

    mean: float
    std: float | None
    interval: list[float] | None


class Variant(TypedDict):
    """The same protocol with re-ranking or test-time augmentation: a row beside the plain one."""

    name: str
    rerank: str
    test_time_augmentation: str
    metrics: dict[str, Metric]
    per_trial: dict[str, list[float]]


class Difference(TypedDict):
    """First minus second, its interval [low, high] and the p-value."""

    mean: float
    interval: list[float]
    p_value: float


class Against(TypedDict):
    """The paired difference from another result under the same protocol."""

    name: str
    test: str
    metrics: dict[str, Metric]
    differences: dict[str, Difference]


class Breakdown(TypedDict):
    """Where a result fails: rows of metrics, worst identities and queries first."""

    camera_pairs: list[dict[str, Any]]
    identities: list[dict[str, Any]]
    worst_queries: list[dict[str, Any]]


class EvaluationFile(TypedDict):
    """What ``metrics.json`` holds.

    ``models`` is there where several runs are averaged: means, deviations and ``per_trial`` are then
    over models, in the order in which they were named; ``runs`` are their names, sorted, and
    ``evaluations`` the identifiers of what was averaged, in the order of ``per_trial``.
    ``chance_cmc`` is the expectation of CMC@1 … CMC@50 under a random order, mean over trials
    (``metrics.chance``); version 1 lacks it.
    """

    version: int
    protocol: str
    fingerprint: dict[str, Any]
    trials: int
    queries: int
    valid_queries: int
    gallery: int
    metrics: dict[str, Metric]
    interval: str
    cmc: list[float]
    per_trial: dict[str, list[float]]
    chance: dict[str, float]
    variants: list[Variant]
    reported: list[dict[str, Any]]
    against: NotRequired[Against]
    breakdown: NotRequired[Breakdown]
    models: NotRequired[int]
    runs: NotRequired[list[str]]
    chance_cmc: NotRequired[list[float]]
    identifier: NotRequired[str]
    evaluations: NotRequired[list[str | None]]
