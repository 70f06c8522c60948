"""Cells of IVF-PQ: centroids by a greedy cover of the vectors, codes of 4 bits, scanned by FAISS.

A cell has the images of about one person. K-means from random rows leaves a third of the persons without a
centroid if their directions are independent; a greedy cover has one for each. Cells are that small, so the
nearest ones are searched by a scan of their centroids' codes.

Codes have 4 bits per group of principal components, for FAISS' scan in registers (André et al. 2015, "Cache
locality is not enough"). The groups have equal products of variances, as in the closed form of optimized
product quantization (Ge et al. 2013): with neighbouring components in a group, decaying variances would waste
half of the bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vireid_cli.search.exact import faiss

WIDTH = 128
"""Number of principal components."""

GROUPS = 32
"""Number of groups of components, each with a code of 4 bits."""

BITS = 4

COVERED_SHARE = 0.7
"""Least cosine similarity of a row to its cell's first row, as a share of the tenth neighbours' similarity.

With 100,000 rows of 20 images per person, the share gives 5,600 cells for 5,000 persons of independent
directions, and 2,800 cells where people resemble each other.
"""

LEAST_ROWS = 8
"""Mean number of rows per cell, at least; rows without neighbours join the nearest cell."""

_BLOCK = 4096
"""Rows per step of the cover."""

_CANDIDATES = 8
"""Nearest cells by codes, for each row of the cover."""


def empty_cells(trained: np.ndarray, vectors: np.ndarray, live: np.ndarray, near: np.ndarray) -> Any:
    """Create a trained index without rows.

    Args:
        trained: (T, D) float32 rows for the components and the codes.
        vectors: (N, D) float32, all rows.
        live: (n,) rows that the cells cover.
        near: (m, 2, D) pairs of a vector and its tenth neighbour.

    Returns:
        FAISS' ``IndexPreTransform`` of an ``IndexIVFPQFastScan``.
    """
    library = faiss()
    components = balanced_components(trained)
    width = components.d_out
    groups = GROUPS if width % GROUPS == 0 else width
    rows = components.apply(trained)
    codes = (width, groups, BITS, library.METRIC_L2)
    coarse = library.IndexPQFastScan(*codes)
    coarse.train(rows)
    pairs = [_unit(components.apply(np.ascontiguousarray(near[:, side]))) for side in (0, 1)]
    least = COVERED_SHARE * float(np.median(np.einsum("md,md->m", *pairs)))
    centroids = cover(components, coarse, vectors, live, least)
    coarse.reset()
    coarse.add(centroids)
    cells = library.IndexIVFPQFastScan(coarse, width, len(centroids), groups, BITS, library.METRIC_L2)
    cells.by_residual = False  # tables of distances for each cell would take longer than its scan
    cells.train(rows)
    index = library.IndexPreTransform(components, cells)
    # FAISS' Python objects own these parts; the index keeps references to them, see ``referenced_objects``
    index.referenced_objects = [components, cells, coarse]
    return index


def balanced_components(trained: np.ndarray) -> Any:
    """Principal components in the order of their groups, as FAISS' linear transformation.

    Args:
        trained: (T, D) float32.

    Returns:
        A ``PCAMatrix`` with 32, 64, 96 or 128 outputs, or D of fewer than 64 values.
    """
    library = faiss()
    width = min(WIDTH, trained.shape[1], len(trained))
    groups = width
    if width >= 2 * GROUPS:
        groups, width = GROUPS, width // GROUPS * GROUPS
    components = library.PCAMatrix(trained.shape[1], width)
    components.train(trained)
    order = balanced(components.apply(trained).var(axis=0), groups)
    matrix = library.vector_to_array(components.A).reshape(width, -1)[order]
    offset = library.vector_to_array(components.b)[order]
    library.copy_array_to_vector(np.ascontiguousarray(matrix).reshape(-1), components.A)
    library.copy_array_to_vector(np.ascontiguousarray(offset), components.b)
    return components


def balanced(variances: np.ndarray, groups: int) -> np.ndarray:
    """Order of components whose consecutive groups of equal size have nearly equal products of variances.

    Args:
        variances: (W,), W a multiple of ``groups``.
        groups: Number of groups.
    """
    logs, sizes = np.zeros(groups), np.zeros(groups, np.int64)
    members: list[list[int]] = [[] for _ in range(groups)]
    for component in np.argsort(-variances, kind="stable"):
        # the group with the fewest components, of these the one with the least product
        group = int(np.lexsort((logs, sizes))[0])
        members[group].append(int(component))
        sizes[group] += 1
        logs[group] += np.log(max(float(variances[component]), 1e-30))
    return np.concatenate(members).astype(np.int64)


def cover(components: Any, codes: Any, vectors: np.ndarray, live: np.ndarray, least: float) -> np.ndarray:
    """Centroids of a greedy cover: a row without a similar cell begins one.

    The nearest cell is that by codes; a row whose true cell they miss begins a further one.

    Args:
        components: Transformation of the rows.
        codes: Trained FAISS index of components; its content is replaced.
        vectors: (N, D) float32.
        live: (n,) covered rows.
        least: Least cosine similarity of the components of a row and its cell's first row.

    Returns:
        (C, W) float32 means of the rows of each cell, C ≤ n / ``LEAST_ROWS`` + ``_BLOCK``.
    """
    width = components.d_out
    firsts, sums = np.empty((0, width), np.float32), np.empty((0, width), np.float64)
    counts = np.empty(0, np.int64)
    most = max(1, len(live) // LEAST_ROWS)
    codes.reset()
    for start in range(0, len(live), _BLOCK):
        rows = components.apply(np.ascontiguousarray(vectors[live[start : start + _BLOCK]]))
        directions = _unit(rows)
        new = np.arange(len(rows))
        if len(firsts):
            cell, similarity = _nearest(codes, firsts, directions)
            far = similarity < least
            if len(firsts) >= most:
                far[:] = False
            new = np.flatnonzero(far)
            np.add.at(sums, cell[~far], rows[~far])
            np.add.at(counts, cell[~far], 1)
        begun = first_of_cover(directions[new] @ directions[new].T >= least)
        codes.add(directions[new[begun]])
        firsts = np.concatenate([firsts, directions[new[begun]]])
        sums = np.concatenate([sums, rows[new[begun]]])
        counts = np.concatenate([counts, np.ones(len(begun), np.int64)])
    return (sums / counts[:, None]).astype(np.float32)


def _nearest(codes: Any, firsts: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Most similar first row, among the candidates by codes: (n,) numbers and similarities."""
    _, near = codes.search(directions, min(_CANDIDATES, len(firsts)))
    similar = np.einsum("nw,nkw->nk", directions, firsts[near])
    best = similar.argmax(axis=1)[:, None]
    return np.take_along_axis(near, best, 1)[:, 0], np.take_along_axis(similar, best, 1)[:, 0]


def first_of_cover(similar: np.ndarray) -> np.ndarray:
    """Rows that begin a cell if each row, in order, begins one unless an earlier beginning is similar.

    Args:
        similar: (n, n) symmetric bool, true on the diagonal.

    Returns:
        Their numbers, in any order.
    """
    # in each round, all rows without an earlier open neighbour begin cells at once
    earlier = np.tril(similar, -1)
    open_rows = np.ones(len(similar), bool)
    begun = [np.empty(0, np.int64)]
    while open_rows.any():
        places = np.flatnonzero(open_rows)
        first = places[~earlier[np.ix_(places, places)].any(axis=1)]
        begun.append(first)
        open_rows &= ~similar[:, first].any(axis=1)
        open_rows[first] = False
    return np.concatenate(begun)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of unit length; a row of zeros remains."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
