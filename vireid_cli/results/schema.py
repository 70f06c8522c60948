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
version 1 are read: what needs these says so and goes without. 3 adds ``QUERY_ARRAYS`` to ``ranking.npz``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

VERSION = 3
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


QUERY_ARRAYS = {
    "average_precisions": "(sum of Q_t,) float64: as average_precision, trial after trial",
    "inverse_negative_penalties": "(sum of Q_t,) float64: NaN where a query has no legal match",
}
"""Beside the first ranks, from version 3 on: the other metrics of every query in every trial."""


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


_FORM = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
"""Typed values, without coercion; further keys are kept, since later versions add some."""

ROUNDING = 1e-9
"""How far a share may leave [0, 1]: sums of probabilities are rounded."""

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


def _in_unit_interval(value: float) -> float:
    if not -ROUNDING <= value <= 1.0 + ROUNDING:
        raise ValueError(f"expected a number in [0, 1], not {value}")
    return value


Share = Annotated[float, AfterValidator(_in_unit_interval)]
Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
Version = Annotated[int, Field(ge=1, le=VERSION)]
Scalar = str | int | float | bool | None

_TEXTS = ("dataset", "data", "source", "trained_on", "embedding", "recipe", "method", "rendered")
"""Keys of a fingerprint whose values are text."""


def _with_texts(fingerprint: dict[str, Scalar]) -> dict[str, Scalar]:
    for key in _TEXTS:
        if not isinstance(fingerprint.get(key, ""), str):
            raise ValueError(f"{key}: expected text, not {fingerprint[key]!r}")
    return fingerprint


Fingerprint = Annotated[dict[str, Any], Field(strict=True), AfterValidator(_with_texts)]
"""What was measured: the protocol in words and numbers."""


@with_config(_FORM)
class StepRow(TypedDict):
    """One logged step.

    ``losses`` are the weighted terms, mean over the steps since the last line; ``loss`` their sum.
    """

    kind: str  # "step"
    epoch: NotRequired[Count]
    step: NotRequired[Count]
    global_step: Count
    lr: float
    loss: float | None
    losses: Mapping[str, float | None]
    monitors: NotRequired[Mapping[str, float | None]]


@with_config(_FORM)
class EpochRow(TypedDict):
    """One finished epoch: means over its steps.

    ``val`` is there with ``train.select: val`` only: rank1, mAP, mINP on the validation identities.
    """

    kind: str  # "epoch"
    epoch: Count
    steps: NotRequired[Count]
    global_step: Count
    lr: NotRequired[float]
    loss: NotRequired[float | None]
    losses: NotRequired[Mapping[str, float | None]]
    val: NotRequired[Mapping[str, float | None]]
    monitors: NotRequired[Mapping[str, float | None]]


LOG_FORMS: dict[str, Any] = {"step": StepRow, "epoch": EpochRow}
"""Form of a row by its kind; rows of other kinds are notes."""


@with_config(_FORM)
class DataMark(TypedDict):
    """The data of a training: name, short mark and whole fingerprint."""

    dataset: str
    data: str
    fingerprint: str
    images: NotRequired[Count]
    rendered: NotRequired[str]
    occlusion: NotRequired[str]


@with_config(_FORM)
class Environment(TypedDict):
    """What ``environment.json`` holds.

    ``resumed`` lists the resumptions whose arithmetic differs, each with its ``global_step``;
    ``imported`` is there for a checkpoint that was not trained here.
    """

    version: Version
    data: DataMark
    num_identities: Positive
    parameters: Positive
    weights: str
    seed: NotRequired[Count]
    training_identities: NotRequired[str]
    device: NotRequired[str]
    precision: NotRequired[Literal["fp32", "bf16", "fp16"]]
    threads: NotRequired[Positive]
    platform: NotRequired[str]
    python: NotRequired[str]
    vireid: NotRequired[str]
    commit: NotRequired[str]
    torch: NotRequired[str]
    numpy: NotRequired[str]
    resumed: NotRequired[list[dict[str, Scalar]]]
    imported: NotRequired[dict[str, Any]]


@with_config(_FORM)
class Metric(TypedDict):
    """A metric in [0, 1].

    ``mean`` and ``std`` are over trials (null for a single one), ``interval`` is [low, high] of the
    bootstrap over people that ``EvaluationFile.interval`` names; null where a metric has none.
    """

    mean: Share
    std: Annotated[float, Field(ge=0.0)] | None
    interval: Interval | None


def _with_interval(metric: Any) -> Any:
    """Results of an early version have no interval."""
    return {"interval": None, **metric} if isinstance(metric, dict) else metric


Metrics = dict[str, Annotated[Metric, BeforeValidator(_with_interval)]]
PerTrial = dict[str, list[Share]]


@with_config(_FORM)
class Variant(TypedDict):
    """The same protocol with re-ranking or test-time augmentation: a row beside the plain one."""

    name: str
    rerank: str
    test_time_augmentation: str
    metrics: Metrics
    per_trial: PerTrial


@with_config(_FORM)
class Difference(TypedDict):
    """First minus second, its interval [low, high] and the p-value."""

    mean: float
    interval: Interval
    p_value: Share


@with_config(_FORM)
class Against(TypedDict):
    """The paired difference from another result under the same protocol."""

    name: str
    test: str
    metrics: Metrics
    differences: dict[str, Difference]


@with_config(_FORM)
class GroupRow(TypedDict):
    """Results of a group of queries."""

    queries: Count
    rank1: Share | None
    mAP: Share | None
    mINP: Share | None


@with_config(_FORM)
class CameraPairRow(GroupRow):
    """Results of the queries of one camera in the gallery of another one."""

    query_camera: int
    gallery_camera: int


@with_config(_FORM)
class IdentityRow(GroupRow):
    """Results of one person's queries."""

    pid: int


@with_config(_FORM)
class QueryRow(TypedDict):
    """A query with a low average precision, and the image that it takes for its match."""

    path: str
    pid: int
    camera: int
    average_precision: Share
    first_rank: Count
    best_match: str
    best_match_pid: int


@with_config(_FORM)
class Breakdown(TypedDict):
    """Where a result fails: rows of metrics, worst identities and queries first."""

    camera_pairs: list[CameraPairRow]
    identities: list[IdentityRow]
    worst_queries: list[QueryRow]


@with_config(_FORM)
class EvaluationFile(TypedDict):
    """What ``metrics.json`` holds.

    ``identifier`` is the one of all files of the evaluation (``results.evaluation``).
    ``models`` is there where several runs are averaged: means, deviations and ``per_trial`` are then
    over models, in the order in which they were named; ``runs`` are their names, sorted, ``evaluations``
    their identifiers.
    ``chance_cmc`` is the expectation of CMC@1 … CMC@50 under a random order, mean over trials
    (``metrics.chance``); version 1 lacks it.
    """

    version: Version
    protocol: str
    fingerprint: Fingerprint
    trials: Positive
    queries: Count
    valid_queries: Count
    gallery: Count
    metrics: Metrics
    interval: str
    cmc: list[Share]
    per_trial: PerTrial
    chance: dict[str, Share]
    variants: list[Variant]
    reported: list[dict[str, str | int | float]]
    against: NotRequired[Against]
    breakdown: NotRequired[Breakdown]
    models: NotRequired[Positive]
    runs: NotRequired[list[str]]
    evaluations: NotRequired[list[str | None]]
    chance_cmc: NotRequired[list[Share]]
    identifier: NotRequired[str]


def _consistent(content: EvaluationFile) -> EvaluationFile:
    """Every metric is in every part that tables print beside each other."""
    names = set(content["metrics"])
    parts = {
        f"variants.{i}.metrics": set(variant["metrics"]) for i, variant in enumerate(content["variants"])
    }
    for place, known in (("per_trial", set(content["per_trial"])), *parts.items()):
        if lacking := sorted(names - known):
            raise ValueError(f"{place} lacks {', '.join(lacking)}, which metrics has")
    if "against" in content:
        against = content["against"]
        if lacking := sorted(set(against["differences"]) - set(against["metrics"])):
            raise ValueError(f"against.metrics lacks {', '.join(lacking)}, which against.differences has")
    if content["valid_queries"] > content["queries"]:
        raise ValueError(f"valid_queries {content['valid_queries']} is beyond queries {content['queries']}")
    for i, row in enumerate(content["reported"]):
        if texts := sorted(name for name in names if isinstance(row.get(name), str)):
            raise ValueError(f"reported.{i}.{texts[0]}: expected a number, not {row[texts[0]]!r}")
    return content


CheckedEvaluation = Annotated[EvaluationFile, AfterValidator(_consistent)]
"""The form that ``metrics.json`` is read by."""
