"""Queries with their first matches, right ones framed green and ticked, wrong ones red and crossed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vireid_cli.errors import UsageError
from vireid_cli.figures import style

MOST = 10
"""Matches a query that are drawn."""

_CELL = (1.36, 0.78)  # inches: the largest image
_GAP = 0.14
_BREAK = 0.3  # between a query and its matches
_LABELS = 0.46
_LEFT = 0.25
_TOP = 0.86
_BOTTOM = 0.5


@dataclass(frozen=True)
class RankingRow:
    """One query and its matches, best first.

    Attributes:
        query_image: (H, W, 3) pixels in [0, 1].
        query_label: One or two lines of about 20 letters beneath the query, e.g. ``pid 12 · cam 3``.
        images: (k, h, w, 3) pixels in [0, 1]; the first ten are drawn.
        correct: (k,) bool: the query's person.
        labels: k lines of about 16 letters beneath the matches, e.g. ``pid 12 · cam 1``.
        scores: (k,) similarities, or None.
    """

    query_image: np.ndarray
    query_label: str
    images: np.ndarray
    correct: np.ndarray
    labels: tuple[str, ...]
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        style.checked_pixels("query_image", self.query_image)
        style.checked_pixels("images", self.images, dimensions=4)
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
    """Draw one line of images a query: the query, then its first ten matches with frame, mark and score.

    Args:
        rows: One a query; they may have different numbers of matches, none included.
        title: Over the figure.
        subtitle: Beneath the title: protocol, run.

    Raises:
        UsageError: No query.
    """
    if not rows:
        raise UsageError("There is no query to draw.", "Evaluate the run first: vireid evaluate")
    columns = max(1, *(min(MOST, len(row.images)) for row in rows))
    row_height = _CELL[0] + _LABELS + 0.1
    width = 2 * _LEFT + _CELL[1] + _BREAK + columns * (_CELL[1] + _GAP)
    height = _TOP + len(rows) * row_height + _BOTTOM
    figure, axes = style.page(max(width, 5.5), height)
    style.write(axes, _LEFT, 0.16, title, style.TITLE_SIZE, weight="bold")
    style.write(axes, _LEFT, 0.4, subtitle, style.SMALL_SIZE, color=style.FAINT)
    style.write(axes, _LEFT + _CELL[1] / 2, _TOP - 0.22, "query", ha="center", weight="bold")
    for rank in range(columns):
        style.write(
            axes, _left_of(rank) + _CELL[1] / 2, _TOP - 0.22, str(rank + 1), ha="center", weight="bold"
        )
    for i, row in enumerate(rows):
        _draw_row(axes, row, _TOP + i * row_height)
    _legend(axes, height - 0.36)
    return figure


def _left_of(rank: int) -> float:
    """Inches from the page's left to the match of a rank, counted from 0."""
    return _LEFT + _CELL[1] + _BREAK + rank * (_CELL[1] + _GAP)


def _draw_row(axes: Axes, row: RankingRow, top: float) -> None:
    """Place a query and its matches, each with the lines beneath it."""
    _centred(axes, row.query_image, _LEFT, top, None)
    below = top + _CELL[0] + 0.08
    style.write(
        axes, _LEFT + _CELL[1] / 2, below, row.query_label, style.SMALL_SIZE, ha="center", linespacing=1.25
    )
    for rank in range(min(MOST, len(row.images))):
        right = bool(row.correct[rank])
        colour, mark = (style.RIGHT, style.RIGHT_MARK) if right else (style.WRONG, style.WRONG_MARK)
        left = _left_of(rank)
        _centred(axes, row.images[rank], left, top, colour)
        score = "" if row.scores is None else f" {row.scores[rank]:.3f}"
        middle = left + _CELL[1] / 2
        style.write(
            axes, middle, below, f"{mark}{score}", style.SMALL_SIZE, ha="center", color=colour, weight="bold"
        )
        style.write(axes, middle, below + 0.15, row.labels[rank], style.SMALL_SIZE - 0.5, ha="center")


def _centred(axes: Axes, image: np.ndarray, left: float, top: float, frame: str | None) -> None:
    """Place an image in a cell as large as it fits."""
    height, width = style.fit(image.shape[0], image.shape[1], *_CELL)
    box = (left + (_CELL[1] - width) / 2, top + (_CELL[0] - height) / 2, width, height)
    style.place(axes, image, box, frame)


def _legend(axes: Axes, top: float) -> None:
    """Say what the frames mean."""
    style.write(axes, _LEFT, top, f"{style.RIGHT_MARK} the query's person", color=style.RIGHT, weight="bold")
    style.write(
        axes, _LEFT + 1.75, top, f"{style.WRONG_MARK} another person", color=style.WRONG, weight="bold"
    )
