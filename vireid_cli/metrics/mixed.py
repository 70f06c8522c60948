"""Intervals over people and seeds together, and the agreement of two orders of methods.

Two sources of chance act on a method's metric: the test people and the training seed. The mixed bootstrap
draws both with replacement, the people once for all methods and seeds, and the seeds once for all methods,
so that differences are paired (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), 2007:
its variance is never below the true one, as far as both factors are many). Of S seeds, S − 1 are drawn,
which makes the variance of their mean unbiased (Rao & Wu, "Resampling inference with complex survey data",
JASA 83, 1988); with few seeds the interval remains approximate. A single seed stays fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vireid_cli.metrics.bootstrap import (
    LEVEL,
    REPLICATES,
    PersonSums,
    person_replicates,
    require_same_queries,
)


def mixed_replicates(
    methods: Sequence[Sequence[PersonSums]], *, replicates: int = REPLICATES, seed: int = 0
) -> np.ndarray:
    """Compute the metrics of each method in each draw of people and seeds.

    Args:
        methods: R methods with S evaluations each, one per training seed, in the same order of seeds.
        replicates: Number B of draws.
        seed: Seed of the draws.

    Returns:
        (B, R, M) means over people, trials and seeds.

    Raises:
        UsageError: The evaluations differ in people or valid queries.
        ValueError: No method, no evaluation, or methods with different numbers of seeds.
    """
    counts = {len(evaluations) for evaluations in methods}
    if len(counts) != 1 or 0 in counts:
        raise ValueError("at least one method is needed, and all need the same number of seeds, at least 1")
    (seeds,) = counts
    first = methods[0][0]
    for evaluations in methods:
        for people in evaluations:
            require_same_queries(first, people)
    sides = tuple(people.sums for evaluations in methods for people in evaluations)
    values = np.stack(person_replicates(first, sides, replicates, seed), axis=1)  # (B, R·S, M)
    values = values.reshape(replicates, len(methods), seeds, -1)  # (B, R, S, M)
    mean: np.ndarray = np.einsum("brsm,bs->brm", values, _seed_weights(seeds, replicates, seed))
    return mean


def _seed_weights(seeds: int, replicates: int, seed: int) -> np.ndarray:
    """Shares (B, S) of the seeds in each draw; each row has the sum 1."""
    if seeds == 1:
        return np.ones((replicates, 1))
    random = np.random.default_rng([seed, 2])
    return random.multinomial(seeds - 1, np.full(seeds, 1 / seeds), replicates) / (seeds - 1)


def percentiles(draws: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Compute the percentile interval over the first axis: (B, …) → (2, …), low and high."""
    bounds: np.ndarray = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return bounds


@dataclass(frozen=True, slots=True)
class Agreement:
    """Kendall's τ-b between two orders of methods.

    Attributes:
        tau: From −1, opposite orders, to 1, equal orders.
        low, high: Bounds of the interval over draws of people and seeds.
        p_value: Two-sided p-value of independent orders (``scipy.stats.kendalltau``).
        methods: Number of methods.
    """

    tau: float
    low: float
    high: float
    p_value: float
    methods: int


def agreement(
    measured: np.ndarray, published: np.ndarray, draws: np.ndarray, *, level: float = LEVEL
) -> Agreement | None:
    """Compare the order of methods in two tables.

    The interval shows the uncertainty of ``measured`` only; the methods and the published values are fixed.

    Args:
        measured: (R,) values of one metric.
        published: (R,) published values of the same methods.
        draws: (B, R) values of ``measured`` in each draw, from ``mixed_replicates``.
        level: Coverage of the interval, in (0, 1).

    Returns:
        None for fewer than three methods, or if all values of one table are equal.
    """
    from scipy.stats import kendalltau  # slow to import

    if len(measured) < 3:
        return None
    tau = kendall_tau(measured[None], published)
    if np.isnan(tau[0]):
        return None
    low, high = percentiles(np.nan_to_num(kendall_tau(draws, published)), level)
    p_value = float(kendalltau(measured, published).pvalue)
    return Agreement(float(tau[0]), float(low), float(high), p_value, len(measured))


def kendall_tau(rows: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Compute Kendall's τ-b of each row with one vector: (B, R), (R,) → (B,); NaN if all values are equal."""
    one, two = np.triu_indices(len(other), k=1)
    signs = np.sign(rows[:, one] - rows[:, two])  # (B, pairs)
    against = np.sign(other[one] - other[two])  # (pairs,)
    scale = np.sqrt(np.abs(signs).sum(axis=1) * np.abs(against).sum())
    with np.errstate(invalid="ignore"):
        tau: np.ndarray = signs @ against / np.where(scale > 0, scale, np.nan)
    return tau
