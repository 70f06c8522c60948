"""Files of a run folder and the schema of evaluations: names, versions, keys, shapes and types.

``environment.json``, ``train.jsonl``    see ``training_schema``.
``evaluation/<protocol>/metrics.json``   ``EvaluationFile``. For evaluations on another dataset than that of
                                         the training, the folder is ``<dataset>-<protocol>``.
``evaluation/<protocol>/ranking.npz``    see ``RANKING_ARRAYS``.
``evaluation/<protocol>/embeddings.npz`` see ``EMBEDDING_ARRAYS`` and ``TRIAL_ARRAYS``.

Metrics are stored in [0, 1] and printed in percent.

The three files of an evaluation have a common ``identifier``, a hash of their content, which readers compare
(``results.evaluation``). Files of early versions have no identifier and are accepted.

Version 2 adds ``FIRST_RANK_ARRAYS`` to ``ranking.npz`` and ``chance_cmc`` to ``metrics.json``. Files of
version 1 are accepted; figures and tables that need the new values report that they are missing. Version 3
adds ``QUERY_ARRAYS`` to ``ranking.npz``.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

VERSION = 3
"""Current version of the files."""

RANKS = (1, 5, 10, 20)
"""Ranks of the CMC in tables."""

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
    "query_offsets": "(T + 1,) int64: first position of each trial",
    "galleries": "(sum of G_t,) int64",
    "gallery_offsets": "(T + 1,) int64",
}
"""Further arrays of ``embeddings.npz``: rows of the queries and of the gallery in each trial."""

RANKING_ARRAYS = {
    "query_paths": "(Q,) unicode",
    "query_pids": "(Q,) int64",
    "query_camids": "(Q,) int64",
    "gallery_paths": "(G,) unicode: the gallery of trial 0",
    "gallery_pids": "(G,) int64",
    "gallery_camids": "(G,) int64",
    "top": "(Q, 10) int64: gallery rows, best first; -1 if fewer exist",
    "scores": "(Q, 10) float32: their cosine similarity",
    "average_precision": "(Q,) float64: NaN for queries without a legal match",
    "first_rank": "(Q,) int64: 1-based rank of the first match in the CMC's count; 0 without a match",
}


FIRST_RANK_ARRAYS = {
    "first_ranks": "(sum of Q_t,) int32: as first_rank, trial after trial",
    "first_rank_pids": "(sum of Q_t,) int64: person numbers of the queries",
    "first_rank_offsets": "(T + 1,) int64: first position of each trial",
}
"""Further arrays of ``ranking.npz`` since version 2: the first match of every query in every trial."""


QUERY_ARRAYS = {
    "average_precisions": "(sum of Q_t,) float64: as average_precision, trial after trial",
    "inverse_negative_penalties": "(sum of Q_t,) float64: NaN for queries without a legal match",
}
"""Further arrays of ``ranking.npz`` since version 3: other metrics of every query in every trial."""


ROWS = {
    "queries": (0, "pids"),
    "galleries": (0, "pids"),
    "top": (-1, "gallery_pids"),
}
"""For arrays of row numbers: the smallest row number, and the array that they index."""

OFFSETS = {
    "query_offsets": "queries",
    "gallery_offsets": "galleries",
    "first_rank_offsets": "first_ranks",
}
"""For arrays of offsets: the array that they divide into trials."""


FORM = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
"""Configuration of all forms: no coercion; unknown keys are kept, because later versions add some."""

ROUNDING = 1e-9
"""Tolerance of shares outside of [0, 1], because sums of probabilities are rounded."""

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
"""Keys of a fingerprint with text values."""


def _with_texts(fingerprint: dict[str, Scalar]) -> dict[str, Scalar]:
    for key in _TEXTS:
        if not isinstance(fingerprint.get(key, ""), str):
            raise ValueError(f"{key}: expected text, not {fingerprint[key]!r}")
    return fingerprint


Fingerprint = Annotated[dict[str, Any], Field(strict=True), AfterValidator(_with_texts)]
"""Settings of an evaluation: data, network and protocol."""


@with_config(FORM)
class Metric(TypedDict):
    """A metric in [0, 1].

    ``mean`` and ``std`` are over trials (``std`` is null for a single trial). ``interval`` is [low, high] of
    the bootstrap over people in ``EvaluationFile.interval``, or null.
    """

    mean: Share
    std: Annotated[float, Field(ge=0.0)] | None
    interval: Interval | None


def _with_interval(metric: Any) -> Any:
    """Add the missing interval in files of early versions."""
    return {"interval": None, **metric} if isinstance(metric, dict) else metric


Metrics = dict[str, Annotated[Metric, BeforeValidator(_with_interval)]]
PerTrial = dict[str, list[Share]]


@with_config(FORM)
class Variant(TypedDict):
    """Metrics of the same protocol with re-ranking or test-time augmentation."""

    name: str
    rerank: str
    test_time_augmentation: str
    metrics: Metrics
    per_trial: PerTrial


@with_config(FORM)
class Difference(TypedDict):
    """Difference first minus second, with interval [low, high] and p-value."""

    mean: float
    interval: Interval
    p_value: Share


@with_config(FORM)
class Against(TypedDict):
    """Paired difference from another evaluation with the same protocol."""

    name: str
    test: str
    metrics: Metrics
    differences: dict[str, Difference]


@with_config(FORM)
class GroupRow(TypedDict):
    """Metrics of a group of queries."""

    queries: Count
    rank1: Share | None
    mAP: Share | None
    mINP: Share | None


@with_config(FORM)
class CameraPairRow(GroupRow):
    """Metrics of the queries of one camera against the gallery of another camera."""

    query_camera: int
    gallery_camera: int


@with_config(FORM)
class IdentityRow(GroupRow):
    """Metrics of the queries of one person."""

    pid: int


@with_config(FORM)
class QueryRow(TypedDict):
    """A query with a low average precision, and the first image of its ranking."""

    path: str
    pid: int
    camera: int
    average_precision: Share
    first_rank: Count
    best_match: str
    best_match_pid: int


@with_config(FORM)
class Breakdown(TypedDict):
    """Metrics by camera pair and identity, and the worst queries; the worst rows are first."""

    camera_pairs: list[CameraPairRow]
    identities: list[IdentityRow]
    worst_queries: list[QueryRow]


@with_config(FORM)
class EvaluationFile(TypedDict):
    """Content of ``metrics.json``.

    ``identifier`` is common to all files of the evaluation (``results.evaluation``).
    ``models`` exists for means over several runs. Means, deviations and ``per_trial`` are then over models,
    in the order of the command; ``runs`` are their sorted names (paths, if two have one name),
    ``evaluations`` their identifiers.
    ``chance_cmc`` is the expectation of CMC@1 … CMC@50 in a random order, mean over trials
    (``metrics.chance``); missing in version 1. ``embedding_key`` is a hash of weights, code and precision;
    evaluations with the same key reuse the embeddings of the same images.
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
    embedding_key: NotRequired[str]
    identifier: NotRequired[str]


def _consistent(content: EvaluationFile) -> EvaluationFile:
    """Check that all parts of a table have the same metrics, and that counts and numbers are consistent."""
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
        raise ValueError(
            f"valid_queries {content['valid_queries']} is larger than queries {content['queries']}"
        )
    for i, row in enumerate(content["reported"]):
        if texts := sorted(name for name in names if isinstance(row.get(name), str)):
            raise ValueError(f"reported.{i}.{texts[0]}: expected a number, not {row[texts[0]]!r}")
    return content


CheckedEvaluation = Annotated[EvaluationFile, AfterValidator(_consistent)]
"""Form of ``metrics.json`` with validation of its consistency."""
