"""Histograms of visible–infrared cosine distances, within one identity and between two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from vireid_cli.errors import UsageError
from vireid_cli.figures import paper, style
from vireid_cli.metrics.distances import PairDistances, readable_bins

INTRA, INTER = style.PALETTE[0], style.PALETTE[1]
"""Colours of pairs of one person and of two people."""

_WIDE, _NARROW = 4.6, 2.9  # inches of a single panel, and of one of several
_HEIGHT = 2.7
_LEFT, _GAP, _RIGHT, _TOP, _BOTTOM = 0.75, 0.22, 0.25, 1.08, 1.12

_SHAPE, _LOWEST = 0.75, 1.5  # height of a panel relative to its width, and its least inches
_GAP_APART = 0.5  # inches between panels with their own scales
_LEAST = 2.2  # inches of a panel of a given width
_BETWEEN = 1.15  # inches between two rows of panels
_LEGEND, _LINE = 1.7, 0.17  # inches of an entry of the legend, and of its line

APART = 0.25
"""Ratio of the narrowest to the widest range of distances below which each panel has its own scales."""

_NUMBERS = 0.594  # inches from the axes to the means below them

_ARROW = 0.86
"""Height of the arrow between the means, as a share of the panel; the mean lines end at this height."""


@style.styled()
def distances_figure(
    panels: Sequence[tuple[str, PairDistances]], subtitle: str = "", title: str = ""
) -> Figure:
    """Draw one panel per run, side by side, with shared axes.

    Each histogram is normalised to 100 % of its own pairs, since pairs of two people are far more numerous.
    Dashed lines mark the means, the arrow between them marks δ. If one run collapsed, so that its distances
    would be a line on common axes, each panel has its own.

    Args:
        panels: Names and distances of the runs.
        subtitle: Text below the title.
        title: Text above the figure; empty uses a default title.

    Raises:
        UsageError: No panel.
    """
    if not panels:
        raise UsageError("No run to draw.", "Evaluate a run first: vireid evaluate")
    distances = [one for _, one in panels]
    apart = scales_apart(distances)
    grid = _Grid.of(len(panels), apart)
    subtitle, more = paper.wrapped(subtitle, grid.width)
    grid = replace(grid, top=_TOP + more)
    figure = style.blank(grid.width, grid.height)
    title = title or "Distances across modality"
    style.add_heading(figure, title, subtitle, left=0.15, down=(0.15, 0.42))
    for i, (name, one) in enumerate(panels):
        together = [one] if apart else distances
        merged = readable_bins(together)
        axes = figure.add_axes(grid.box(i))
        axes.set_xlim(*_reach(together))
        axes.set_ylim(0.0, 1.32 * _peak(together, merged))
        letter = f"({chr(ord('a') + i)}) " if len(panels) > 1 else ""
        _panel(axes, one, merged, letter + style.without_middle(name, grid.plane))
        axes.set_xlabel("cosine distance (own scale)" if apart else "cosine distance")
        axes.xaxis.set_major_locator(MaxNLocator(max(3, int(2 * grid.plane))))
        if i % grid.columns == 0:
            axes.set_ylabel("share of its pairs (%)")
        elif not apart:
            axes.set_yticklabels([])
    _legend(figure, grid)
    return figure


@dataclass(frozen=True, slots=True)
class _Grid:
    """Panels on the page, in inches.

    Attributes:
        count: Number of panels.
        columns: Panels per row.
        plane: Width of a panel.
        gap: Space between two panels.
        width: Width of the page.
        high: Height of a panel.
        top: Space above the first row.
    """

    count: int
    columns: int
    plane: float
    gap: float
    width: float
    high: float = _HEIGHT
    top: float = _TOP

    @staticmethod
    def of(count: int, apart: bool) -> _Grid:
        """Place panels side by side, or in rows if the page has a given width."""
        natural, gap = _WIDE if count == 1 else _NARROW, _GAP_APART if apart else _GAP
        sides = _LEFT + _RIGHT - gap
        width = paper.width_or(sides + count * (natural + gap))
        columns = min(count, max(1, int((width - sides) / (_LEAST + gap))))
        plane = (width - sides) / columns - gap
        high = _HEIGHT if plane >= natural - 1e-9 else max(_LOWEST, _SHAPE * plane)
        return _Grid(count, columns, plane, gap, width, min(_HEIGHT, high))

    @property
    def legend_columns(self) -> int:
        """Number of columns of the legend."""
        return min(3, max(1, int(self.width / _LEGEND)))

    @property
    def bottom(self) -> float:
        """Space below the lowest panels."""
        return _BOTTOM + _LINE * (-(-3 // self.legend_columns) - 1)

    @property
    def height(self) -> float:
        """Height of the page."""
        rows = -(-self.count // self.columns)
        return self.top + rows * self.high + (rows - 1) * _BETWEEN + self.bottom

    def box(self, number: int) -> tuple[float, float, float, float]:
        """Return the place of a panel, in shares of the page."""
        row, column = divmod(number, self.columns)
        left = _LEFT + column * (self.plane + self.gap)
        bottom = self.height - self.top - (row + 1) * self.high - row * _BETWEEN
        return left / self.width, bottom / self.height, self.plane / self.width, self.high / self.height


def scales_apart(distances: Sequence[PairDistances]) -> bool:
    """Whether one run's distances occupy such a small part of common axes that they are a line.

    The embeddings of a collapsed run are nearly equal: all its distances are close to 0.
    """
    if len(distances) < 2:
        return False
    spreads = [_spread(one) for one in distances]
    return min(spreads) < APART * max(spreads)


def _spread(distances: PairDistances) -> float:
    """Return the width of the range with all but one percent of the pairs on each side."""
    counts = distances.intra / distances.intra.sum() + distances.inter / distances.inter.sum()
    share = np.cumsum(counts) / counts.sum()
    low, high = np.searchsorted(share, 0.01), np.searchsorted(share, 0.99)
    return float(distances.edges[high + 1] - distances.edges[low])


def _peak(distances: Sequence[PairDistances], merged: int) -> float:
    """Return the largest share of a bin in percent."""
    return max(float(_percent(counts).max()) for one in distances for counts in one.merged(merged)[1:])


def _panel(axes: Axes, distances: PairDistances, merged: int, name: str) -> None:
    """Draw the two histograms of a run, their means and δ."""
    axes.set_title(name, pad=16)
    axes.text(
        0.0,
        1.02,
        f"{distances.visible:,} visible × {distances.infrared:,} infrared",
        transform=axes.transAxes,
        fontsize=style.SMALL_SIZE,
        color=style.FAINT,
        va="bottom",
    )
    axes.grid(axis="y")
    edges, *both = distances.merged(merged)
    intra, inter = (_percent(counts) for counts in both)
    axes.stairs(inter, edges, fill=True, color=INTER, alpha=0.55, linewidth=0)
    axes.stairs(intra, edges, fill=True, color=INTRA, alpha=0.35, linewidth=0)
    axes.stairs(intra, edges, color=INTRA, linewidth=1.3)
    axes.stairs(inter, edges, color=_dark(INTER), linewidth=0.8)
    for mean, colour in ((distances.intra_mean, INTRA), (distances.inter_mean, _dark(INTER))):
        axes.axvline(mean, ymax=_ARROW, color=colour, linestyle=(0, (4, 2)), linewidth=1.2)
    _delta(axes, distances)


def _delta(axes: Axes, distances: PairDistances) -> None:
    """Draw an arrow between the means, with δ, above the histograms."""
    at = _ARROW * axes.get_ylim()[1]
    low, high = sorted((distances.intra_mean, distances.inter_mean))
    reach = axes.get_xlim()
    axes.annotate(
        "",
        xy=(high, at),
        xytext=(low, at),
        arrowprops={"arrowstyle": "<->", "color": style.INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0},
    )
    wide = 0.22 * (reach[1] - reach[0])
    middle = min(max((low + high) / 2, reach[0] + wide), reach[1] - wide)
    words = f"δ = {distances.delta:.3f}".replace("-", "−")
    axes.text(middle, at + 0.02 * axes.get_ylim()[1], words, ha="center", va="bottom", weight="bold")
    numbers = f"means: one person {distances.intra_mean:.3f}, two people {distances.inter_mean:.3f}"
    if distances.parts > 1:
        numbers += f"\ntwo people: {distances.inter.sum():,} of {distances.of_two:,} pairs drawn"
    axes.text(
        0.0,
        -_NUMBERS / _inches(axes),
        numbers,
        transform=axes.transAxes,
        fontsize=style.SMALL_SIZE,
        color=style.FAINT,
        va="top",
    )


def _inches(axes: Axes) -> float:
    """Return the height of a panel."""
    return float(axes.get_position().height * axes.figure.get_size_inches()[1])  # type: ignore[union-attr]


def _percent(counts: np.ndarray) -> np.ndarray:
    """Convert counts to percent of their sum."""
    return 100.0 * counts / counts.sum()


def _reach(all_distances: Sequence[PairDistances]) -> tuple[float, float]:
    """Compute the axis limits: all but a ten-thousandth of the pairs on each side, with a margin."""
    edges = all_distances[0].edges
    lows, highs = [], []
    for distances in all_distances:
        for counts in (distances.intra, distances.inter):
            share = np.cumsum(counts) / counts.sum()
            lows.append(edges[np.searchsorted(share, 1e-4)])
            highs.append(edges[np.searchsorted(share, 1.0 - 1e-4) + 1])
    low, high = float(min(lows)), float(max(highs))
    margin = 0.04 * (high - low)
    return max(low - margin, 0.0), min(high + margin, float(edges[-1]))


def _dark(colour: str) -> tuple[float, float, float]:
    """Darken a colour to 70 percent, for an outline that is visible on a filled area."""
    red, green, blue = to_rgb(colour)
    return 0.7 * red, 0.7 * green, 0.7 * blue


def _legend(figure: Figure, grid: _Grid) -> None:
    handles = [
        Patch(facecolor=(*to_rgb(INTRA), 0.35), edgecolor=INTRA, label="one person (intra-class)"),
        Patch(facecolor=(*to_rgb(INTER), 0.55), edgecolor=_dark(INTER), label="two people (inter-class)"),
        Line2D([], [], color=style.FAINT, linestyle=(0, (4, 2)), linewidth=1.2, label="mean"),
    ]
    figure.legend(
        handles=handles,
        loc="lower left",
        ncols=grid.legend_columns,
        bbox_to_anchor=(0.05 / grid.width, 0.02 / grid.height),
        columnspacing=1.2,
    )
