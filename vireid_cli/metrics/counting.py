"""Counts of larger entries in rows of scores, by sorting the rows or by comparing them with each value."""

from __future__ import annotations

import numpy as np

COUNT_GROUP = 1024
"""Booleans per group: 128 words of eight bytes, so that no byte of a sum exceeds 128."""


def by_sorting(
    scores: np.ndarray, row: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Count by sorting each row and bisecting; for narrow rows, or many matches per row.

    Args:
        scores: (n, w), w ≥ 1.
        row: (m,) row of each interval, ascending.
        low, high: (m,) bounds of the intervals to locate; equal bounds locate a value.

    Returns:
        Numbers of entries of ``scores[row]`` above the interval, and of those above or within it, (m,) each.
        The second count includes at most two entries within the interval.
    """
    ordered, width = np.sort(scores, axis=1), scores.shape[1]
    more = width - count_up_to(ordered, row, high)
    # look at two entries only: one or two within the interval; further ones are not counted
    below = np.maximum(width - more - 1, 0)
    inside = (ordered[row, below] >= low) & (more < width)
    second = (below > 0) & (ordered[row, np.maximum(below - 1, 0)] >= low)
    return more, more + inside + second


def by_comparing(
    scores: np.ndarray, row: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Count by comparing each row with each of its intervals, in a twentieth of the time of a sort per value.

    Takes the arguments of ``by_sorting`` and returns the same counts, but includes all entries within an
    interval.
    """
    number = np.bincount(row, minlength=len(scores))
    nth = np.arange(len(row)) - (np.cumsum(number) - number)[row]
    tables = np.full((2, len(scores), int(number.max(initial=1))), np.inf, scores.dtype)  # (2, n, most)
    tables[0, row, nth], tables[1, row, nth] = low, high
    # pad rows to whole groups of words, so that booleans are added eight at a time
    whole = -(-scores.shape[1] // COUNT_GROUP) * COUNT_GROUP
    truth = np.empty((*tables.shape[1:], whole), dtype=bool)
    cells, truth[:, :, scores.shape[1] :] = truth[:, :, : scores.shape[1]], False
    np.greater(scores[:, None], tables[1, :, :, None], out=cells)
    more = row_counts(truth)[row, nth]
    np.greater_equal(scores[:, None], tables[0, :, :, None], out=cells)
    return more, row_counts(truth)[row, nth]


def row_counts(truth: np.ndarray) -> np.ndarray:
    """Count the true values along the last axis: (..., w) → (...) int64; w is a multiple of ``COUNT_GROUP``.

    Adds eight bytes as one word; no byte of a sum exceeds 128.
    """
    words = truth.view(np.uint64).reshape(*truth.shape[:-1], -1, COUNT_GROUP // 8)
    sums = np.einsum("...gk->...g", words)  # twice as fast as np.sum
    counts: np.ndarray = sums.view(np.uint8).sum(axis=-1, dtype=np.int64)
    return counts


def count_up_to(ordered: np.ndarray, row: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Count the entries of ``ordered[row]`` that are at most ``value``: (m,), by vectorised bisection.

    Args:
        ordered: (n, w) ascending rows, w ≥ 1, contiguous.
        row: (m,) row of each value.
        value: (m,) upper bounds.
    """
    flat = ordered.ravel()
    base = row * ordered.shape[1]
    left = base.copy()
    length = ordered.shape[1]
    while length > 1:
        half = length // 2
        left += half * (flat[left + half - 1] <= value)
        length -= half
    return left - base + (flat[left] <= value)
