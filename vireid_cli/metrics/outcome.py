"""Results of one retrieval and of several trials: numbers and arrays, validated at construction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from vireid_cli.errors import DataError
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.metrics.layout import RankPlan
from vireid_cli.metrics.ranking import Ranks

CMC_RANKS = 20
"""Length of every CMC; ranks beyond the gallery repeat the last value."""

REPORTED_RANKS = (1, 5, 10, 20)


@dataclass(frozen=True, slots=True)
class Chance:
    """Expected Rank-1 and mAP of a random order of the kept gallery images.

    With P matches among K kept images, Rank-1 is P / K (merging identities does not change the first
    rank) and AP is ``(H_K + (P − 1) (K − H_K) / (K − 1)) / K``, with the K-th harmonic number H_K. Both
    are averaged over the valid queries.

    Attributes:
        rank1, mAP: Expected values, in [0, 1].
    """

    rank1: float
    mAP: float


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Result of one retrieval (one trial) with Q queries.

    Attributes:
        cmc: (20,) float64, CMC@1 … CMC@20 in [0, 1].
        mAP, mINP: Means over the valid queries, in [0, 1].
        queries: Number of queries, Q.
        valid: Number of queries with a legal match.
        gallery: Number of gallery images.
        merged: Whether the CMC counts identities.
        rule: The camera rule.
        chance: Expectation under a random ranking.
        average_precision, inverse_negative_penalty: (Q,) float64, NaN for invalid queries.
        first_rank: (Q,) int64 rank of the first match (among identities if ``merged``), 0 if invalid.
        valid_mask: (Q,) bool, true for queries with a legal match.

    Raises:
        ValueError: The fields are inconsistent.
    """

    cmc: np.ndarray
    mAP: float
    mINP: float
    queries: int
    valid: int
    gallery: int
    merged: bool
    rule: CameraRule
    chance: Chance
    average_precision: np.ndarray = field(repr=False)
    inverse_negative_penalty: np.ndarray = field(repr=False)
    first_rank: np.ndarray = field(repr=False)
    valid_mask: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        per_query = (self.average_precision, self.inverse_negative_penalty, self.first_rank, self.valid_mask)
        if {array.shape for array in per_query} != {(self.queries,)}:
            raise ValueError(f"per-query arrays must all have shape ({self.queries},)")
        if (
            self.cmc.ndim != 1
            or np.any(np.diff(self.cmc) < 0)
            or not 0.0 <= self.cmc[0] <= self.cmc[-1] <= 1.0
        ):
            raise ValueError("a CMC must be non-decreasing and within [0, 1]")
        if self.valid != int(self.valid_mask.sum()) or self.valid < 1:
            raise ValueError("'valid' must count the valid mask and be at least 1")
        if not (0.0 <= self.mAP <= 1.0 and 0.0 <= self.mINP <= 1.0):
            raise ValueError("mAP and mINP must be in [0, 1]")

    def rank(self, k: int) -> float:
        """Return CMC@k for k from 1 to 20."""
        return float(self.cmc[k - 1])

    def metrics(self) -> dict[str, float]:
        """Return the reported metrics by name: rank1, rank5, rank10, rank20, mAP, mINP."""
        return {f"rank{k}": self.rank(k) for k in REPORTED_RANKS} | {"mAP": self.mAP, "mINP": self.mINP}


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation over trials.

    Attributes:
        mean: Arithmetic mean.
        std: Standard deviation with n − 1 in the denominator; None for a single trial.
    """

    mean: float
    std: float | None


@dataclass(frozen=True, slots=True)
class Trials:
    """Results of the trials of one protocol, in order.

    Raises:
        ValueError: No trial.
    """

    results: tuple[Retrieval, ...]

    def __post_init__(self) -> None:
        if not self.results:
            raise ValueError("at least one trial is needed")

    def __len__(self) -> int:
        """Return the number of trials."""
        return len(self.results)

    def __iter__(self) -> Iterator[Retrieval]:
        """Iterate over the results, in order."""
        return iter(self.results)

    def spread(self, of: Callable[[Retrieval], float]) -> Spread:
        """Compute the mean and standard deviation of one value over the trials."""
        values = np.array([of(result) for result in self.results])
        return Spread(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None)

    def summary(self) -> dict[str, Spread]:
        """Compute the mean and standard deviation of rank1, rank5, rank10, rank20, mAP and mINP."""
        return {name: self.spread(_metric(name)) for name in self.results[0].metrics()}

    def cmc(self) -> np.ndarray:
        """Compute the mean CMC over the trials, (20,)."""
        return np.mean([result.cmc for result in self.results], axis=0)

    def chance(self) -> Chance:
        """Compute the mean chance level over the trials."""
        chances = [result.chance for result in self.results]
        return Chance(
            float(np.mean([chance.rank1 for chance in chances])),
            float(np.mean([chance.mAP for chance in chances])),
        )


def _metric(name: str) -> Callable[[Retrieval], float]:
    """Return a function that reads one reported metric."""
    return lambda result: result.metrics()[name]


def result_of(plan: RankPlan, counted: Ranks, ranks: int = CMC_RANKS) -> Retrieval:
    """Average the ranks of all valid queries into a result.

    Raises:
        DataError: No query has a legal match.
    """
    valid = counted.matches > 0
    number = int(valid.sum())
    if number == 0:
        raise DataError(
            f"none of the {plan.queries} queries has a legal match among {plan.gallery} gallery images "
            f"(camera rule '{plan.rule}').",
            "Check that queries and gallery use the same pids, and that the camera rule fits the dataset.",
        )
    hits = np.bincount(np.minimum(counted.first_rank[valid] - 1, ranks), minlength=ranks + 1)
    return Retrieval(
        cmc=np.cumsum(hits[:ranks]) / number,
        mAP=float(counted.average_precision[valid].mean()),
        mINP=float(counted.inverse_negative_penalty[valid].mean()),
        queries=plan.queries,
        valid=number,
        gallery=plan.gallery,
        merged=plan.merge,
        rule=plan.rule,
        chance=chance_level(counted.matches[valid], counted.kept[valid]),
        average_precision=counted.average_precision,
        inverse_negative_penalty=counted.inverse_negative_penalty,
        first_rank=counted.first_rank,
        valid_mask=valid,
    )


def chance_level(matches: np.ndarray, kept: np.ndarray) -> Chance:
    """Compute the expectation under a random order, for ``matches`` (n,) ≥ 1 among ``kept`` (n,) images."""
    harmonic = np.cumsum(1.0 / np.arange(1, int(kept.max()) + 1))[kept - 1]  # (n,)
    share = np.where(kept > 1, (matches - 1) / np.maximum(kept - 1, 1), 0.0)
    precision = (harmonic + share * (kept - harmonic)) / kept
    return Chance(float(np.mean(matches / kept)), float(np.mean(precision)))
