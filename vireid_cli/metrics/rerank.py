"""Second looks at a ranking: k-reciprocal re-ranking and query expansion by the gallery's mean.

Both use the gallery of the trial as a whole, which no first-look metric does: results are reported
beside the plain ones, never in their place.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from vireid_cli.errors import UsageError

K1, K2, LAMBDA = 20, 6, 0.3
"""Settings of Zhong et al. 2017 for every dataset."""

EXPANSION = 3
"""Gallery images that join a query in ``gallery_mean``."""

_CELLS = 1 << 23
"""Entries of a block: 64 MiB of float64."""

MOST_CELLS = 1 << 28
"""Largest query × gallery matrix that re-ranking returns: 2 GiB."""


def k_reciprocal(
    q_features: np.ndarray,
    g_features: np.ndarray,
    *,
    k1: int = K1,
    k2: int = K2,
    weight: float = LAMBDA,
) -> np.ndarray:
    """Compute re-ranked distances by k-reciprocal encoding.

    Source: Zhong, Zheng, Cao, Li: Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR
    2017, equations 3–12, as in the authors' code: squared Euclidean distances divided by the row's
    largest, neighbours of an image include itself, halves are rounded to even. Neighbours are found in
    blocks of rows and everything after is sparse; only the result is a (Q, G) matrix.

    Args:
        q_features: (Q, D).
        g_features: (G, D).
        k1: Neighbours whose reciprocity counts.
        k2: Neighbours that are averaged (local query expansion); 1: none.
        weight: λ, share of the original distance, in [0, 1].

    Returns:
        (Q, G) float64, lower is closer.

    Raises:
        UsageError: Settings out of range, or a matrix too large to return.
    """
    queries, gallery = len(q_features), len(g_features)
    if not (k1 >= 1 and 1 <= k2 <= k1 + 1 and 0.0 <= weight <= 1.0):
        raise UsageError(
            f"re-ranking with k1 = {k1}, k2 = {k2}, lambda = {weight}: 1 ≤ k2 ≤ k1 + 1 is needed."
        )
    if queries * gallery > MOST_CELLS:
        raise UsageError(
            f"re-ranking {queries} queries against {gallery} images needs a matrix of "
            f"{queries * gallery * 8 / 2**30:.0f} GiB.",
            "Leave --rerank out for a gallery of this size.",
        )
    features = np.concatenate([q_features, g_features]).astype(np.float64)
    square = np.einsum("nd,nd->n", features, features)
    ranks, largest = _neighbours(features, square, k1 + 1)
    encoding = _encode(features, square, ranks, largest, k1)
    if k2 > 1:
        encoding = (_selector(ranks[:, :k2]) @ encoding / min(k2, ranks.shape[1])).tocsr()
    final = _overlaps(encoding[:queries], encoding[queries:])  # (Q, G) sums of minima
    # Jaccard distance, eq. 10: rows of the encoding sum to 1
    np.divide(final, 2.0 - final, out=final)
    np.multiply(1.0 - final, 1.0 - weight, out=final)
    step = max(1, _CELLS // gallery)
    for first in range(0, queries, step):
        rows = slice(first, min(first + step, queries))
        original = square[rows, None] + square[None, queries:] - 2.0 * (features[rows] @ features[queries:].T)
        final[rows] += weight * original / largest[rows, None]
    return final


def gallery_mean(q_features: np.ndarray, g_features: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Replace each query by the mean of itself and its best gallery images, at unit length.

    Average query expansion (Chum et al., Total Recall, ICCV 2007) with the query's own weight equal to
    an image's; that images ignored by the camera rule may not join is ours.

    Args:
        q_features: (Q, D).
        g_features: (G, D).
        best: (Q, k) gallery positions; −1: none.

    Returns:
        (Q, D) float64.
    """
    total = q_features.astype(np.float64)
    for column in best.T:  # k of them
        total += np.where(column[:, None] >= 0, g_features[np.maximum(column, 0)], 0.0)
    return total / np.linalg.norm(total, axis=1, keepdims=True)


def _neighbours(features: np.ndarray, square: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest ``count`` images of each (N, count), nearest first, and the row's largest distance (N,)."""
    size = len(features)
    count = min(count, size)
    ranks, largest = np.empty((size, count), dtype=np.int64), np.empty(size)
    step = max(1, _CELLS // size)
    for first in range(0, size, step):
        rows = slice(first, min(first + step, size))
        distance = square[rows, None] + square[None, :] - 2.0 * (features[rows] @ features.T)
        largest[rows] = distance.max(axis=1)
        near = np.sort(np.argpartition(distance, count - 1, axis=1)[:, :count], axis=1)
        values = np.take_along_axis(distance, near, axis=1)
        ranks[rows] = np.take_along_axis(near, np.argsort(values, axis=1, kind="stable"), axis=1)
    return ranks, np.maximum(largest, np.finfo(np.float64).tiny)


def _reciprocal(ranks: np.ndarray) -> sparse.csr_array:
    """R(i, k), eq. 3, as rows of ones: the neighbours j of i that have i among theirs."""
    chosen = _selector(ranks)
    return sparse.csr_array(chosen.multiply(chosen.T))


def _selector(ranks: np.ndarray) -> sparse.csr_array:
    """(N, N) ones at (i, ranks[i, :])."""
    size, count = ranks.shape
    pointer = np.arange(0, size * count + 1, count)
    # a copy: the array sorts its columns in place
    return sparse.csr_array((np.ones(size * count), np.sort(ranks, axis=1).ravel(), pointer), (size, size))


def _encode(
    features: np.ndarray, square: np.ndarray, ranks: np.ndarray, largest: np.ndarray, k1: int
) -> sparse.csr_array:
    """The weighted encoding V of each image's expanded neighbourhood, rows of sum 1 (eq. 4, 7)."""
    near = _reciprocal(ranks)
    half = _reciprocal(ranks[:, : round(k1 / 2) + 1])
    size_of_half = np.diff(half.indptr)
    # for each neighbour c of i: how much of c's half-sized set i has too
    shared = sparse.coo_array((near @ half.T).multiply(near))
    joins = shared.data > (2.0 / 3.0) * size_of_half[shared.col]
    joined = sparse.csr_array((np.ones(joins.sum()), (shared.row[joins], shared.col[joins])), near.shape)
    expanded = sparse.coo_array(near + joined @ half)
    row, col = expanded.row, expanded.col
    distance = np.empty(len(row))
    step = max(1, _CELLS // features.shape[1])
    for first in range(0, len(row), step):
        part = slice(first, first + step)
        product = np.einsum("nd,nd->n", features[row[part]], features[col[part]])
        distance[part] = square[row[part]] + square[col[part]] - 2.0 * product
    values = np.exp(-distance / largest[row])
    values /= np.bincount(row, values, len(features))[row]
    return sparse.csr_array((values, (row, col)), near.shape)


def _overlaps(q_encoding: sparse.csr_array, g_encoding: sparse.csr_array) -> np.ndarray:
    """Sum over columns of min(V_q, V_g): (Q, G), through the gallery's inverted index (eq. 11)."""
    queries, gallery = q_encoding.shape[0], g_encoding.shape[0]
    index = sparse.csc_array(g_encoding)
    held = np.diff(index.indptr)
    total = np.zeros((queries, gallery))
    row = np.repeat(np.arange(queries), np.diff(q_encoding.indptr))
    pairs = held[q_encoding.indices]
    # blocks of whole queries, cut where the pairs add up
    per_query = np.concatenate(([0], np.cumsum(np.bincount(row, pairs, queries))))
    first = 0
    while first < queries:
        last = int(np.searchsorted(per_query, per_query[first] + _CELLS, side="right")) - 1
        last = min(max(last, first + 1), queries)
        part = slice(q_encoding.indptr[first], q_encoding.indptr[last])
        number, column = pairs[part], q_encoding.indices[part]
        entry = np.repeat(np.arange(len(number)), number)
        within = np.arange(len(entry)) - np.repeat(np.cumsum(number) - number, number)
        place = index.indptr[column[entry]] + within
        smaller = np.minimum(q_encoding.data[part][entry], index.data[place])
        cell = (row[part][entry] - first) * gallery + index.indices[place]
        total[first:last] = np.bincount(cell, smaller, (last - first) * gallery).reshape(
            last - first, gallery
        )
        first = last
    return total
