"""CMC curves: share of queries with a match in the first k ranks, with intervals and chance level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vireid_cli.errors import UsageError
from vireid_cli.figures import paper, style

_WIDTH = 6.2
_PLOT = 3.4
_TOP = 0.85
_LINE = 0.16  # inches of a legend line
_HANDLE, _LETTER = 0.65, 0.063  # inches beside and of the letters of a legend line
_SHORTEST = 6  # letters of a shortened label
_LEFT, _RIGHT = 0.62, 0.25


@dataclass(frozen=True)
class CmcCurve:
    """One CMC curve.

    Attributes:
        label: Label in the legend.
        cmc: (n,) CMC@1 … CMC@n in [0, 1].
        low, high: (n,) bounds of the band; both arrays or both None.
        chance: (at least n,) chance level in [0, 1], or None.
    """

    label: str
    cmc: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    chance: np.ndarray | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high: both are required, or none")
        for name in ("cmc", "low", "high", "chance"):
            values = getattr(self, name)
            if values is None:
                continue
            if values.ndim != 1 or len(values) < len(self.cmc) or not len(values):
                raise ValueError(f"{name}: expected {len(self.cmc)} values, not {values.shape}")
            if not (values.min() >= -1e-9 and values.max() <= 1 + 1e-9):
                raise ValueError(f"{name}: values outside of [0, 1]")


@style.styled()
def cmc_figure(curves: Sequence[CmcCurve], title: str, subtitle: str = "") -> Figure:
    """Draw CMC curves over rank, in percent, each with its own line style and colour.

    Args:
        curves: One or more curves of equal length.
        title: Text above the figure.
        subtitle: One or two lines below the title, such as protocol and meaning of the band.

    Raises:
        UsageError: No curve.
    """
    if not curves:
        raise UsageError("No evaluation to draw.", "Evaluate a run first: vireid evaluate")
    chance = next((curve.chance for curve in curves if curve.chance is not None), None)
    lines = len(curves) + (chance is not None)
    below = 0.55 + _LINE * lines + 0.1
    width = paper.width_or(_WIDTH)
    plot = _PLOT * min(1.0, max(0.5, width / _WIDTH))
    subtitle, more = paper.wrapped(subtitle, width)
    height = _TOP + more + plot + below
    figure = style.blank(width, height)
    style.add_heading(figure, title, subtitle, left=0.25, down=(0.14, 0.4), linespacing=1.3)
    box = (_LEFT / width, below / height, (width - _LEFT - _RIGHT) / width, plot / height)
    axes = figure.add_axes(box)
    alpha = 0.16 if len(curves) <= 3 else 0.06  # edges are easier to read than several overlapping bands
    most = int((width - _HANDLE) / _LETTER) if width < _WIDTH else None
    handles = [_draw(axes, i, curve, alpha, most) for i, curve in enumerate(curves)]
    if chance is not None:
        ranks = np.arange(1, len(curves[0].cmc) + 1)
        handles += axes.plot(ranks, 100 * chance[: len(ranks)], color=style.FAINT, linewidth=1, linestyle=":")
        handles[-1].set_label(f"chance: Rank-1 {100 * chance[0]:.1f} %")
    _dress(axes, len(curves[0].cmc), max(float((c.cmc if c.high is None else c.high).max()) for c in curves))
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=((_LEFT - 0.05 if width >= _WIDTH else 0.08) / width, 0.06 / height),
        borderaxespad=0.0,
        labelspacing=0.35,
        handlelength=3.2,
    )
    return figure


def _draw(axes: Axes, number: int, curve: CmcCurve, alpha: float, most: int | None) -> Line2D:
    """Draw one curve with its band and return the line with its label, of at most ``most`` letters."""
    colour, dashes, marker = style.series(number)
    ranks = np.arange(1, len(curve.cmc) + 1)
    bounds = ""
    if curve.low is not None and curve.high is not None:
        axes.fill_between(ranks, 100 * curve.low, 100 * curve.high, color=colour, alpha=alpha, linewidth=0)
        for edge in (curve.low, curve.high):
            axes.plot(ranks, 100 * edge, color=colour, linestyle=dashes, linewidth=0.6, alpha=0.6)
        bounds = f" [{100 * curve.low[0]:.1f}, {100 * curve.high[0]:.1f}]"
    (line,) = axes.plot(
        ranks, 100 * curve.cmc, color=colour, linestyle=dashes, marker=marker, markersize=3.5, linewidth=1.6
    )
    value = f": Rank-1 {100 * curve.cmc[0]:.1f} %{bounds}"
    free = len(curve.label) if most is None else max(_SHORTEST, most - len(value))
    name = curve.label if len(curve.label) <= free else f"{curve.label[: free - 1]}…"
    line.set_label(name + value)
    return line


def _dress(axes: Axes, ranks: int, highest: float) -> None:
    """Set the axes: all ranks, and percent from 0 to the next multiple of ten."""
    axes.set_xlabel("rank")
    axes.set_ylabel("queries with a match (%)")
    axes.set_ylim(0, min(100.0, 10.0 * np.ceil(10.0 * highest + 0.1)))
    axes.set_xlim(0.6, ranks + 0.4)
    ticks = [1, *range(5, ranks + 1, 5)] if ranks <= 30 else [1, *range(10, ranks + 1, 10)]
    axes.set_xticks(ticks if ranks > 5 else list(range(1, ranks + 1)))
    axes.yaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
    axes.grid(True, axis="y")
