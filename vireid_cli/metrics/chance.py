"""Exact chance level of a CMC: its expectation under a random ranking, at every rank.

If the CMC counts images, a query with P matches among K kept images has no match in the first k ranks
with probability ``C(K − P, k) / C(K, k)``. If identities are merged, a random order of images is
equivalent to a race: every image has an exponential clock of rate 1, and identities arrive in the order
of their first images. If the query's own identity arrives at time T, ``x = exp(−T)`` has the density
P x^(P − 1), and an identity with n images arrives earlier with probability ``1 − x^n``. The number of
earlier identities is then Poisson binomial; its cumulative probability at k − 1 is integrated over x by
Gauss-Legendre quadrature.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np

from vireid_cli.metrics.camera_rules import CameraRule, ignored

CHANCE_RANKS = 50
"""Length of a stored chance level, and number of ranks in CMC figures."""

_NODES = 256
_ABSENT = -1
"""Identity label that occurs in no gallery."""


def chance_cmc(
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    *,
    rule: CameraRule,
    merge_identities: bool,
    ranks: int = CHANCE_RANKS,
) -> np.ndarray:
    """Compute the expectation of CMC@1 … CMC@ranks under a random order, over the valid queries: (ranks,).

    Args:
        q_pids, q_camids: (Q,) labels of the queries.
        g_pids, g_camids: (G,) labels of the gallery.
        rule: Camera rule.
        merge_identities: Whether the CMC counts identities.
        ranks: Number of ranks.

    Raises:
        ValueError: No query has a legal match.
    """
    people, slot = np.unique(g_pids, return_inverse=True)
    place = np.minimum(np.searchsorted(people, q_pids), len(people) - 1)
    present = people[place] == q_pids
    total, valid = np.zeros(ranks), 0
    for camera in np.unique(q_camids):
        own = _kept_by_person(slot, ignored(rule, g_pids, camera, g_pids, g_camids))
        others = _kept_by_person(slot, ignored(rule, np.array(_ABSENT), camera, g_pids, g_camids))
        persons = place[present & (q_camids == camera)]
        persons = persons[own[persons] > 0]
        cases, number = np.unique(np.stack([own[persons], others[persons]]), axis=1, return_counts=True)
        for (matches, size), count in zip(cases.T.tolist(), number.tolist(), strict=True):
            if merge_identities:
                curve = _identities(matches, size, tuple(np.bincount(others).tolist()), ranks)
            else:
                curve = _images(matches, int(others.sum()) - size + matches, ranks)
            total += count * curve
            valid += count
    if not valid:
        raise ValueError("no query has a legal match")
    return total / valid


def _kept_by_person(slot: np.ndarray, dropped: np.ndarray | None) -> np.ndarray:
    """Count the images of each gallery person that are not dropped: (people,)."""
    weights = None if dropped is None else (~np.broadcast_to(dropped, slot.shape)).astype(np.int64)
    return np.bincount(slot, weights, int(slot.max()) + 1).astype(np.int64)


def _images(matches: int, kept: int, ranks: int) -> np.ndarray:
    """Probability that one of ``matches`` among ``kept`` images has rank 1 … ranks or better: (ranks,)."""
    left = kept - np.arange(ranks, dtype=np.float64)  # images before the k-th draw
    missed = np.where(left > 0, np.maximum(left - matches, 0.0) / np.maximum(left, 1.0), 0.0)
    hit: np.ndarray = 1.0 - np.cumprod(missed)
    return hit


def _identities(matches: int, size: int, people: tuple[int, ...], ranks: int) -> np.ndarray:
    """Probability that the query's person is among the first 1 … ranks people: (ranks,).

    Args:
        matches: Images of the query's person that remain after the camera rule.
        size: Images of that person that remain for other queries of this camera.
        people: (sizes,) numbers of people with 0, 1, 2 … images; the query's person counts with ``size``.
        ranks: Number of ranks.
    """
    u, weights = _quadrature()
    power = _power(people)
    density = matches * power * u ** (matches * power - 1.0)  # of x = u^power, P x^(P − 1), in u
    hit: np.ndarray = (weights * density) @ _arrived(people, ranks)[size]
    return hit


def _power(people: tuple[int, ...]) -> float:
    """Exponent that maps nodes u to x: 1 if the quadrature integrates the polynomial exactly.

    Otherwise 1 / (images per person), which keeps the nodes near the mass of the integrand.
    """
    images = sum(size * number for size, number in enumerate(people))
    return 1.0 if images < 2 * _NODES else sum(people[1:]) / images


@lru_cache(maxsize=64)
def _arrived(people: tuple[int, ...], ranks: int) -> dict[int, np.ndarray]:
    """Probability that at most 0 … ranks − 1 other people arrive earlier, at each node.

    Returns:
        (n, ranks) keyed by the number of images of the query's person, who is excluded from the others.
    """
    x = _quadrature()[0] ** _power(people)
    sizes = [size for size, number in enumerate(people) if number and size]
    all_of = [_binomial(people[size], 1.0 - x**size, ranks) for size in sizes]
    empty = np.eye(1, ranks).repeat(len(x), axis=0)
    before = list(itertools.accumulate(all_of, _convolved, initial=empty))
    after = list(itertools.accumulate(all_of[::-1], _convolved, initial=empty))[::-1]
    cumulative = {0: np.cumsum(before[-1], axis=1)}
    for i, size in enumerate(sizes):
        rest = _binomial(people[size] - 1, 1.0 - x**size, ranks)
        cumulative[size] = np.cumsum(_convolved(_convolved(before[i], rest), after[i + 1]), axis=1)
    return cumulative


@lru_cache(maxsize=1)
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes in (0, 1) and their weights, which sum to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def _binomial(number: int, p: np.ndarray, ranks: int) -> np.ndarray:
    """Probabilities of 0 … ranks − 1 successes in ``number`` trials, for each p: (n, ranks)."""
    j = np.arange(ranks)
    ways = np.array([float(math.comb(number, k)) for k in range(ranks)])
    misses = np.maximum(number - j, 0)
    pmf: np.ndarray = ways * p[:, None] ** j * (1.0 - p[:, None]) ** misses
    return pmf


def _convolved(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distribution of the sum of two variables, truncated to the same length: (n, ranks)."""
    ranks = one.shape[1]
    total = np.zeros_like(one)
    for j in range(ranks):
        total[:, j:] += other[:, j, None] * one[:, : ranks - j]
    return total
