"""Re-ranking: k-reciprocal encoding and query expansion by the mean of gallery images.

Both use the whole gallery of the trial, unlike the standard metrics. Results are therefore reported in
addition to the standard results and never replace them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from vireid_cli.errors import UsageError

K1, K2, LAMBDA = 20, 6, 0.3
"""Settings of Zhong et al. 2017 for all datasets."""

EXPANSION = 3
"""Number of gallery images averaged with a query in ``gallery_mean``."""

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
    2017, equations 3–12, as in the authors' code: squared Euclidean distances are divided by the largest
    of the row, the neighbours of an image include the image itself, and halves are rounded to even.
    Neighbours are computed in blocks of rows and all later steps are sparse; only the result is a dense
    (Q, G) matrix.

    Args:
        q_features: (Q, D).
        g_features: (G, D).
        k1: Number of neighbours tested for reciprocity.
        k2: Number of neighbours averaged (local query expansion); 1 disables it.
        weight: λ, share of the original distance, in [0, 1].

    Returns:
        (Q, G) float64, lower is closer.

    Raises:
        UsageError: Settings out of range, or a result matrix that is too large.
    """
    queries, gallery = len(q_features), len(g_features)
    if not (k1 >= 1 and 1 <= k2 <= k1 + 1 and 0.0 <= weight <= 1.0):
        raise UsageError(
            f"re-ranking with k1 = {k1}, k2 = {k2}, lambda = {weight}: k1 ≥ 1, 1 ≤ k2 ≤ k1 + 1 and "
            "0 ≤ lambda ≤ 1 are required."
        )
    if queries * gallery > MOST_CELLS:
        raise UsageError(
            f"re-ranking {queries} queries against {gallery} images needs a matrix of "
            f"{queries * gallery * 8 / 2**30:.0f} GiB.",
            "Omit --rerank for a gallery of this size.",
        )
    features = np.concatenate([q_features, g_features]).astype(np.float64)
    square = np.einsum("nd,nd->n", features, features)
    ranks, largest = _neighbours(features, square, k1 + 1)
    encoding = encode(ranks, largest, lambda row, col: _distances(features, square, row, col), k1)
    if k2 > 1:
        encoding = (selector(ranks[:, :k2]) @ encoding / min(k2, ranks.shape[1])).tocsr()
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
    """Compute the mean of each query and its best gallery images, at unit length.

    Average query expansion (Chum et al., Total Recall, ICCV 2007): the query has the same weight as each
    image. Our choice: images ignored by the camera rule are excluded.

    Args:
        q_features: (Q, D).
        g_features: (G, D).
        best: (Q, k) gallery positions; −1 marks a missing image.

    Returns:
        (Q, D) float64; zeros where the images cancel each other.
    """
    total = q_features.astype(np.float64)
    for column in best.T:  # k columns
        total += np.where(column[:, None] >= 0, g_features[np.maximum(column, 0)], 0.0)
    lengths = np.linalg.norm(total, axis=1, keepdims=True)
    return total / np.where(lengths > 0, lengths, 1.0)


def _neighbours(features: np.ndarray, square: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute the ``count`` nearest images (N, count), nearest first, and the largest distances (N,)."""
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
    """Return R(i, k), eq. 3, as rows of ones: the neighbours j of i that have i as a neighbour."""
    chosen = selector(ranks)
    return sparse.csr_array(chosen.multiply(chosen.T))


def selector(ranks: np.ndarray) -> sparse.csr_array:
    """Return a sparse (N, N) matrix of ones at (i, ranks[i, :])."""
    size, count = ranks.shape
    pointer = np.arange(0, size * count + 1, count)
    # a copy: the array sorts its columns in place
    return sparse.csr_array((np.ones(size * count), np.sort(ranks, axis=1).ravel(), pointer), (size, size))


def encode(
    ranks: np.ndarray,
    largest: np.ndarray,
    distances: Callable[[np.ndarray, np.ndarray], np.ndarray],
    k1: int,
) -> sparse.csr_array:
    """Compute the weighted encoding V of each image's expanded neighbourhood, rows of sum 1 (eq. 4, 7).

    Args:
        ranks: (N, k1 + 1) nearest images, nearest first.
        largest: (N,) largest distances.
        distances: Returns the squared distances of (n,) pairs of images.
        k1: Number of neighbours tested for reciprocity.
    """
    near = _reciprocal(ranks)
    half = _reciprocal(ranks[:, : round(k1 / 2) + 1])
    size_of_half = np.diff(half.indptr)
    # for each neighbour c of i: size of the intersection of c's half-sized set with i's set
    shared = sparse.coo_array((near @ half.T).multiply(near))
    joins = shared.data > (2.0 / 3.0) * size_of_half[shared.col]
    joined = sparse.csr_array((np.ones(joins.sum()), (shared.row[joins], shared.col[joins])), near.shape)
    expanded = sparse.coo_array(near + joined @ half)
    row, col = expanded.row, expanded.col
    values = np.exp(-distances(row, col) / largest[row])
    values /= np.bincount(row, values, len(ranks))[row]
    return sparse.csr_array((values, (row, col)), near.shape)


def _distances(features: np.ndarray, square: np.ndarray, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """Squared distances of pairs of images: (n,), in blocks."""
    result = np.empty(len(row))
    step = max(1, _CELLS // features.shape[1])
    for first in range(0, len(row), step):
        part = slice(first, first + step)
        product = np.einsum("nd,nd->n", features[row[part]], features[col[part]])
        result[part] = square[row[part]] + square[col[part]] - 2.0 * product
    return result


def _overlaps(q_encoding: sparse.csr_array, g_encoding: sparse.csr_array) -> np.ndarray:
    """Sum min(V_q, V_g) over columns: (Q, G), with the inverted index of the gallery (eq. 11)."""
    queries, gallery = q_encoding.shape[0], g_encoding.shape[0]
    index = sparse.csc_array(g_encoding)
    lengths = np.diff(index.indptr)
    total = np.zeros((queries, gallery))
    row = np.repeat(np.arange(queries), np.diff(q_encoding.indptr))
    pairs = lengths[q_encoding.indices]
    # blocks of whole queries with about _CELLS pairs each
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
