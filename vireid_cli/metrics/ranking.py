"""Exact ranks of the true matches, without sorting the gallery positions.

The rank of a match is one plus the number of better gallery images: higher score, or equal score and
earlier in the gallery (a stable sort). No order is computed: each row is compared with its matches, or
the row's *values* are sorted and each match is located by bisection. Counts add up over parts of the
gallery ("tiles"), which bounds memory and allows streaming.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NoReturn

import numpy as np

from vireid_cli.errors import UsageError
from vireid_cli.metrics.camera_rules import ignore, ignored_cells
from vireid_cli.metrics.counting import by_comparing, by_sorting
from vireid_cli.metrics.layout import Layers, RankPlan, Tile

_TIE_CELLS = 1 << 22
"""Comparisons computed at once when resolving ties."""

COUNT_FROM = 2049
"""Minimum width of rows that are compared with each match. Narrower rows are sorted: NumPy compares them
four times slower, and its sort has a fast path for very short rows."""

COUNT_UP_TO = 48
"""Maximum number of matches per query for comparison; blocks with more are sorted."""

COUNT_CELLS = 1 << 21
"""Comparisons computed at once, one byte each."""

Counting = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, slots=True)
class Ranks:
    """Ranks of the matches, aggregated per query (Q,); NaN or 0 for queries without a legal match.

    Attributes:
        average_precision: Mean of (i / rank of match i) over the matches.
        inverse_negative_penalty: Number of matches / rank of the last match.
        first_rank: Rank of the first match, int64, among identities if they are merged; 0 without a match.
        matches: Number of legal matches.
        kept: Number of gallery images that the camera rule keeps.
    """

    average_precision: np.ndarray
    inverse_negative_penalty: np.ndarray
    first_rank: np.ndarray
    matches: np.ndarray
    kept: np.ndarray

    def with_rows(self, rows: np.ndarray, other: Ranks) -> Ranks:
        """Return the ranks with those of the queries ``rows``, (n,), replaced."""
        values = [getattr(self, field.name).copy() for field in fields(self)]
        for value, field in zip(values, fields(self), strict=True):
            value[rows] = getattr(other, field.name)
        return Ranks(*values)


class Tally:
    """Counter of the better gallery images of every match, tile by tile.

    Threads may add disjoint ranges of queries concurrently.

    Args:
        plan: Plan of the retrieval.
        values: (M,) scores of the matches, in the order of ``plan.columns``; higher is better.
        margin: (Q,) difference of two scores of a query below which their order is unknown; None: equal
            scores rank in gallery order.

    Attributes:
        unsure: (Q,) bool: queries with a score within the margin of a match, with a margin. Their counts are
            too low.
    """

    def __init__(self, plan: RankPlan, values: np.ndarray, margin: np.ndarray | None = None) -> None:
        self.plan = plan
        self.values = values
        self.margin = margin
        self.unsure = np.zeros(plan.queries, dtype=bool)
        self.better = np.zeros(len(values), dtype=np.int64)
        self.kept = np.zeros(plan.queries, dtype=np.int64)
        self.identities_better = np.zeros(plan.queries, dtype=np.int64)
        self.matches = np.diff(plan.offsets)
        self.row = np.repeat(np.arange(plan.queries), self.matches)
        self._best, self._best_position = self._best_match()

    def _best_match(self) -> tuple[np.ndarray, np.ndarray]:
        """Compute each query's best match score and the first gallery position with this score, (Q,) each."""
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
        """Count the better images of one tile for a range of queries.

        Args:
            number: Tile number.
            first: First query of the range.
            scores: (n, width of the tile), columns in layout order, higher is better; modified in place by
                the camera rule.

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
        # NaN or infinity in the input: fewer finite cells than the camera rule keeps
        if np.count_nonzero(np.isfinite(scores)) != scores.size - np.sum(dropped):
            refuse_infinite(scores, first, ignored_cells(plan.rule, *labels))
        self.kept[rows] += tile.stop - tile.start - dropped
        if plan.merge:
            self._add_identities(number, rows, scores)
        self._add_matches(number, rows, scores)

    def _add_matches(self, number: int, rows: slice, scores: np.ndarray) -> None:
        """Count the images of the tile that rank before each match of these queries."""
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
        low, high = value, value
        if self.margin is not None:
            margin = self.margin[rows][row]
            low, high = value - margin, value + margin
        better, at_least = count(scores, row, low, high)  # (m,)
        # a tie: one equal value more than the match itself, if the match is in this tile
        own = (column >= tile.start) & (column < tile.stop)
        tied = np.flatnonzero(at_least - better > own)
        if self.margin is not None:
            self.unsure[rows.start + row[tied]] = True
            tied = tied[:0]
        position = self.plan.order[tile.start : tile.stop]
        step = max(1, _TIE_CELLS // len(position))
        for i in range(0, len(tied), step):
            t = tied[i : i + step]
            equal = scores[row[t]] == value[t, None]
            equal &= position < self.plan.order[column[t]][:, None]
            better[t] += np.count_nonzero(equal, axis=1)
        self.better[some] += better

    def _add_identities(self, number: int, rows: slice, scores: np.ndarray) -> None:
        """Count the identities of the tile that rank before each query's best match."""
        tile = self.plan.tiles[number]
        target = self._best[rows, None]  # (n, 1)
        best = _per_identity(scores, tile, np.maximum)  # (n, identities)
        home = self.plan.home[rows] == number
        if self.margin is not None:
            margin = self.margin[rows, None]
            self.identities_better[rows] += np.count_nonzero(best > target + margin, axis=1)
            near = np.count_nonzero(np.abs(best - target) <= margin, axis=1)
            self.unsure[rows] |= near > home
            return
        count = np.count_nonzero(best > target, axis=1)
        equal = best == target
        tied = np.empty(0, dtype=np.int64)
        # each query's own identity equals itself; any further equal identity is a tie
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
        """Compute average precision, inverse negative penalty and first rank per query from the counts."""
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
    """Reduce layers of equal length to one by halving, on long contiguous runs: (n, identities)."""
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


def refuse_infinite(scores: np.ndarray, first: int, mask: np.ndarray | None = None) -> NoReturn:
    """Raise the error for scores that contain NaN or infinity.

    Args:
        scores: (n, w).
        first: Query of the first row.
        mask: (n, w) cells set by the camera rule, which are not reported.

    Raises:
        UsageError: Always.
    """
    strange = ~np.isfinite(scores) if mask is None else ~np.isfinite(scores) & ~mask
    at = f" at query {first + int(np.argwhere(strange)[0][0])} or soon after" if strange.any() else ""
    raise UsageError(
        f"the scores contain NaN or infinity{at}.",
        "Check the embeddings of these queries; a diverged network outputs NaN.",
    )
