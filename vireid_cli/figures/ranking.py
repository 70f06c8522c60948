"""Queries with their first matches: right ones with a green frame and a tick, wrong ones red and crossed.

One run has one line of images per query. Several runs on the same queries have their lines below each
other, beside the shared query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vireid_cli.errors import UsageError
from vireid_cli.figures import style
from vireid_cli.figures.pixels import checked_pixels

MOST = 10
"""Number of matches drawn per query."""

_CELL = (1.36, 0.78)  # inches: largest image
_GAP = 0.14
_BREAK = 0.3  # between a query and its matches
_LABELS = 0.46
_HEAD = 0.24  # run name above its line
_RULE = 0.16  # around the rule between two queries
_LEFT = 0.25
_TOP = 0.86
_BOTTOM = 0.5


@dataclass(frozen=True)
class RankingRow:
    """One query and its matches, best first.

    Attributes:
        query_image: (H, W, 3) pixels, uint8 or in [0, 1].
        query_label: One or two lines of about 20 letters below the query, e.g. ``pid 12 · cam 3``.
        images: (k, h, w, 3) pixels, uint8 or in [0, 1]; the first ten are drawn.
        correct: (k,) bool, true for the query's person.
        labels: k lines of about 16 letters below the matches, e.g. ``pid 12 · cam 1``.
        scores: (k,) similarities, or None.
        head: Text above the matches if runs are compared, such as the run and its result.
    """

    query_image: np.ndarray
    query_label: str
    images: np.ndarray
    correct: np.ndarray
    labels: tuple[str, ...]
    scores: np.ndarray | None = None
    head: str = ""

    def __post_init__(self) -> None:
        checked_pixels("query_image", self.query_image)
        checked_pixels("images", self.images, dimensions=4)
        count = len(self.images)
        if self.correct.shape != (count,) or self.correct.dtype != np.bool_:
            raise ValueError(
                f"correct: expected ({count},) bool, not {self.correct.shape} {self.correct.dtype}"
            )
        if len(self.labels) != count:
            raise ValueError(f"labels: expected {count}, not {len(self.labels)}")
        if self.scores is not None and self.scores.shape != (count,):
            raise ValueError(f"scores: expected ({count},), not {self.scores.shape}")


@style.styled()
def ranking_figure(rows: Sequence[RankingRow], title: str, subtitle: str = "") -> Figure:
    """Draw one line per query: the query, then its first ten matches with frame, mark and score.

    Args:
        rows: One row per query; numbers of matches may differ and may be zero.
        title: Text above the figure.
        subtitle: Text below the title, such as protocol and run.

    Raises:
        UsageError: No query.
    """
    tall = _tallest([rows])
    step = tall + _LABELS + 0.1
    axes, height = _page([[row] for row in rows], _TOP + len(rows) * step + _BOTTOM, title, subtitle)
    for i, row in enumerate(rows):
        _draw_query(axes, row, _TOP + i * step, tall)
        _draw_matches(axes, row, _TOP + i * step, tall)
    _legend(axes, height - 0.36)
    return axes.get_figure(root=True)  # type: ignore[return-value]


@style.styled()
def compared_figure(groups: Sequence[Sequence[RankingRow]], title: str, subtitle: str = "") -> Figure:
    """Draw several runs on the same queries: each query with one line of matches per run.

    Args:
        groups: One group per query, with one row per run, in the same order, each with a ``head``.
        title: Text above the figure.
        subtitle: Text below the title.

    Raises:
        UsageError: No query.
        ValueError: Groups with different numbers of runs, or without any.
    """
    if groups and (len({len(group) for group in groups}) != 1 or not groups[0]):
        raise ValueError(f"every query needs a row of each run, not {[len(group) for group in groups]}")
    tall = _tallest(groups)
    line = _HEAD + tall + _LABELS
    step = len(groups[0]) * line + 2 * _RULE if groups else 0.0
    axes, height = _page(groups, _TOP + len(groups) * step + _BOTTOM, title, subtitle)
    for i, group in enumerate(groups):
        top = _TOP + i * step
        if i:
            axes.axhline(top - _RULE, *_rule_ends(axes), color=style.GRID, linewidth=0.8)
        middle = (len(group) * line - _LABELS + _HEAD - tall) / 2  # centre on all lines
        _draw_query(axes, group[0], top + middle, tall)
        for j, row in enumerate(group):
            style.write(axes, _left_of(0), top + j * line + 0.02, row.head, weight="bold")
            _draw_matches(axes, row, top + j * line + _HEAD, tall)
    _legend(axes, height - 0.36)
    return axes.get_figure(root=True)  # type: ignore[return-value]


def _page(
    groups: Sequence[Sequence[RankingRow]], height: float, title: str, subtitle: str
) -> tuple[Axes, float]:
    """Create a page with titles and ranks above the columns; return its axes and height in inches."""
    if not groups:
        raise UsageError("No query to draw.", "Evaluate the run first: vireid evaluate")
    columns = max(1, *(min(MOST, len(row.images)) for group in groups for row in group))
    width = 2 * _LEFT + _CELL[1] + _BREAK + columns * (_CELL[1] + _GAP)
    _, axes = style.page(max(width, 5.5), height)
    style.write(axes, _LEFT, 0.16, title, style.TITLE_SIZE, weight="bold", gid=style.HEADING)
    style.write(axes, _LEFT, 0.4, subtitle, style.SMALL_SIZE, color=style.FAINT, gid=style.HEADING)
    heads = {_LEFT: "query", **{_left_of(rank): str(rank + 1) for rank in range(columns)}}
    for left, head in heads.items():
        style.write(axes, left + _CELL[1] / 2, _TOP - 0.22, head, ha="center", weight="bold")
    return axes, height


def _rule_ends(axes: Axes) -> tuple[float, float]:
    """Return start and end of a horizontal rule, as shares of the page width."""
    width = axes.get_xlim()[1]
    return _LEFT / width, 1 - _LEFT / width


def _left_of(rank: int) -> float:
    """Distance in inches from the left edge of the page to the match of a rank, counted from 0."""
    return _LEFT + _CELL[1] + _BREAK + rank * (_CELL[1] + _GAP)


def _tallest(groups: Sequence[Sequence[RankingRow]]) -> float:
    """Compute the height in inches of the tallest image; faces are less tall than people."""
    shown = [image for group in groups for row in group for image in (row.query_image, *row.images[:1])]
    return max((style.fit(image.shape[0], image.shape[1], *_CELL)[0] for image in shown), default=_CELL[0])


def _draw_query(axes: Axes, row: RankingRow, top: float, tall: float) -> None:
    """Draw a query and its label in a line of images ``tall`` inches high."""
    style.place(axes, row.query_image, _centred(row.query_image, _LEFT, top, tall))
    below = top + tall + 0.08
    style.write(
        axes, _LEFT + _CELL[1] / 2, below, row.query_label, style.SMALL_SIZE, ha="center", linespacing=1.25
    )


def _draw_matches(axes: Axes, row: RankingRow, top: float, tall: float) -> None:
    """Draw the matches of a query with their marks, scores and labels."""
    below = top + tall + 0.08
    shown = min(MOST, len(row.images))
    boxes = [_centred(row.images[rank], _left_of(rank), top, tall) for rank in range(shown)]
    if shown:
        style.frames(axes, boxes, [style.RIGHT if right else style.WRONG for right in row.correct[:shown]])
    for rank in range(shown):
        right = bool(row.correct[rank])
        colour, mark = (style.RIGHT, style.RIGHT_MARK) if right else (style.WRONG, style.WRONG_MARK)
        style.place(axes, row.images[rank], boxes[rank])
        score = "" if row.scores is None else f" {style.signed(row.scores[rank], 3)}"
        middle = _left_of(rank) + _CELL[1] / 2
        style.write(
            axes, middle, below, f"{mark}{score}", style.SMALL_SIZE, ha="center", color=colour, weight="bold"
        )
        style.write(axes, middle, below + 0.15, row.labels[rank], style.SMALL_SIZE - 0.5, ha="center")


def _centred(image: np.ndarray, left: float, top: float, tall: float) -> tuple[float, float, float, float]:
    """Compute the box of an image, centred in its cell, as large as it fits."""
    height, width = style.fit(image.shape[0], image.shape[1], *_CELL)
    return left + (_CELL[1] - width) / 2, top + (tall - height) / 2, width, height


def _legend(axes: Axes, top: float) -> None:
    """Write the legend of the frames."""
    style.write(axes, _LEFT, top, f"{style.RIGHT_MARK} the query's person", color=style.RIGHT, weight="bold")
    style.write(
        axes, _LEFT + 1.75, top, f"{style.WRONG_MARK} another person", color=style.WRONG, weight="bold"
    )
