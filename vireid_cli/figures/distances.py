"""Histograms of cosine distances across modality: how far apart one person is, how far two are."""

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
"""Colours of pairs of one person and of two; the first is drawn with a line, the second without."""

_WIDE, _NARROW = 4.6, 2.9  # inches of a panel's plane: alone, and one of several
_HEIGHT = 2.7
_LEFT, _GAP, _RIGHT, _TOP, _BOTTOM = 0.75, 0.22, 0.25, 1.08, 1.12

_ARROW = 0.86
"""Height of the arrow between the means, as a share of the panel's; the means' lines end there."""


@style.styled()
def distances_figure(
    panels: Sequence[tuple[str, PairDistances]], subtitle: str = "", title: str = ""
) -> Figure:
    """Draw a panel a run, side by side, with the same axes.

    Each histogram is in percent of its own pairs: those of two people are many times more. Dashed lines
    mark the means, the arrow between them δ.

    Args:
        panels: Names of the runs, and their distances.
        subtitle: Below the title; what was compared.
        title: Over the figure; by default what is shown.

    Raises:
        UsageError: There is no panel.
    """
    if not panels:
        raise UsageError("There is no run to draw.", "Evaluate one: vireid evaluate")
    plane = _WIDE if len(panels) == 1 else _NARROW
    width = _LEFT + len(panels) * (plane + _GAP) - _GAP + _RIGHT
    height = _TOP + _HEIGHT + _BOTTOM
    figure = style.blank(width, height)
    title = title or "Distances across modality"
    figure.text(0.15 / width, 1 - 0.15 / height, title, fontsize=style.TITLE_SIZE, weight="bold", va="top")
    figure.text(
        0.15 / width, 1 - 0.42 / height, subtitle, fontsize=style.SMALL_SIZE, color=style.FAINT, va="top"
    )
    merged = readable_bins([found for _, found in panels])
    low, high = _reach([found for _, found in panels])
    top = 1.32 * max(float(_percent(counts).max()) for _, one in panels for counts in one.merged(merged)[1:])
    for i, (name, found) in enumerate(panels):
        left = _LEFT + i * (plane + _GAP)
        box = (left / width, _BOTTOM / height, plane / width, _HEIGHT / height)
        axes = figure.add_axes(box)
        axes.set_xlim(low, high)
        axes.set_ylim(0.0, top)
        letter = f"({chr(ord('a') + i)}) " if len(panels) > 1 else ""
        _panel(axes, found, merged, letter + style.without_middle(name, plane))
        if i:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel("share of its pairs (%)")
    _legend(figure, width, height)
    return figure


def _panel(axes: Axes, found: PairDistances, merged: int, name: str) -> None:
    """Two histograms, their means, and δ."""
    axes.set_title(name, pad=16)
    axes.text(
        0.0,
        1.02,
        f"{found.visible:,} visible × {found.infrared:,} infrared",
        transform=axes.transAxes,
        fontsize=style.SMALL_SIZE,
        color=style.FAINT,
        va="bottom",
    )
    axes.set_xlabel("cosine distance")
    axes.grid(axis="y")
    edges, *both = found.merged(merged)
    intra, inter = (_percent(counts) for counts in both)
    axes.stairs(inter, edges, fill=True, color=INTER, alpha=0.55, linewidth=0)
    axes.stairs(intra, edges, fill=True, color=INTRA, alpha=0.35, linewidth=0)
    axes.stairs(intra, edges, color=INTRA, linewidth=1.3)
    axes.stairs(inter, edges, color=_dark(INTER), linewidth=0.8)
    for mean, colour in ((found.intra_mean, INTRA), (found.inter_mean, _dark(INTER))):
        axes.axvline(mean, ymax=_ARROW, color=colour, linestyle=(0, (4, 2)), linewidth=1.2)
    _delta(axes, found)


def _delta(axes: Axes, found: PairDistances) -> None:
    """An arrow from mean to mean, and what it spans, above the histograms."""
    at = _ARROW * axes.get_ylim()[1]
    low, high = sorted((found.intra_mean, found.inter_mean))
    reach = axes.get_xlim()
    axes.annotate(
        "",
        xy=(high, at),
        xytext=(low, at),
        arrowprops={"arrowstyle": "<->", "color": style.INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0},
    )
    wide = 0.22 * (reach[1] - reach[0])
    middle = min(max((low + high) / 2, reach[0] + wide), reach[1] - wide)
    words = f"δ = {found.delta:.3f}".replace("-", "−")
    axes.text(middle, at + 0.02 * axes.get_ylim()[1], words, ha="center", va="bottom", weight="bold")
    numbers = f"means: one person {found.intra_mean:.3f}, two people {found.inter_mean:.3f}"
    if found.parts > 1:
        numbers += f"\ntwo people: {found.inter.sum():,} of {found.of_two:,} pairs drawn"
    axes.text(
        0.0, -0.22, numbers, transform=axes.transAxes, fontsize=style.SMALL_SIZE, color=style.FAINT, va="top"
    )


def _percent(counts: np.ndarray) -> np.ndarray:
    """Counts as percent of their sum."""
    return 100.0 * counts / counts.sum()


def _reach(all_found: Sequence[PairDistances]) -> tuple[float, float]:
    """The part of the axis that holds a ten-thousandth of the pairs or more on each side, with a margin."""
    edges = all_found[0].edges
    lows, highs = [], []
    for found in all_found:
        for counts in (found.intra, found.inter):
            share = np.cumsum(counts) / counts.sum()
            lows.append(edges[np.searchsorted(share, 1e-4)])
            highs.append(edges[np.searchsorted(share, 1.0 - 1e-4) + 1])
    low, high = float(min(lows)), float(max(highs))
    margin = 0.04 * (high - low)
    return max(low - margin, 0.0), min(high + margin, float(edges[-1]))


def _dark(colour: str) -> tuple[float, float, float]:
    """A colour at 70 percent of its lightness: a thin line of it stands out from its own surface."""
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
