"""Histograms of visible–infrared cosine distances, within one identity and between two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from vireid_cli.errors import UsageError
from vireid_cli.figures import style
from vireid_cli.metrics.distances import PairDistances, readable_bins

INTRA, INTER = style.PALETTE[0], style.PALETTE[1]
"""Colours of pairs of one person and of two people."""

_WIDE, _NARROW = 4.6, 2.9  # inches of a single panel, and of one of several
_HEIGHT = 2.7
_LEFT, _GAP, _RIGHT, _TOP, _BOTTOM = 0.75, 0.22, 0.25, 1.08, 1.12

_ARROW = 0.86
"""Height of the arrow between the means, as a share of the panel; the mean lines end at this height."""


@style.styled()
def distances_figure(
    panels: Sequence[tuple[str, PairDistances]], subtitle: str = "", title: str = ""
) -> Figure:
    """Draw one panel per run, side by side, with shared axes.

    Each histogram is normalised to 100 % of its own pairs, since pairs of two people are far more numerous.
    Dashed lines mark the means, the arrow between them marks δ.

    Args:
        panels: Names and distances of the runs.
        subtitle: Text below the title.
        title: Text above the figure; empty uses a default title.

    Raises:
        UsageError: No panel.
    """
    if not panels:
        raise UsageError("No run to draw.", "Evaluate a run first: vireid evaluate")
    plane = _WIDE if len(panels) == 1 else _NARROW
    width = _LEFT + len(panels) * (plane + _GAP) - _GAP + _RIGHT
    height = _TOP + _HEIGHT + _BOTTOM
    figure = style.blank(width, height)
    title = title or "Distances across modality"
    figure.text(0.15 / width, 1 - 0.15 / height, title, fontsize=style.TITLE_SIZE, weight="bold", va="top")
    figure.text(
        0.15 / width, 1 - 0.42 / height, subtitle, fontsize=style.SMALL_SIZE, color=style.FAINT, va="top"
    )
    merged = readable_bins([distances for _, distances in panels])
    low, high = _reach([distances for _, distances in panels])
    top = 1.32 * max(float(_percent(counts).max()) for _, one in panels for counts in one.merged(merged)[1:])
    for i, (name, distances) in enumerate(panels):
        left = _LEFT + i * (plane + _GAP)
        box = (left / width, _BOTTOM / height, plane / width, _HEIGHT / height)
        axes = figure.add_axes(box)
        axes.set_xlim(low, high)
        axes.set_ylim(0.0, top)
        letter = f"({chr(ord('a') + i)}) " if len(panels) > 1 else ""
        _panel(axes, distances, merged, letter + style.without_middle(name, plane))
        if i:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel("share of its pairs (%)")
    _legend(figure, width, height)
    return figure


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
    axes.set_xlabel("cosine distance")
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
        0.0, -0.22, numbers, transform=axes.transAxes, fontsize=style.SMALL_SIZE, color=style.FAINT, va="top"
    )


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


def _legend(figure: Figure, width: float, height: float) -> None:
    handles = [
        Patch(facecolor=(*to_rgb(INTRA), 0.35), edgecolor=INTRA, label="one person (intra-class)"),
        Patch(facecolor=(*to_rgb(INTER), 0.55), edgecolor=_dark(INTER), label="two people (inter-class)"),
        Line2D([], [], color=style.FAINT, linestyle=(0, (4, 2)), linewidth=1.2, label="mean"),
    ]
    figure.legend(
        handles=handles,
        loc="lower left",
        ncols=3,
        bbox_to_anchor=(0.05 / width, 0.02 / height),
        columnspacing=1.2,
    )
