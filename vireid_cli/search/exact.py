"""Exact search: inner products of queries with the selected rows, in blocks of bounded memory.

NumPy multiplies in float32, where the order of two nearly equal scores depends on the block and the batch.
(Its product took a quarter of the time of FAISS' flat index on the measured machine, see docs/search.md.)
The candidates are therefore scored again in float64. Rows that rounding could have excluded from the
candidates are detected by the error bound of a float32 product and searched again. The result is that of
float64 arithmetic over all rows: independent of batches, blocks and threads, with ties in row order.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import numpy as np

from vireid_cli.errors import MissingExtra

BLOCK_BYTES = 32 << 20
"""Size of a block of vectors."""

MARGIN = 16
"""Candidates beyond the requested ones; more ties at the last place need a second pass."""

_QUERIES = 1024
"""Queries per product with a block."""

_RESCORED = 1 << 22
"""Values of float64 per step of the second scoring: 32 MiB."""

UNIT = 2.0**-24
"""Rounding unit of float32."""


def faiss() -> ModuleType:
    """Import FAISS, which approximate kinds need.

    Raises:
        MissingExtra: The package is not installed.
    """
    try:
        import faiss as module
    except ImportError as error:
        raise MissingExtra("faiss", "search", "An approximate index") from error
    return module


def exact_top(
    queries: np.ndarray, vectors: np.ndarray, slots: np.ndarray | None, top: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows with the largest inner products.

    Args:
        queries: (Q, D) float32.
        vectors: (N, D) float32, in memory or mapped.
        slots: (n,) selected rows, ascending; None: all.
        top: Number of rows per query.

    Returns:
        (Q, top) slots, best first, ties in ascending order, −1 where fewer rows are selected; and (Q, top)
        float64 scores, −inf there.
    """
    count = len(vectors) if slots is None else len(slots)
    kept = min(top + MARGIN, count)
    if kept == 0 or len(queries) == 0:
        return _padded(np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0)), top, len(queries))
    candidates, coarse = _coarse(queries, vectors, slots, kept)
    scores = rescored(queries, vectors, candidates)
    order, scores = ranked(candidates, scores, top)
    if kept < count:
        # a row outside of the candidates has a float32 score of at most the last candidate's
        bound = 2.0 * rounding_bound(queries, vectors, candidates)
        place = min(top, kept) - 1
        for query in np.flatnonzero(coarse[:, -1] >= scores[:, place] - bound):
            order[query], scores[query] = _second_pass(
                queries[query : query + 1], vectors, slots, top, scores[query, place] - bound[query]
            )
    return _padded(order, scores, top, len(queries))


def ranked(candidates: np.ndarray, scores: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort candidates by score, ties by slot, and keep the first ``top``. A slot of −1 is last."""
    scores = np.where(candidates < 0, -np.inf, scores)
    order = np.lexsort((candidates, -scores), axis=1)[:, :top]
    return np.take_along_axis(candidates, order, 1), np.take_along_axis(scores, order, 1)


def rescored(queries: np.ndarray, vectors: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Inner products in float64 of each query with its candidates: (Q, k); slots of −1 have any score."""
    result = np.empty(candidates.shape)
    width = max(1, _RESCORED // queries.shape[1])  # candidates of a query per step
    step = max(1, width // max(1, candidates.shape[1]))
    for first in range(0, len(queries), step):
        own = queries[first : first + step].astype(np.float64)
        for start in range(0, candidates.shape[1], width):
            part = slice(first, first + step), slice(start, start + width)
            rows = vectors[np.maximum(candidates[part], 0)].astype(np.float64)
            # einsum adds each product in the order of d, so equal vectors have equal scores
            result[part] = np.einsum("qkd,qd->qk", rows, own)
    return result


def rounding_bound(queries: np.ndarray, vectors: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Largest difference of a float32 inner product from the exact one, per query: D · 2⁻²⁴ · |q| · |x|.

    Vectors of an index have unit length, up to 0.1 %.
    """
    return 1.01 * queries.shape[1] * UNIT * np.linalg.norm(queries.astype(np.float64), axis=1)


def _coarse(
    queries: np.ndarray, vectors: np.ndarray, slots: np.ndarray | None, kept: int
) -> tuple[np.ndarray, np.ndarray]:
    """Candidates by float32 scores: (Q, kept) slots and scores, best first."""
    parts = [
        _coarse_part(queries[first : first + _QUERIES], vectors, slots, kept)
        for first in range(0, len(queries), _QUERIES)
    ]
    return np.concatenate([where for where, _ in parts]), np.concatenate([best for _, best in parts])


def _coarse_part(
    queries: np.ndarray, vectors: np.ndarray, slots: np.ndarray | None, kept: int
) -> tuple[np.ndarray, np.ndarray]:
    """Candidates of a few queries."""
    best = np.empty((len(queries), 0), np.float32)
    where = np.empty((len(queries), 0), np.int64)
    for rows, block in blocks(vectors, slots):
        scores = queries @ block.T  # (Q, n)
        if best.shape[1] < kept:
            near = _largest(scores, kept)
            best = np.concatenate([best, np.take_along_axis(scores, near, 1)], axis=1)
            where = np.concatenate([where, rows[near]], axis=1)
            order = np.argsort(-best, axis=1, kind="stable")[:, :kept]
            best, where = np.take_along_axis(best, order, 1), np.take_along_axis(where, order, 1)
        else:
            best, where = _improved(best, where, scores, rows)
    return where, best


def _largest(scores: np.ndarray, kept: int) -> np.ndarray:
    """Places of the largest scores of each row, in any order."""
    if scores.shape[1] <= kept:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.argpartition(scores, -kept, axis=1)[:, -kept:]


def _improved(
    best: np.ndarray, where: np.ndarray, scores: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Merge the few scores above the last candidates' into the candidates."""
    count, kept = best.shape
    query, place = np.nonzero(scores > best[:, -1:])
    if not len(query):
        return best, where
    every = np.concatenate([np.repeat(np.arange(count), kept), query])
    value = np.concatenate([best.reshape(-1), scores[query, place]])
    slot = np.concatenate([where.reshape(-1), rows[place]])
    order = np.lexsort((-value, every))
    starts = np.concatenate(([0], np.cumsum(np.bincount(every, minlength=count))[:-1]))
    chosen = order[starts[:, None] + np.arange(kept)]
    return value[chosen], slot[chosen]


def blocks(vectors: np.ndarray, slots: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the selected rows in blocks: (n,) slots and (n, D) vectors. Consecutive rows are not copied."""
    size = max(1, BLOCK_BYTES // (4 * vectors.shape[1]))
    count = len(vectors) if slots is None else len(slots)
    for first in range(0, count, size):
        last = min(first + size, count)
        rows = np.arange(first, last) if slots is None else slots[first:last]
        if rows[-1] - rows[0] == len(rows) - 1:
            yield rows, vectors[rows[0] : rows[-1] + 1]
        else:
            yield rows, vectors[rows]


def _second_pass(
    query: np.ndarray, vectors: np.ndarray, slots: np.ndarray | None, top: int, least: float
) -> tuple[np.ndarray, np.ndarray]:
    """Score every row again whose float32 score reaches ``least``: (top,) slots and scores of one query."""
    chosen = [rows[block @ query[0] >= least] for rows, block in blocks(vectors, slots)]
    candidates = np.concatenate(chosen)
    order, scores = ranked(candidates[None], rescored(query, vectors, candidates[None]), top)
    return order[0], scores[0]


def _padded(order: np.ndarray, scores: np.ndarray, top: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Add places without a row until there are ``top``."""
    lacking = top - order.shape[1]
    if lacking <= 0:
        return order, scores
    return (
        np.concatenate([order, np.full((queries, lacking), -1)], axis=1),
        np.concatenate([scores, np.full((queries, lacking), -np.inf)], axis=1),
    )
