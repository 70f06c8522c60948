"""Inner products in float32, the largest error of their rounding, and exact ones of scores closer than that.

A product in float32 takes half the time of one in float64. Two scores that differ by more than the rounding
have the order of the exact scores. The others, a few per thousand, are computed again in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SLICE = 256
"""Products that are added in one sum. Sums of slices are added afterwards: a shorter sum rounds less."""

BLOCK = 4096
"""Queries per product; bounds the memory of the sums. Small products would often wait for other threads."""

PAIRS = 64
"""Pairs of features that are multiplied at once in float64."""

UNIT = 2.0**-24
"""Largest relative rounding of a number in float32."""

SMALLEST, LARGEST = 1e-6, 1e6
"""Norms of features whose products neither underflow nor overflow in float32; a norm may also be 0."""

MOST_NEAR = 8
"""A block with more than one in ``MOST_NEAR`` of its scores near a match is computed as one product."""


@dataclass(frozen=True, slots=True)
class RoundedScores:
    """Inner products of Q queries and U gallery images, rounded to float32.

    Attributes:
        queries: (Q, D) features.
        gallery: (U, D) features.
        scores: (Q, U) float32, higher is better.
        margin: (Q,) float32; scores of a query that differ by more have the order of the exact ones.
        first: (U,) number of the first equal gallery image; None: no two are equal.
    """

    queries: np.ndarray
    gallery: np.ndarray
    scores: np.ndarray
    margin: np.ndarray
    first: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(Q, U)."""
        return self.scores.shape

    def near_exact(
        self, rows: np.ndarray, columns: np.ndarray, row: np.ndarray, column: np.ndarray
    ) -> np.ndarray:
        """Return scores of some queries; those near a match are exact, so that all have the exact order.

        Args:
            rows: (n,) queries.
            columns: (G,) columns of ``scores``.
            row: (m,) row of each match, as an index of ``rows``, ascending; each row has a match.
            column: (m,) column of each match, as an index of ``columns``.

        Returns:
            (n, G) float64. Equal pairs of features have equal scores.
        """
        scores = self.scores[rows[:, None], columns]  # (n, G)
        apart = np.abs(scores[row] - scores[row, column][:, None])  # (m, G)
        starts = np.searchsorted(row, np.arange(len(rows)))
        near = np.logical_or.reduceat(apart <= self.margin[rows[row], None], starts, axis=0)  # (n, G)
        if np.count_nonzero(near) * MOST_NEAR > near.size:
            return self._whole(rows, columns)
        exact = scores.astype(np.float64)
        at = np.nonzero(near)
        exact[at] = self._exact(rows[at[0]], columns[at[1]])
        return exact

    def _whole(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """One product in float64, (n, G); equal gallery images are multiplied once."""
        queries = _float64(self.queries[rows])
        if self.first is None:
            whole: np.ndarray = queries @ _float64(self.gallery[columns]).T
            return whole
        images, place = np.unique(self.first[columns], return_inverse=True)
        spread: np.ndarray = (queries @ _float64(self.gallery[images]).T)[:, place]
        return spread

    def _exact(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Inner products of pairs in float64, (k,); their order of summation depends on D only."""
        result = np.empty(len(rows))
        for first in range(0, len(rows), PAIRS):
            part = slice(first, first + PAIRS)
            products = _float64(self.queries[rows[part]]) * _float64(self.gallery[columns[part]])
            result[part] = products.sum(axis=1)
        return result


def exact_products(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Compute the inner products of features (Q, D) and (U, D) in float64: (Q, U).

    Equal pairs of features have equal products. A plain matrix product rounds equal rows differently
    according to their position, which would decide between images of equal features.
    """
    sides, places = [], []
    for features in (queries, gallery):
        first = first_equal(features)
        rows, place = (None, None) if first is None else np.unique(first, return_inverse=True)
        sides.append(_float64(features if rows is None else features[rows]))
        places.append(place)
    products: np.ndarray = sides[0] @ sides[1].T
    for axis, place in enumerate(places):
        if place is not None:
            products = np.take(products, place, axis=axis)
    return products


def first_equal(features: np.ndarray) -> np.ndarray | None:
    """Return the number of the first row that equals each row of (N, D): (N,); None if all rows differ."""
    if features.shape[1] == 0:
        return None
    _, place, count = np.unique(features.sum(axis=1), return_inverse=True, return_counts=True)
    again = np.flatnonzero(count[place] > 1)  # sums of equal rows are equal
    rows = features[again] + features.dtype.type(0)  # −0 becomes 0
    texts = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
    unique, first, place = np.unique(texts, return_index=True, return_inverse=True)
    if len(unique) == len(again):
        return None
    numbers = np.arange(len(features))
    numbers[again] = again[first[place]]
    return numbers


def inner_products(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray | RoundedScores:
    """Compute the inner products of features (Q, D) and (U, D).

    Returns:
        Rounded scores, or a float64 product of features that float32 can't represent well.
    """
    q_norms, g_norms = _norms(queries), _norms(gallery)
    if q_norms is None or g_norms is None:
        return exact_products(queries, gallery)
    q, g = (np.ascontiguousarray(side, dtype=np.float32) for side in (queries, gallery))
    scores = np.empty((len(q), len(g)), dtype=np.float32)
    width = q.shape[1]
    for first in range(0, len(q), BLOCK):
        part, block = q[first : first + BLOCK], scores[first : first + BLOCK]
        np.matmul(part[:, :SLICE], g[:, :SLICE].T, out=block)
        for start in range(SLICE, width, SLICE):
            block += part[:, start : start + SLICE] @ g[:, start : start + SLICE].T
    # Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1: n additions in any order
    # change Σ|q·g| ≤ ‖q‖‖g‖ by at most n·u/(1 − n·u). The addend covers the rounding of features in float64,
    # of the product, and of a score plus its margin. Each of two scores may be wrong by this much.
    additions = min(width, SLICE) + -(-width // SLICE) + 16
    error = UNIT * additions / (1 - UNIT * additions)
    margin = (2 * error * g_norms.max(initial=0.0) * q_norms).astype(np.float32)
    return RoundedScores(queries, gallery, scores, margin, first_equal(gallery))


def _norms(features: np.ndarray) -> np.ndarray | None:
    """Norms of features (N, D), slightly too large: (N,); None if one is not finite or out of range."""
    kind = np.result_type(features, np.float32)
    squares = np.einsum("nd,nd->n", features, features, dtype=kind).astype(np.float64)
    norms: np.ndarray = np.sqrt(squares) * (1 + features.shape[1] * UNIT)
    normal = (norms >= SMALLEST) & (norms <= LARGEST)
    if normal.all() or not features[~normal].any():  # NaN counts as true
        return norms
    return None


def _float64(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float64, copy=False)
