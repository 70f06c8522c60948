"""Metrics of several methods over a dial of the renderer, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vireid_cli.errors import UsageError
from vireid_cli.figures import style

_PANEL, _PLOT = 4.1, 3.2  # inches: width of a panel with its labels, height of its plot
_TOP, _BELOW, _LINE = 0.85, 0.6, 0.17
_LEFT, _GAP = 0.65, 0.3
_BESIDE = 0.012  # share of the axis between the bars of two methods


@dataclass(frozen=True)
class DialCurve:
    """One metric of one method at the values of a dial.

    Attributes:
        label: Label in the legend.
        means: (n,) means in [0, 1].
        low, high: (n,) bounds of the intervals in [0, 1].
    """

    label: str
    means: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __post_init__(self) -> None:
        if not self.means.shape == self.low.shape == self.high.shape or self.means.ndim != 1:
            raise ValueError(f"{self.label}: means, low and high need one shape (n,)")


@style.styled()
def dial_figure(
    dial: str,
    values: np.ndarray,
    panels: Mapping[str, Sequence[DialCurve]],
    title: str,
    subtitle: str = "",
) -> Figure:
    """Draw one panel per metric: percent over the values of a dial, with a bar for each interval.

    Args:
        dial: Name of the dial, below the axes.
        values: (n,) ascending values.
        panels: Metric → curves with n values each; all panels have the same methods in the same order.
        title: Text above the figure.
        subtitle: Line below the title.

    Raises:
        UsageError: No curve.
        ValueError: A curve has another number of values.
    """
    curves = next(iter(panels.values()), ())
    if not curves:
        raise UsageError("No result to draw.", "Compare a study with a dial: vireid compare dials")
    for curve in (curve for panel in panels.values() for curve in panel):
        if len(curve.means) != len(values):
            raise ValueError(f"{curve.label}: {len(curve.means)} means for {len(values)} values")
    below = _BELOW + _LINE * len(curves) + 0.1
    width, height = _PANEL * len(panels) + 0.2, _TOP + _PLOT + below
    figure = style.blank(width, height)
    style.add_heading(figure, title, subtitle, left=0.2, down=(0.14, 0.42))
    handles: list[Line2D] = []
    for number, (metric, panel) in enumerate(panels.items()):
        left = number * _PANEL + _LEFT
        box = (left / width, below / height, (_PANEL - _LEFT - _GAP + 0.2) / width, _PLOT / height)
        axes = figure.add_axes(box)
        handles = [_draw(axes, values, i, curve, len(panel)) for i, curve in enumerate(panel)]
        _dress(axes, dial, values, metric)
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=((_LEFT - 0.05) / width, 0.06 / height),
        borderaxespad=0.0,
        labelspacing=0.35,
        handlelength=3.2,
    )
    return figure


def _draw(axes: Axes, values: np.ndarray, number: int, curve: DialCurve, count: int) -> Line2D:
    """Draw one curve with its bars, beside those of the other methods, and return the labelled line."""
    colour, dashes, marker = style.series(number)
    x = values + _BESIDE * np.ptp(values) * (number - (count - 1) / 2)
    axes.vlines(x, 100 * curve.low, 100 * curve.high, color=colour, linewidth=1.2)
    (line,) = axes.plot(
        x, 100 * curve.means, color=colour, linestyle=dashes, marker=marker, markersize=4.5, linewidth=1.6
    )
    line.set_label(curve.label)
    return line


def _dress(axes: Axes, dial: str, values: np.ndarray, metric: str) -> None:
    """Set labels and ticks: the values of the dial, and percent from 0."""
    axes.set_title(metric.replace("rank", "Rank-"), fontsize=style.TEXT_SIZE)
    axes.set_xlabel(dial)
    axes.set_ylabel("%")
    axes.set_xticks(values.tolist(), [f"{value:g}" for value in values])
    axes.set_ylim(bottom=0.0)
    axes.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.grid(True, axis="y")
