"""Ranks of the true matches, counted exactly without ranking the gallery.

The rank of a match is one plus the number of gallery images that are better: higher score, or the same
score and earlier in the gallery (a stable sort). So no order is ever made: the *values* of each row are
sorted and each match is looked up by bisection. Counts add over parts of the gallery ("tiles"), which
keeps memory bounded and lets a gallery be streamed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from vireid_cli.errors import UsageError
from vireid_cli.metrics.camera_rules import ignored_cells
from vireid_cli.metrics.layout import Layers, RankPlan, Tile

_TIE_CELLS = 1 << 22
"""Comparisons made at once where ties are resolved."""


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
        mask = ignored_cells(
            plan.rule,
            plan.q_pids[rows],
            plan.q_camids[rows],
            plan.g_pids[tile.start : tile.stop],
            plan.g_camids[tile.start : tile.stop],
        )
        if mask is not None:
            np.copyto(scores, -np.inf, where=mask)
        ordered = np.sort(scores, axis=1)
        dropped = np.zeros(len(scores), dtype=np.int64)
        if mask is not None or ordered[:, 0].min() == -np.inf:
            lowest = np.full(len(scores), -np.inf, ordered.dtype)
            dropped = count_up_to(ordered, np.arange(len(scores)), lowest)
        # NaN sorts last; an infinity of the caller's own shows as one more than the rule wrote
        expected = 0 if mask is None else np.count_nonzero(mask)
        if not (ordered[:, -1] < np.inf).all() or dropped.sum() != expected:
            refuse_infinite(ordered, first)
        self.kept[rows] += tile.stop - tile.start - dropped
        if plan.merge:
            self._add_identities(number, rows, scores)
        self._add_matches(number, rows, scores, ordered)

    def _add_matches(self, number: int, rows: slice, scores: np.ndarray, ordered: np.ndarray) -> None:
        """Count the images of the tile that are better than each match of these queries."""
        tile = self.plan.tiles[number]
        some = slice(self.plan.offsets[rows.start], self.plan.offsets[rows.stop])
        row, value, column = self.row[some] - rows.start, self.values[some], self.plan.columns[some]
        up_to = count_up_to(ordered, row, value)  # (m,)
        better = len(ordered[0]) - up_to
        # a tie: one more equal value below the match's own, which is there if the match lies in this tile
        own = (column >= tile.start) & (column < tile.stop)
        below = up_to - 1 - own
        tied = np.flatnonzero((below >= 0) & (ordered[row, np.maximum(below, 0)] == value))
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


def refuse_infinite(scores: np.ndarray, first: int) -> NoReturn:
    """Raise the error for scores (n, w) of the queries from ``first`` that hold NaN or infinity.

    Raises:
        UsageError: Always.
    """
    strange = ~np.isfinite(scores)
    at = f", first query {first + int(np.argwhere(strange)[0][0])} or soon after" if strange.any() else ""
    raise UsageError(
        f"the scores hold NaN or infinity{at}.",
        "Look at the embeddings of these queries; a network that has diverged gives NaN.",
    )
