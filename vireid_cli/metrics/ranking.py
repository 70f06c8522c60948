"""Ranks of the true matches, counted exactly without ranking the gallery.

The rank of a match is one plus the number of gallery images that are better: higher score, or the same
score and earlier in the gallery (a stable sort). So no order is ever made: each row is compared with its
matches, or its *values* are sorted and each match is looked up by bisection. Counts add over parts of
the gallery ("tiles"), which keeps memory bounded and lets a gallery be streamed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from vireid_cli.errors import UsageError
from vireid_cli.metrics.camera_rules import ignore, ignored_cells
from vireid_cli.metrics.layout import Layers, RankPlan, Tile

_TIE_CELLS = 1 << 22
"""Comparisons made at once where ties are resolved."""

COUNT_FROM = 2049
"""Rows of at least so many scores are compared with each match, narrower ones sorted: there NumPy compares
four times slower, and its sort has a fast path for very short rows."""

COUNT_UP_TO = 48
"""Above so many matches of one query its block of rows is sorted."""

COUNT_CELLS = 1 << 21
"""Comparisons made at once, a byte each."""

COUNT_GROUP = 1024
"""Truth values in a group of 128 words of eight bytes each, so that a byte counts no further than 128."""

Counting = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, slots=True)
class Ranks:
    """What the counting gives, one entry a query (Q,); NaN or 0 where a query has no legal match.

    Attributes:
        average_precision: Mean over its matches of (matches so far / rank).
        inverse_negative_penalty: Matches / rank of the last match.
        first_rank: Rank of the first match, int64, among identities where they are merged; 0: no match.
        matches: Number of legal matches.
        kept: Number of gallery images that the camera rule leaves.
    """

    average_precision: np.ndarray
    inverse_negative_penalty: np.ndarray
    first_rank: np.ndarray
    matches: np.ndarray
    kept: np.ndarray


class Tally:
    """Counts, for every match, the gallery images that are better, tile by tile.

    Threads may add disjoint ranges of queries at the same time.

    Args:
        plan: The labels.
        values: (M,) scores of the matches, in the order of ``plan.columns``; higher is better.
    """

    def __init__(self, plan: RankPlan, values: np.ndarray) -> None:
        self.plan = plan
        self.values = values
        self.better = np.zeros(len(values), dtype=np.int64)
        self.kept = np.zeros(plan.queries, dtype=np.int64)
        self.identities_better = np.zeros(plan.queries, dtype=np.int64)
        self.matches = np.diff(plan.offsets)
        self.row = np.repeat(np.arange(plan.queries), self.matches)
        self._best, self._best_position = self._best_match()

    def _best_match(self) -> tuple[np.ndarray, np.ndarray]:
        """Each query's best match: its score and, of equal ones, the first gallery position."""
        best = np.full(self.plan.queries, np.inf, dtype=self.values.dtype)
        position = np.zeros(self.plan.queries, dtype=np.int64)
        some = self.matches > 0
        if some.any():
            starts = self.plan.offsets[:-1][some]
            best[some] = np.maximum.reduceat(self.values, starts)
            at_best = self.values == best[self.row]
            candidates = np.where(at_best, self.plan.order[self.plan.columns], self.plan.gallery)
            position[some] = np.minimum.reduceat(candidates, starts)
        return best, position

    def add(self, number: int, first: int, scores: np.ndarray) -> None:
        """Count one tile for a range of queries.

        Args:
            number: Which tile.
            first: The first query of the range.
            scores: (n, width of the tile), columns in layout order, higher is better; the camera rule is
                written into it.

        Raises:
            UsageError: A score is not finite.
        """
        plan, tile = self.plan, self.plan.tiles[number]
        rows = slice(first, first + len(scores))
        labels = (
            plan.q_pids[rows],
            plan.q_camids[rows],
            plan.g_pids[tile.start : tile.stop],
            plan.g_camids[tile.start : tile.stop],
        )
        dropped = ignore(plan.rule, *labels, scores)
        # an infinity of the caller's own, or NaN, shows as fewer finite cells than the rule leaves
        if np.count_nonzero(np.isfinite(scores)) != scores.size - np.sum(dropped):
            refuse_infinite(scores, first, ignored_cells(plan.rule, *labels))
        self.kept[rows] += tile.stop - tile.start - dropped
        if plan.merge:
            self._add_identities(number, rows, scores)
        self._add_matches(number, rows, scores)

    def _add_matches(self, number: int, rows: slice, scores: np.ndarray) -> None:
        """Count the images of the tile that are better than each match of these queries."""
        width, most = scores.shape[1], int(self.matches[rows].max(initial=0))
        if width < COUNT_FROM or most > COUNT_UP_TO:
            self._add_block(number, rows, scores, by_sorting)
            return
        step = max(1, COUNT_CELLS // (max(1, most) * width))
        for first in range(0, len(scores), step):
            part = scores[first : first + step]
            at = rows.start + first
            self._add_block(number, slice(at, at + len(part)), part, by_comparing)

    def _add_block(self, number: int, rows: slice, scores: np.ndarray, count: Counting) -> None:
        tile = self.plan.tiles[number]
        some = slice(self.plan.offsets[rows.start], self.plan.offsets[rows.stop])
        row, value, column = self.row[some] - rows.start, self.values[some], self.plan.columns[some]
        better, at_least = count(scores, row, value)  # (m,)
        # a tie: an equal value more than the match's own, which is there if the match lies in this tile
        own = (column >= tile.start) & (column < tile.stop)
        tied = np.flatnonzero(at_least - better > own)
        position = self.plan.order[tile.start : tile.stop]
        step = max(1, _TIE_CELLS // len(position))
        for i in range(0, len(tied), step):
            t = tied[i : i + step]
            equal = scores[row[t]] == value[t, None]
            equal &= position < self.plan.order[column[t]][:, None]
            better[t] += np.count_nonzero(equal, axis=1)
        self.better[some] += better

    def _add_identities(self, number: int, rows: slice, scores: np.ndarray) -> None:
        """Count the identities of the tile whose best image is better than each query's best match."""
        tile = self.plan.tiles[number]
        target = self._best[rows, None]  # (n, 1)
        best = _per_identity(scores, tile, np.maximum)  # (n, identities)
        count = np.count_nonzero(best > target, axis=1)
        equal = best == target
        home = self.plan.home[rows] == number
        tied = np.empty(0, dtype=np.int64)
        # each query's own identity is equal to itself; anything more is a tie
        if np.count_nonzero(equal) > np.count_nonzero(home):
            tied = np.flatnonzero(np.count_nonzero(equal, axis=1) > home)
        position = self.plan.order[tile.start : tile.stop]
        step = max(1, _TIE_CELLS // len(position))
        for i in range(0, len(tied), step):
            t = tied[i : i + step]
            place = np.where(scores[t] == target[t], position, self.plan.gallery)
            earlier = _per_identity(place, tile, np.minimum) < self._best_position[rows][t, None]
            count[t] += np.count_nonzero(equal[t] & earlier, axis=1)
        self.identities_better[rows] += count

    def finish(self) -> Ranks:
        """Turn the counts into one average precision, penalty and first rank a query."""
        queries, size = self.plan.queries, self.plan.gallery
        # ranks ascending within each query: one sort of (query, rank) keys
        rank = np.sort(self.row * (size + 1) + self.better + 1) - self.row * (size + 1)
        number = np.arange(len(rank)) - self.plan.offsets[:-1][self.row] + 1
        some = self.matches > 0
        with np.errstate(invalid="ignore"):
            precision = np.bincount(self.row, weights=number / rank, minlength=queries) / self.matches
        penalty = np.full(queries, np.nan)
        penalty[some] = self.matches[some] / rank[self.plan.offsets[1:][some] - 1]
        first = np.zeros(queries, dtype=np.int64)
        first[some] = (
            self.identities_better[some] + 1 if self.plan.merge else rank[self.plan.offsets[:-1][some]]
        )
        return Ranks(precision, penalty, first, self.matches, self.kept)


def _per_identity(cells: np.ndarray, tile: Tile, pick: np.ufunc) -> np.ndarray:
    """Reduce (n, width) to (n, identities of the tile)."""
    best = _fold(cells, tile.layers[0], pick)
    for layers in tile.layers[1:]:
        part = best[:, : layers.identities]
        pick(part, _fold(cells, layers, pick), out=part)
    return best


def _fold(cells: np.ndarray, layers: Layers, pick: np.ufunc) -> np.ndarray:
    """Reduce equally long layers to one by halving, which works on long runs: (n, identities)."""
    width, depth = layers.identities, layers.depth
    cells = cells[:, layers.start : layers.start + width * depth]
    if depth == 1:
        return cells.copy()
    while depth > 1:
        half = depth // 2
        folded = pick(cells[:, : half * width], cells[:, half * width : 2 * half * width])
        if depth % 2:
            pick(folded[:, :width], cells[:, 2 * half * width :], out=folded[:, :width])
        cells, depth = folded, half
    return cells


def by_sorting(scores: np.ndarray, row: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count by sorting each row's values and bisecting: for narrow rows, and for many matches in one.

    Args:
        scores: (n, w), w ≥ 1.
        row: (m,) row of each value, ascending.
        value: (m,).

    Returns:
        Entries of ``scores[row]`` that are more than the value, and that are at least the value, (m,) each.
    """
    ordered, width = np.sort(scores, axis=1), scores.shape[1]
    more = width - count_up_to(ordered, row, value)
    # one equal value more shows below the last one; more than that are not told apart from it
    below = np.maximum(width - more - 1, 0)
    equal = (ordered[row, below] == value).astype(np.int64)
    equal += (below > 0) & (ordered[row, np.maximum(below - 1, 0)] == value)
    return more, more + equal


def by_comparing(scores: np.ndarray, row: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count by comparing each row with each of its values: a twentieth of a sort's time for each value.

    Arguments and result are those of ``by_sorting``; here equal values are all counted.
    """
    number = np.bincount(row, minlength=len(scores))
    nth = np.arange(len(row)) - (np.cumsum(number) - number)[row]
    table = np.full((len(scores), int(number.max(initial=1))), np.inf, scores.dtype)  # (n, most)
    table[row, nth] = value
    # rows of whole groups of words, so that truth values can be added eight at a time
    whole = -(-scores.shape[1] // COUNT_GROUP) * COUNT_GROUP
    truth = np.empty((*table.shape, whole), dtype=bool)
    found, truth[:, :, scores.shape[1] :] = truth[:, :, : scores.shape[1]], False
    np.greater(scores[:, None], table[:, :, None], out=found)
    more = row_counts(truth)[row, nth]
    np.equal(scores[:, None], table[:, :, None], out=found)
    return more, more + row_counts(truth)[row, nth] if truth.any() else more


def row_counts(truth: np.ndarray) -> np.ndarray:
    """Number of true values along the last axis: (..., w) → (...), int64; w a multiple of ``COUNT_GROUP``.

    Eight bytes are added as one word; no sum in a byte exceeds 128.
    """
    words = truth.view(np.uint64).reshape(*truth.shape[:-1], -1, COUNT_GROUP // 8)
    sums = np.einsum("...gk->...g", words)  # a sum whose loops are twice as fast as np.sum's
    counts: np.ndarray = sums.view(np.uint8).sum(axis=-1, dtype=np.int64)
    return counts


def count_up_to(ordered: np.ndarray, row: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Number of entries of ``ordered[row]`` that are at most ``value``, by bisection of all pairs at once.

    Args:
        ordered: (n, w) ascending rows, w ≥ 1, contiguous.
        row: (m,) row of each question.
        value: (m,).
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


def refuse_infinite(scores: np.ndarray, first: int, mask: np.ndarray | None = None) -> NoReturn:
    """Raise the error for scores (n, w) of the queries from ``first`` that hold NaN or infinity.

    Where ``mask`` is true the camera rule has written.

    Raises:
        UsageError: Always.
    """
    strange = ~np.isfinite(scores) if mask is None else ~np.isfinite(scores) & ~mask
    at = f", first query {first + int(np.argwhere(strange)[0][0])} or soon after" if strange.any() else ""
    raise UsageError(
        f"the scores hold NaN or infinity{at}.",
        "Look at the embeddings of these queries; a network that has diverged gives NaN.",
    )
