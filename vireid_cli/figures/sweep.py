"""Metrics over a hyperparameter, with the standard deviation over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator

from vireid_cli.errors import UsageError
from vireid_cli.figures import paper, style

LOG_FROM = 10.0
"""Minimum ratio of the largest to the smallest value for a logarithmic axis."""

_PLOT = 3.1
_TOP = 0.9
_LEFT, _RIGHT = 0.75, 0.3
_LINE = 0.17  # inches of a legend line
_BESIDE = 0.12  # share of the distance between two words
_LETTER = 0.07  # inches per letter of a tick label


@dataclass(frozen=True)
class SweepLine:
    """One metric over the values of a key.

    Attributes:
        label: Label in the legend.
        means: (n,) means in [0, 1].
        stds: (n,) sample standard deviations over seeds; NaN for a single seed.
    """

    label: str
    means: np.ndarray
    stds: np.ndarray

    def __post_init__(self) -> None:
        if self.means.shape != self.stds.shape or self.means.ndim != 1:
            raise ValueError(f"means {self.means.shape} and stds {self.stds.shape}: expected (n,) both")


@style.styled()
def sweep_figure(
    key: str,
    values: Sequence[float] | Sequence[str],
    lines: Sequence[SweepLine],
    title: str,
    subtitle: str = "",
) -> Figure:
    """Draw metrics in percent over the values of a key.

    Numbers have a linear axis, or a logarithmic one if they are positive and span a factor of ten or more,
    and are joined by lines. Words are categories at equal distances without lines; the points of the
    metrics are side by side.

    Args:
        key: Key of the recipe, below the axis.
        values: n ascending numbers, or n words.
        lines: One or more metrics with n values each.
        title: Text above the figure.
        subtitle: One or more lines below the title.

    Raises:
        UsageError: Nothing to draw.
        ValueError: Length of a line differs from the number of values.
    """
    if not lines or not len(values):
        raise UsageError("No evaluated run to draw.", "Evaluate the runs first: vireid evaluate RUN")
    for line in lines:
        if len(line.means) != len(values):
            raise ValueError(f"{line.label}: {len(line.means)} figures for {len(values)} values")
    words = [value for value in values if isinstance(value, str)]
    longest = max(map(len, words), default=0)
    width = paper.width_or(max(6.0, _LEFT + _RIGHT + (min(12.0, 0.55 * len(values)) if words else 0.0)))
    slanted = bool(words) and longest * _LETTER > (width - _LEFT - _RIGHT) / len(words)
    below = 0.6 + (min(30, longest) * _LETTER * 0.6 if slanted else 0.0)
    legend = 0.1 + _LINE * len(lines)
    subtitle, _ = paper.wrapped(subtitle, width)
    top = _TOP + 0.14 * subtitle.count("\n")
    height = top + _PLOT + below + legend
    figure = style.blank(width, height)
    style.add_heading(figure, title, subtitle, left=0.25, down=(0.16, 0.42), linespacing=1.3)
    box = (_LEFT / width, (below + legend) / height, (width - _LEFT - _RIGHT) / width, _PLOT / height)
    axes = figure.add_axes(box)
    x = _words_axis(axes, words, slanted) if words else _number_axis(axes, np.array(values, dtype=np.float64))
    for number, line in enumerate(lines):
        beside = _BESIDE * (number - (len(lines) - 1) / 2) if words else 0.0
        _draw(axes, x + beside, number, line, joined=not words)
    axes.set_xlabel(key)
    axes.set_ylabel("%")
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.grid(True, axis="y")
    axes.margins(y=0.12)
    at = ((_LEFT - 0.05) / width, 0.08 / height)
    figure.legend(loc="lower left", bbox_to_anchor=at, borderaxespad=0.0, handlelength=3.2)
    return figure


def _draw(axes: Axes, x: np.ndarray, number: int, line: SweepLine, *, joined: bool) -> None:
    """Draw the points of one metric, with bars of one standard deviation if there are several seeds."""
    colour, dashes, marker = style.series(number)
    known = np.isfinite(line.stds)
    axes.errorbar(
        x[known],
        100 * line.means[known],
        yerr=100 * line.stds[known],
        linestyle="",
        ecolor=colour,
        capsize=3.5,
        elinewidth=1.2,
    )
    axes.plot(
        x,
        100 * line.means,
        color=colour,
        linestyle=dashes if joined else "",
        linewidth=1.6,
        marker=marker,
        markersize=5,
        label=line.label,
    )


def _number_axis(axes: Axes, values: np.ndarray) -> np.ndarray:
    """Set scale and ticks for numbers and return their positions; omits labels that would touch."""
    logarithmic = values.min() > 0 and values.max() / values.min() >= LOG_FROM
    if logarithmic:
        axes.set_xscale("log")
    places = np.log(values) if logarithmic else values
    span = max(float(np.ptp(places)), 1e-12)
    inches = axes.get_position().width * axes.get_figure(root=True).get_size_inches()[0] / 1.1  # type: ignore[union-attr]
    labels, free = [], -np.inf
    for value, at in zip(values, (places - places[0]) / span * inches, strict=True):
        text = f"{value:g}"
        half = 0.5 * _LETTER * (len(text) + 1)
        labels.append(text if at - half >= free else "")
        free = at + half if labels[-1] else free
    axes.xaxis.set_major_locator(FixedLocator(values.tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(values.tolist(), labels)
    return values


def _words_axis(axes: Axes, words: Sequence[str], slanted: bool) -> np.ndarray:
    """Set ticks for words and return their positions."""
    places = np.arange(len(words), dtype=np.float64)
    short = [style.shortened(word, 30) for word in words]
    axes.set_xticks(places.tolist(), short)
    if slanted:
        for label in axes.get_xticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(words) - 0.4)
    return places
