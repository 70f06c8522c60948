"""Order of matches after the search: one match per group, and k-reciprocal re-ranking."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import numpy as np

from vireid_cli.metrics.rerank import k_reciprocal

RERANKED = 1000
"""Number of a query's best matches that re-ranking compares with each other."""

Ranked = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""(Q, k) slots, best first and −1 where there are fewer; their scores; re-ranked distances or None."""


def rerank(
    queries: np.ndarray, slots: np.ndarray, scores: np.ndarray, vectors_at: Callable[[np.ndarray], np.ndarray]
) -> Ranked:
    """Re-rank the candidates of each query by k-reciprocal encoding, see ``metrics.rerank``.

    A query is compared with its own candidates only, so its result does not depend on the other queries.

    Args:
        queries: (Q, D).
        slots: (Q, k) candidates, −1 where there are fewer.
        scores: (Q, k) inner products.
        vectors_at: Returns (n, D) vectors of slots.
    """
    distances = np.full(slots.shape, np.inf)
    for place, row in enumerate(slots):
        known = row[row >= 0]
        if len(known):
            distances[place, : len(known)] = k_reciprocal(queries[place : place + 1], vectors_at(known))[0]
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
