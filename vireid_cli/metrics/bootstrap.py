"""How sure a metric is: intervals and paired tests with people as the unit, not images.

Images of one person succeed and fail together, so whole people are drawn again: each replicate weighs
every query by how often its person was drawn. The galleries stay as they are. Replicates are one
product of weights (B, P) with sums per person; nothing loops over people or queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vireid_cli.errors import UsageError

REPLICATES = 2000
LEVEL = 0.95
_BLOCK = 500
"""Replicates at once: (500, P) weights."""


@dataclass(frozen=True, slots=True)
class PersonSums:
    """Sums over the valid queries of each person: T trials, P people, M metrics.

    Attributes:
        pids: (P,) ascending.
        names: Of the M metrics.
        sums: (T, P, M) sums of the per-query values.
        counts: (T, P) valid queries.
    """

    pids: np.ndarray
    names: tuple[str, ...]
    sums: np.ndarray
    counts: np.ndarray

    def mean(self) -> np.ndarray:
        """The M metrics: mean over valid queries, then over trials."""
        return np.mean(self.sums.sum(axis=1) / self.counts.sum(axis=1)[:, None], axis=0)


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """One metric's paired difference.

    Attributes:
        mean: First minus second.
        low, high: Bounds of its bootstrap interval.
        p_value: Two-sided, of the sign-flip permutation test over people.
    """

    mean: float
    low: float
    high: float
    p_value: float


def sums_by_person(pids: Sequence[np.ndarray], values: Sequence[dict[str, np.ndarray]]) -> PersonSums:
    """Add the per-query values of each person.

    Args:
        pids: For each trial (Q_t,) the query's person.
        values: For each trial, by metric, (Q_t,) values; NaN where a query has no legal match.

    Raises:
        ValueError: No trial, or metrics that differ between trials.
    """
    if not values or any(row.keys() != values[0].keys() for row in values):
        raise ValueError("every trial needs the same metrics, and there must be a trial")
    names = tuple(values[0])
    people = np.unique(np.concatenate(pids))
    sums = np.zeros((len(values), len(people), len(names)))
    counts = np.zeros((len(values), len(people)))
    for trial, (of, row) in enumerate(zip(pids, values, strict=True)):
        valid = ~np.isnan(row[names[0]])
        slot = np.searchsorted(people, of[valid])
        counts[trial] = np.bincount(slot, minlength=len(people))
        for column, name in enumerate(names):
            sums[trial, :, column] = np.bincount(slot, row[name][valid], len(people))
    some = counts.any(axis=0)
    return PersonSums(people[some], names, sums[:, some], counts[:, some])


def intervals(
    people: PersonSums, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Compute the percentile bootstrap interval of each figure, people drawn with replacement.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 8.3 (clusters).

    Args:
        people: Sums per person.
        replicates: Number of draws.
        level: Of the interval.
        seed: Of the draws.

    Returns:
        (low, high) by metric.
    """
    drawn = _replicates(people, (people.sums,), replicates, seed)[0]  # (B, M)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(people.names)}


def paired(
    one: PersonSums, other: PersonSums, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0
) -> dict[str, PairedDifference]:
    """Compare two evaluations of the same queries.

    The interval is a paired bootstrap over people: both sides are weighed by one draw. The p-value is
    that of a sign-flip permutation test: under the null hypothesis a person's two results may be
    exchanged. With R random flips it is (1 + those at least as extreme) / (1 + R), so never 0.

    Raises:
        UsageError: The two are not of the same people and valid queries.
    """
    refuse_others(one, other)
    ours, theirs = _replicates(one, (one.sums, other.sums), replicates, seed)
    low, high = np.quantile(ours - theirs, [(1 - level) / 2, (1 + level) / 2], axis=0)
    mean = one.mean() - other.mean()
    p_values = sign_flips(one, other, replicates, seed)
    return {
        name: PairedDifference(float(mean[i]), float(low[i]), float(high[i]), float(p_values[i]))
        for i, name in enumerate(one.names)
    }


def refuse_others(one: PersonSums, other: PersonSums) -> None:
    """Refuse results that are not of the same people and queries.

    Raises:
        UsageError: They are not.
    """
    same = one.names == other.names and np.array_equal(one.pids, other.pids)
    if not (same and np.array_equal(one.counts, other.counts)):
        raise UsageError(
            "the two evaluations are not of the same queries: a paired difference has no meaning.",
            "Evaluate both under one protocol, on the same data.",
        )


def _replicates(
    people: PersonSums, sides: tuple[np.ndarray, ...], replicates: int, seed: int
) -> list[np.ndarray]:
    """The figures of each replicate, for every side with the same draws: (B, M) each."""
    random = np.random.default_rng(seed)
    size = len(people.pids)
    trials, _, metrics = people.sums.shape
    found = [np.empty((replicates, metrics)) for _ in sides]
    for first in range(0, replicates, _BLOCK):
        number = min(_BLOCK, replicates - first)
        weights = random.multinomial(size, np.full(size, 1 / size), number).astype(np.float64)  # (b, P)
        queries = weights @ people.counts.T  # (b, T)
        # a draw may hold no valid query of a trial: that trial leaves its mean
        held = queries > 0
        for side, out in zip(sides, found, strict=True):
            flat = side.transpose(1, 0, 2).reshape(size, trials * metrics)
            total = (weights @ flat).reshape(number, trials, metrics)
            mean = np.where(held[:, :, None], total / np.maximum(queries, 1)[:, :, None], 0.0)
            out[first : first + number] = mean.sum(axis=1) / held.sum(axis=1)[:, None]
    return found


def sign_flips(one: PersonSums, other: PersonSums, replicates: int, seed: int) -> np.ndarray:
    """Two-sided p-values (M,) of exchanging people's results at random."""
    random = np.random.default_rng([seed, 1])
    scale = one.counts.sum(axis=1)[:, None, None] * len(one.counts)
    difference = ((one.sums - other.sums) / scale).sum(axis=0)  # (P, M)
    observed = np.abs(difference.sum(axis=0))
    # equal sums in another order differ by rounding
    limit = observed - 1e-12
    extreme = np.zeros(len(observed))
    for first in range(0, replicates, _BLOCK):
        number = min(_BLOCK, replicates - first)
        signs = random.integers(0, 2, (number, len(difference))) * 2.0 - 1.0
        extreme += (np.abs(signs @ difference) >= limit).sum(axis=0)
    return (1.0 + extreme) / (1.0 + replicates)
