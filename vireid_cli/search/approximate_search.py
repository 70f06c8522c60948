"""Search of a selection through an approximate structure, with exact scores."""

from __future__ import annotations

import numpy as np

from vireid_cli.search import approximate
from vireid_cli.search.approximate import Structure, split
from vireid_cli.search.exact import MARGIN, exact_top, faiss, ranked, rescored

EXACT_SHARE = 0.5
"""Share of the rows below which HNSW finds too few of the selected ones.

With a third of 100,000 random rows selected its recall@10 fell from 0.988 to 0.831.
"""


ROWS_PER_EFFORT = {"hnsw": 64, "ivf-pq": 8}
"""Number of rows whose exact search takes the time of one unit of effort.

A row takes 20 ns, a unit of HNSW 1.4 µs and one of IVF-PQ 0.15 µs.
"""


def nearest(
    structure: Structure | None,
    queries: np.ndarray,
    vectors: np.ndarray,
    selected: np.ndarray | None,
    top: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best rows of a selection; arguments and result as ``exact.exact_top``.

    Small selections are searched exactly, as are queries for which the structure finds too few rows.
    """
    if structure is None:
        return exact_top(queries, vectors, selected, top)
    covered, tail = split(selected, len(vectors), structure.covered)
    count = structure.covered if covered is None else len(covered)
    effort = structure.effort(top, count)
    least = max(approximate.BUILT_FROM, EXACT_SHARE * structure.covered, top)
    if effort is None or count <= max(least, ROWS_PER_EFFORT[structure.kind] * effort):
        return exact_top(queries, vectors, selected, top)
    slots = narrowed(queries, vectors, structure.candidates(queries, top, covered, effort), top)
    if len(tail):
        slots = np.concatenate([slots, exact_top(queries, vectors, tail, top)[0]], axis=1)
    order, scores = ranked(slots, rescored(queries, vectors, slots), top)
    few = np.flatnonzero((order < 0).any(axis=1))
    if len(few):
        order[few], scores[few] = exact_top(queries[few], vectors, selected, top)
    return order, scores


def narrowed(queries: np.ndarray, vectors: np.ndarray, slots: np.ndarray, top: int) -> np.ndarray:
    """Best candidates by float32 scores, ``top`` and ``MARGIN`` of them; scores of float64 take longer.

    Args:
        queries: (Q, D) float32.
        vectors: (N, D) float32.
        slots: (Q, k) candidates, −1 where there are fewer.
        top: Number of requested matches.
    """
    kept = top + MARGIN
    if slots.shape[1] <= kept or not vectors.flags.c_contiguous:
        return slots
    library = faiss()
    places = np.ascontiguousarray(np.maximum(slots, 0), dtype=np.int64)
    queries = np.ascontiguousarray(queries)
    scores = np.empty(slots.shape, np.float32)
    pointers = [library.swig_ptr(array) for array in (scores, queries, vectors, places)]
    library.fvec_inner_products_by_idx(*pointers, vectors.shape[1], *slots.shape)
    scores[slots < 0] = -np.inf
    best = np.argpartition(scores, -kept, axis=1)[:, -kept:]
    return np.take_along_axis(slots, best, 1)
