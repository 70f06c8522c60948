"""Order of matches after the search: one match per group, and k-reciprocal re-ranking."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import numpy as np

from vireid_cli.metrics.rerank_each import k_reciprocal_each
from vireid_cli.types import Progress

RERANKED = 1000
"""Number of a query's best matches that re-ranking compares with each other."""

_STEP = 64
"""Queries that are re-ranked at once; their candidates' vectors are in memory."""

Ranked = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""(Q, k) slots, best first and −1 where there are fewer; their scores; re-ranked distances or None."""


def rerank(
    queries: np.ndarray,
    slots: np.ndarray,
    scores: np.ndarray,
    vectors_at: Callable[[np.ndarray], np.ndarray],
    progress: Progress | None = None,
) -> Ranked:
    """Re-rank the candidates of each query by k-reciprocal encoding, see ``metrics.rerank``.

    A query is compared with its own candidates only, so its result does not depend on the other queries.

    Args:
        queries: (Q, D).
        slots: (Q, k) candidates, −1 where there are fewer.
        scores: (Q, k) inner products.
        vectors_at: Returns (n, D) vectors of slots.
        progress: Called with the numbers of done and of all queries.
    """
    distances = np.empty(slots.shape)
    for first in range(0, len(slots), _STEP):
        part = slots[first : first + _STEP]
        known, chosen = np.unique(part, return_inverse=True)
        chosen = chosen.reshape(part.shape) - int(known[0] < 0 if len(known) else 0)
        vectors = vectors_at(known[known >= 0])
        distances[first : first + _STEP] = k_reciprocal_each(queries[first : first + _STEP], vectors, chosen)
        if progress:
            progress(min(first + _STEP, len(slots)), len(slots))
    order = np.argsort(distances, axis=1, kind="stable")  # ties in the order of scores
    return (
        np.take_along_axis(slots, order, 1),
        np.take_along_axis(scores, order, 1),
        np.take_along_axis(distances, order, 1),
    )


def first_of_groups(slots: np.ndarray, groups: Mapping[int, Hashable]) -> np.ndarray:
    """Mark each query's best match of every group: (Q, k) bool.

    Args:
        slots: (Q, k), best first, −1 where there are fewer.
        groups: Group of each slot; None is a group of its own for each slot.
    """
    codes: dict[Hashable, int] = {}
    unique, inverse = np.unique(slots, return_inverse=True)
    keys = [groups.get(int(slot)) for slot in unique]
    labels = np.array(
        [
            codes.setdefault(("slot", int(slot)) if key is None else ("group", key), len(codes))
            for slot, key in zip(unique, keys, strict=True)
        ],
        dtype=np.int64,
    )
    code = labels[inverse.reshape(slots.shape)] + len(codes) * np.arange(len(slots))[:, None]
    first = np.zeros(slots.size, dtype=bool)
    first[np.unique(code.reshape(-1), return_index=True)[1]] = True
    return first.reshape(slots.shape) & (slots >= 0)


def take_marked(ranked: Ranked, marks: np.ndarray, top: int) -> Ranked:
    """Keep the first ``top`` marked entries of each row, in their order; −1 where there are fewer."""
    slots, scores, distances = ranked
    order = np.argsort(~marks, axis=1, kind="stable")[:, :top]
    kept = np.take_along_axis(marks, order, 1)
    chosen = np.where(kept, np.take_along_axis(slots, order, 1), -1)
    taken = None if distances is None else np.take_along_axis(distances, order, 1)
    return chosen, np.take_along_axis(scores, order, 1), taken
