"""Confidence intervals and paired tests of metrics, with people instead of images as the sampling unit.

Images of one person succeed and fail together, so the bootstrap resamples whole people: each replicate
weights every query by the number of times its person was drawn. The galleries stay unchanged. Replicates
are one product of weights (B, P) and sums per person; no loop runs over people or queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vireid_cli.errors import UsageError

REPLICATES = 2000
LEVEL = 0.95
_BLOCK = 500
"""Replicates computed at once: (500, P) weights."""


@dataclass(frozen=True, slots=True)
class PersonSums:
    """Sums over the valid queries of each person: T trials, P people, M metrics.

    Attributes:
        pids: (P,) identity labels, ascending.
        names: Names of the M metrics.
        sums: (T, P, M) sums of the per-query values.
        counts: (T, P) numbers of valid queries.
    """

    pids: np.ndarray
    names: tuple[str, ...]
    sums: np.ndarray
    counts: np.ndarray

    def mean(self) -> np.ndarray:
        """Compute the M metrics (M,): mean over valid queries, then over trials."""
        return np.mean(self.sums.sum(axis=1) / self.counts.sum(axis=1)[:, None], axis=0)


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Paired difference of one metric between two evaluations.

    Attributes:
        mean: First minus second.
        low, high: Bounds of the bootstrap interval.
        p_value: Two-sided p-value of the sign-flip permutation test over people.
    """

    mean: float
    low: float
    high: float
    p_value: float


def sums_by_person(pids: Sequence[np.ndarray], values: Sequence[dict[str, np.ndarray]]) -> PersonSums:
    """Add the per-query values of each person.

    Args:
        pids: Per trial, (Q_t,) identity labels of the queries.
        values: Per trial, (Q_t,) values keyed by metric name; NaN for queries without a legal match.

    Raises:
        ValueError: No trial, or metrics that differ between trials.
    """
    if not values or any(row.keys() != values[0].keys() for row in values):
        raise ValueError("at least one trial is needed, and all trials need the same metrics")
    names = tuple(values[0])
    people = np.unique(np.concatenate(pids))
    sums = np.zeros((len(values), len(people), len(names)))
    counts = np.zeros((len(values), len(people)))
    for trial, (labels, row) in enumerate(zip(pids, values, strict=True)):
        valid = ~np.isnan(row[names[0]])
        slot = np.searchsorted(people, labels[valid])
        counts[trial] = np.bincount(slot, minlength=len(people))
        for column, name in enumerate(names):
            sums[trial, :, column] = np.bincount(slot, row[name][valid], len(people))
    valid_people = counts.any(axis=0)
    return PersonSums(people[valid_people], names, sums[:, valid_people], counts[:, valid_people])


def intervals(
    people: PersonSums, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Compute the percentile bootstrap interval of each metric, drawing people with replacement.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 8.3 (clusters).

    Args:
        people: Sums per person.
        replicates: Number of draws.
        level: Coverage of the interval, in (0, 1).
        seed: Seed of the draws.

    Returns:
        (low, high) keyed by metric name.
    """
    drawn = person_replicates(people, (people.sums,), replicates, seed)[0]  # (B, M)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(people.names)}


def paired(
    one: PersonSums, other: PersonSums, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0
) -> dict[str, PairedDifference]:
    """Compare two evaluations of the same queries.

    The interval is a paired bootstrap over people: one draw weights both evaluations. The p-value comes
    from a sign-flip permutation test: under the null hypothesis, a person's two results are
    exchangeable. With R random flips, p = (1 + flips at least as extreme) / (1 + R), which is never 0.

    Raises:
        UsageError: The evaluations differ in people or valid queries.
    """
    require_same_queries(one, other)
    first, second = person_replicates(one, (one.sums, other.sums), replicates, seed)
    low, high = np.quantile(first - second, [(1 - level) / 2, (1 + level) / 2], axis=0)
    mean = one.mean() - other.mean()
    p_values = sign_flips(one, other, replicates, seed)
    return {
        name: PairedDifference(float(mean[i]), float(low[i]), float(high[i]), float(p_values[i]))
        for i, name in enumerate(one.names)
    }


def require_same_queries(one: PersonSums, other: PersonSums) -> None:
    """Check that two evaluations have the same people and queries.

    Raises:
        UsageError: They differ.
    """
    same = one.names == other.names and np.array_equal(one.pids, other.pids)
    if not (same and np.array_equal(one.counts, other.counts)):
        raise UsageError(
            "the two evaluations do not have the same queries, so a paired difference is undefined.",
            "Evaluate both on the same data with the same protocol.",
        )


def person_replicates(
    people: PersonSums, sides: tuple[np.ndarray, ...], replicates: int, seed: int
) -> list[np.ndarray]:
    """Compute metrics in draws of people with replacement; all sides share the draws.

    Args:
        people: One evaluation; its people and counts of queries hold for all sides.
        sides: (T, P, M) sums of each evaluation.
        replicates: Number B of draws.
        seed: Seed of the draws.

    Returns:
        (B, M) for each side.
    """
    random = np.random.default_rng(seed)
    size = len(people.pids)
    trials, _, columns = people.sums.shape
    values = [np.empty((replicates, columns)) for _ in sides]
    for first in range(0, replicates, _BLOCK):
        number = min(_BLOCK, replicates - first)
        weights = random.multinomial(size, np.full(size, 1 / size), number).astype(np.float64)  # (b, P)
        counts = weights @ people.counts.T  # (b, T)
        # a draw without valid queries in a trial: the trial does not enter the mean
        present = counts > 0
        for side, out in zip(sides, values, strict=True):
            flat = side.transpose(1, 0, 2).reshape(size, trials * columns)
            total = (weights @ flat).reshape(number, trials, columns)
            mean = np.where(present[:, :, None], total / np.maximum(counts, 1)[:, :, None], 0.0)
            out[first : first + number] = mean.sum(axis=1) / present.sum(axis=1)[:, None]
    return values


def sign_flips(one: PersonSums, other: PersonSums, replicates: int, seed: int) -> np.ndarray:
    """Compute the two-sided p-values (M,) of a sign-flip permutation test over people."""
    random = np.random.default_rng([seed, 1])
    scale = one.counts.sum(axis=1)[:, None, None] * len(one.counts)
    difference = ((one.sums - other.sums) / scale).sum(axis=0)  # (P, M)
    observed = np.abs(difference.sum(axis=0))
    # equal sums, added in another order, differ by rounding
    limit = observed - 1e-12
    extreme = np.zeros(len(observed))
    for first in range(0, replicates, _BLOCK):
        number = min(_BLOCK, replicates - first)
        signs = random.integers(0, 2, (number, len(difference))) * 2.0 - 1.0
        extreme += (np.abs(signs @ difference) >= limit).sum(axis=0)
    return (1.0 + extreme) / (1.0 + replicates)
