"""Differences between methods with their intervals: one panel per metric, one line per method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vireid_cli.errors import UsageError
from vireid_cli.figures import style

_PANEL, _ROW, _TOP, _BELOW = 2.9, 0.3, 0.85, 0.62  # inches
_LETTER = 0.068  # inches per letter of a label
_LONGEST = 48


@dataclass(frozen=True)
class DifferenceLine:
    """Difference of a method from another one.

    Attributes:
        label: Label of the method.
        parent: Label of the other one.
        differences: Metric → (mean, low, high), shares in [−1, 1].
    """

    label: str
    parent: str
    differences: Mapping[str, tuple[float, float, float]]


@style.styled()
def difference_figure(
    lines: Sequence[DifferenceLine], metrics: Sequence[str], title: str, subtitle: str = ""
) -> Figure:
    """Draw differences in percentage points; an interval without zero has a filled marker.

    Args:
        lines: Methods from top to bottom; all have the same metrics.
        metrics: Metrics with a panel each.
        title: Text above the figure.
        subtitle: Line below the title.

    Raises:
        UsageError: No line or no metric.
    """
    if not lines or not metrics:
        raise UsageError("No difference to draw.", "Set the parent of a row in the study's file.")
    labels = [style.shortened(f"{line.label} − {line.parent}", _LONGEST) for line in lines]
    left = 0.35 + _LETTER * max(map(len, labels))
    width = left + _PANEL * len(metrics) + 0.1
    plot = _ROW * len(lines) + 0.1
    height = _TOP + plot + _BELOW
    figure = style.blank(width, height)
    style.add_heading(figure, title, subtitle, left=0.2, down=(0.14, 0.42))
    for number, metric in enumerate(metrics):
        box = ((left + number * _PANEL) / width, _BELOW / height, (_PANEL - 0.25) / width, plot / height)
        axes = figure.add_axes(box)
        _draw(axes, np.array([line.differences[metric] for line in lines]), number)
        axes.set_title(metric.replace("rank", "Rank-"), fontsize=style.TEXT_SIZE)
        axes.set_yticks(range(len(lines)), labels if number == 0 else [""] * len(lines))
    return figure


def _draw(axes: Axes, values: np.ndarray, number: int) -> None:
    """Draw the means and intervals of one metric, (n, 3) mean, low, high, and the line at zero."""
    colour, _, marker = style.series(number)
    mean, low, high = 100 * values.T
    rows = np.arange(len(values))
    axes.axvline(0.0, color=style.FAINT, linewidth=0.9)
    axes.hlines(rows, low, high, color=colour, linewidth=1.4)
    clear = (low > 0) | (high < 0)
    look: dict[str, Any] = {"marker": marker, "linestyle": "", "markersize": 5.5, "color": colour}
    axes.plot(mean[clear], rows[clear], **look)
    axes.plot(mean[~clear], rows[~clear], markerfacecolor="white", **look)
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_xlabel("difference (percentage points)")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.grid(True, axis="x")
