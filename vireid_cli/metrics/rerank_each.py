"""k-reciprocal re-ranking of many queries, each by itself among its own candidates.

``rerank.k_reciprocal`` of one query and its candidates, for all queries of a batch at once: the distances of
the candidates that queries share are computed once, and the graphs of the queries are the blocks of one
sparse matrix.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from vireid_cli.metrics.rerank import K1, K2, LAMBDA, encode, selector
from vireid_cli.types import Progress

_NODES = 1 << 16
"""Images in the graphs of a step."""

_SHARED = 3 * (K1 + 1)
"""Nearest images of the whole gallery that are listed, of which a query's candidates are a part."""

_FARTHEST = 8
"""Farthest images that are listed."""

_UNION = 4096
"""Most different candidates of queries that share distances: 128 MiB."""


def k_reciprocal_each(
    queries: np.ndarray, gallery: np.ndarray, chosen: np.ndarray, *, progress: Progress | None = None
) -> np.ndarray:
    """Compute the re-ranked distances of each query to its own candidates.

    Args:
        queries: (Q, D).
        gallery: (G, D).
        chosen: (Q, C) rows of the gallery, different within a query; −1 at the end where there are fewer.
        progress: Called with the numbers of done and of all queries.

    Returns:
        (Q, C) float64, lower is closer; infinite where there is no candidate. Row q equals
        ``k_reciprocal(queries[q : q + 1], gallery[chosen[q]])``.
    """
    result = np.full(chosen.shape, np.inf)
    counts = (chosen >= 0).sum(axis=1)
    done = 0
    for places in _groups(chosen, counts):
        count = counts[places[0]]
        if count:
            result[places, :count] = _group(queries[places], gallery, chosen[places, :count])
        done += len(places)
        if progress:
            progress(done, len(queries))
    return result


def _groups(chosen: np.ndarray, counts: np.ndarray) -> Iterator[np.ndarray]:
    """Yield places of queries with equally many candidates, together if they share enough of them."""
    for count in np.unique(counts):
        same = np.flatnonzero(counts == count)
        size = max(1, _NODES // (int(count) + 1))
        for first in range(0, len(same), size):
            part = same[first : first + size]
            union = len(np.unique(chosen[part, :count]))
            if union > _UNION or union**2 > len(part) * count**2:
                yield from np.split(part, len(part))
            else:
                yield part


def _group(queries: np.ndarray, gallery: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Re-rank M queries with C candidates each: (M, C).

    Image 0 of a query's block is the query, image i its candidate i − 1.
    """
    members, local = np.unique(chosen, return_inverse=True)
    local = local.reshape(chosen.shape)
    size, count = chosen.shape
    distance = _square_distances(np.concatenate([gallery[members], queries]).astype(np.float64))
    own = len(members) + np.arange(size)
    places = np.concatenate([own[:, None], local], axis=1)  # (M, 1 + C) rows of ``distance``
    ranks, largest = _neighbours(distance, places, len(members))
    offsets = (count + 1) * np.arange(size)[:, None, None]
    ranks = (ranks + offsets).reshape(size * (count + 1), -1)
    flat = places.reshape(-1)
    encoding = encode(ranks, largest.reshape(-1), lambda row, col: distance[flat[row], flat[col]], K1)
    overlap = _overlap(encoding, ranks[:, :K2], size).reshape(size, count + 1)[:, 1:]
    jaccard = 1.0 - overlap / (2.0 - overlap)  # eq. 10: rows of the encoding sum to 1
    original = np.take_along_axis(distance[own], local, axis=1) / largest[:, :1]
    return jaccard * (1.0 - LAMBDA) + LAMBDA * original


def _square_distances(features: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances of all pairs: (N, N)."""
    square = np.einsum("nd,nd->n", features, features)
    distance = features @ features.T
    distance *= -2.0
    distance += square[:, None]
    distance += square[None, :]
    return distance


def _neighbours(distance: np.ndarray, places: np.ndarray, members: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest images within each block, nearest first, and the largest distances.

    Args:
        distance: (U + M, U + M): the U candidates of all queries, then the queries.
        places: (M, 1 + C) rows of ``distance``: the query, its candidates.
        members: U.

    Returns:
        (M, 1 + C, k1 + 1) images of the block, and (M, 1 + C).
    """
    size, nodes = places.shape
    near = min(K1 + 1, nodes)
    position = np.full((size, len(distance)), -1)  # of a row in the block, −1 for those of other queries
    np.put_along_axis(position, places, np.arange(nodes)[None].repeat(size, 0), axis=1)
    every = nodes == members + 1
    listed = _sorted_nearest(distance[:members, :members], near if every else _SHARED)
    ranks = np.empty((size, nodes, near), np.int64)
    largest = np.empty((size, nodes))
    to_query = distance[places[:, :1], places]  # (M, 1 + C)
    ranks[:, 0] = _sorted_nearest(to_query, near)
    largest[:, 0] = to_query.max(axis=1)
    rows = places[:, 1:]
    block = np.arange(size)[:, None, None]
    images = position[block, listed[rows]]  # (M, C, L), −1 for images that are no candidates
    order = np.argsort(images < 0, axis=2, kind="stable")[:, :, :near]
    images = np.take_along_axis(images, order, axis=2)
    values = distance[rows[:, :, None], places[block, images]]
    values = np.where(images < 0, np.inf, values)
    # the query is one more image of each list; it precedes equally near ones
    values = np.concatenate([to_query[:, 1:, None], values], axis=2)
    images = np.concatenate([np.zeros_like(images[:, :, :1]), images], axis=2)
    order = np.argsort(values, axis=2, kind="stable")[:, :, :near]
    ranks[:, 1:] = np.take_along_axis(images, order, axis=2)
    largest[:, 1:] = np.maximum(to_query[:, 1:], _farthest(distance, rows, position, members))
    few = np.nonzero((ranks < 0).any(axis=2))
    if len(few[0]):
        full = distance[places[few][:, None], places[few[0]]]
        ranks[few] = _sorted_nearest(full, near)
    return ranks, np.maximum(largest, np.finfo(np.float64).tiny)


def _sorted_nearest(distance: np.ndarray, count: int) -> np.ndarray:
    """The nearest columns of each row, nearest first, ties by column: (N, count)."""
    count = min(count, distance.shape[1])
    chosen = np.sort(np.argpartition(distance, count - 1, axis=1)[:, :count], axis=1)
    order = np.argsort(np.take_along_axis(distance, chosen, 1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, 1)


def _farthest(distance: np.ndarray, rows: np.ndarray, position: np.ndarray, members: int) -> np.ndarray:
    """Largest distance of each candidate to the candidates of its query: (M, C)."""
    among = distance[:members, :members]
    count = min(_FARTHEST, members)
    listed = np.argpartition(among, members - count, axis=1)[:, members - count :]
    values = np.take_along_axis(among, listed, 1)[rows]  # (M, C, F)
    block = np.arange(len(rows))[:, None, None]
    values = np.where(position[block, listed[rows]] < 0, -np.inf, values)
    result = values.max(axis=2)
    few = np.nonzero(np.isneginf(result))
    if len(few[0]):
        result[few] = distance[rows[few][:, None], rows[few[0]]].max(axis=1)
    return result


def _overlap(encoding: sparse.csr_array, averaged: np.ndarray, size: int) -> np.ndarray:
    """Sum of the minima of each image's expanded encoding and that of its block's query: (N,) (eq. 9, 11).

    Args:
        encoding: (N, N) encodings, block-diagonal.
        averaged: (N, k2) images whose encodings are averaged.
        size: Number of blocks; the query is the first image of each.
    """
    nodes = len(averaged) // size
    count = averaged.shape[1]
    queries = averaged[::nodes].reshape(-1)  # the blocks have different columns, so one vector has all
    of_query = np.asarray(encoding[queries].sum(axis=0)).reshape(-1) / count
    kept = of_query[encoding.indices] > 0.0
    pointer = np.concatenate(([0], np.cumsum(kept)))[encoding.indptr]
    part = sparse.csr_array((encoding.data[kept], encoding.indices[kept], pointer), encoding.shape)
    mean = sparse.csr_array(selector(averaged) @ part / count)
    rows = np.repeat(np.arange(len(averaged)), np.diff(mean.indptr))
    return np.bincount(rows, np.minimum(mean.data, of_query[mean.indices]), len(averaged))
