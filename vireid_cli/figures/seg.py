"""SEG images with their sources, and mean spectra against infrared (SEPG-Net, figure 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vireid_cli.figures import style
from vireid_cli.figures.pixels import checked_pixels
from vireid_cli.types import Modality

KINDS = ("visible", "grey", "SEG", "infrared")
"""Kinds of images with a mean spectrum, in order."""

_LOOK: dict[str, dict[str, Any]] = {
    "visible": {"color": style.MODALITY_COLOUR[Modality.VISIBLE], "linestyle": "-", "linewidth": 1.4},
    "grey": {"color": style.FAINT, "linestyle": ":", "linewidth": 1.6},
    "SEG": {"color": style.PALETTE[2], "linestyle": "--", "linewidth": 1.8},
    "infrared": {"color": style.MODALITY_COLOUR[Modality.INFRARED], "linestyle": "-", "linewidth": 2.2},
}
_NAMES = ("visible", "grey", "phase only", "SEG", "infrared")

_EDGE = 0.25
_CELL = (1.3, 0.72)  # inches: largest image of a person
_GAP = 0.1
_TOP = 0.95
_PLANE = 1.0  # width of a mean spectrum
_BETWEEN = 0.7
_PLOTS = 2.9  # height of both plots


@dataclass(frozen=True)
class SegRow:
    """Images of one person.

    Attributes:
        label: Label below the images.
        visible, grey, seg, infrared: (H, W, 3) pixels in [0, 1].
        phase_only: (H, W, 3), any range; ``grey`` plus this image yields ``seg``.
    """

    label: str
    visible: np.ndarray
    grey: np.ndarray
    phase_only: np.ndarray
    seg: np.ndarray
    infrared: np.ndarray

    def __post_init__(self) -> None:
        for name in ("visible", "grey", "seg", "infrared"):
            checked_pixels(name, getattr(self, name))

    @property
    def images(self) -> tuple[np.ndarray, ...]:
        """Images as drawn, in the order of the columns."""
        phase_only = style.stretched(self.phase_only, about_zero=True)
        return self.visible, self.grey, phase_only, self.seg, self.infrared


@dataclass(frozen=True)
class MeanSpectrum:
    """Mean amplitude spectrum of one kind of images.

    Attributes:
        plane: (H, W) positive full plane, unshifted.
        profile: (n,) positive means per spatial frequency.
        gap: Mean absolute log₁₀ difference to the plane of the infrared images, in decades.
    """

    plane: np.ndarray
    profile: np.ndarray
    gap: float


@dataclass(frozen=True)
class Spectra:
    """Mean amplitude spectra of all kinds.

    Attributes:
        kinds: Mean spectrum of each of ``KINDS``.
        frequencies: (n,) frequencies of the profiles, in cycles per pixel.
        floor: Gap between the infrared images of two halves of the people: the gap due to different people
            alone.
        note: Description of the images, at most two lines.
    """

    kinds: dict[str, MeanSpectrum]
    frequencies: np.ndarray
    floor: float
    note: str

    def gap_of(self, kind: str) -> float:
        """Return the gap of a kind to infrared; for infrared, the floor."""
        return self.floor if kind == "infrared" else self.kinds[kind].gap


@style.styled()
def seg_figure(rows: Sequence[SegRow], spectra: Spectra, title: str) -> Figure:
    """Draw people on the left, mean amplitude spectra on the right.

    Columns per person: visible, grey, phase only (stretched symmetrically about 0), SEG, and an infrared
    image. Spectra: planes in log₁₀ on one colour scale, zero frequency in the middle; profiles over
    spatial frequency; ratio to infrared.

    Source: SEPG-Net, figure 3 (docs/methods.md#seg); the gap values are our addition.

    Raises:
        ValueError: No person.
    """
    if not rows:
        raise ValueError("no person")
    height, width = rows[0].visible.shape[:2]
    cell = style.fit(height, width, _CELL[0], _CELL[1])
    plane = style.fit(height, width, 2.2, _PLANE)
    left = _EDGE + len(_NAMES) * (_CELL[1] + _GAP) + _BETWEEN
    people = len(rows) * (cell[0] + 0.32)
    below = _TOP + plane[0] + 0.5  # top of the plots
    width = left + len(KINDS) * (_PLANE + _GAP) + 0.62
    height = max(_TOP + people, below + _PLOTS) + 0.9
    figure, axes = style.page(width, height)
    style.write(
        axes,
        _EDGE,
        0.18,
        style.shortened(title, int(9 * width)),
        style.TITLE_SIZE,
        weight="bold",
        gid=style.HEADING,
    )
    _people(axes, rows, cell)
    _planes(axes, spectra, plane, left)
    _plots(figure, spectra, (left, below), (width - left - 0.3, height))
    gap = "gap: mean |log₁₀ difference| to infrared over all frequencies, zero included"
    floor = "two halves: infrared images of one half of the people against the other's"
    note = f"{gap}; {floor}.\n{spectra.note}"
    style.write(axes, _EDGE, height - 0.6, note, style.SMALL_SIZE, color=style.FAINT, linespacing=1.35)
    return figure


def _people(axes: Axes, rows: Sequence[SegRow], cell: tuple[float, float]) -> None:
    for i, name in enumerate(_NAMES):
        middle = _EDGE + i * (_CELL[1] + _GAP) + _CELL[1] / 2
        colour = _LOOK[name]["color"] if name in _LOOK else style.INK
        style.write(axes, middle, _TOP - 0.25, name, ha="center", weight="bold", color=colour)
        for j, row in enumerate(rows):
            top = _TOP + j * (cell[0] + 0.32)
            style.place(axes, row.images[i], (middle - cell[1] / 2, top, cell[1], cell[0]))
    for j, row in enumerate(rows):
        top = _TOP + j * (cell[0] + 0.32) + cell[0] + 0.06
        style.write(axes, _EDGE, top, row.label, style.SMALL_SIZE, color=style.FAINT)


def _planes(axes: Axes, spectra: Spectra, size: tuple[float, float], left: float) -> None:
    """Draw the mean spectra as images with their gaps below."""
    planes = {kind: np.fft.fftshift(np.log10(spectra.kinds[kind].plane)) for kind in KINDS}
    values = np.concatenate([plane.ravel() for plane in planes.values()])
    low, high = (float(v) for v in np.percentile(values, (0.1, 99.95)))
    for i, kind in enumerate(KINDS):
        middle = left + i * (_PLANE + _GAP) + _PLANE / 2
        image = style.coloured(planes[kind], style.AMPLITUDE_COLOURS, low, max(high, low + 0.1))
        style.write(axes, middle, _TOP - 0.25, kind, ha="center", weight="bold", color=_LOOK[kind]["color"])
        style.place(axes, image, (middle - size[1] / 2, _TOP, size[1], size[0]))
        word = "two halves" if kind == "infrared" else "gap"
        gap = f"{word} {spectra.gap_of(kind):.3f}"
        style.write(axes, middle, _TOP + size[0] + 0.07, gap, ha="center")
    right = left + len(KINDS) * (_PLANE + _GAP)
    ends = [style.signed(high), style.signed(low)]
    style.colour_bar(axes, right, _TOP, size[0], style.AMPLITUDE_COLOURS, ends)
    style.write(
        axes, left, _TOP - 0.5, "Mean amplitude, log₁₀, zero frequency in the middle", style.SMALL_SIZE
    )


def _plots(figure: Figure, spectra: Spectra, corner: tuple[float, float], size: tuple[float, float]) -> None:
    """Draw profiles and their ratios to infrared; ``corner`` (left, top) and ``size`` are in inches."""
    left, top = corner
    width, page_width, page_height = size[0] - 0.5, *figure.get_size_inches()
    parts = ((top, 1.6), (top + 1.78, 0.85))  # from the page's top, and height
    upper, lower = (
        figure.add_axes(
            (
                (left + 0.5) / page_width,
                1 - (start + tall) / page_height,
                width / page_width,
                tall / page_height,
            )
        )
        for start, tall in parts
    )
    infrared = spectra.kinds["infrared"].profile
    for kind in reversed(KINDS):  # draw the widest line first
        profile = spectra.kinds[kind].profile
        upper.plot(spectra.frequencies, np.log10(profile), label=kind, **_LOOK[kind])
        lower.plot(spectra.frequencies, np.log10(profile / infrared), **_LOOK[kind])
    upper.set_ylabel("log₁₀ mean amplitude")
    upper.tick_params(labelbottom=False)
    upper.legend(loc="upper right", handlelength=3.0, reverse=True)
    lower.set_ylabel("minus infrared")
    lower.set_xlabel("spatial frequency, cycles a pixel")
    figure.align_ylabels([upper, lower])
    for axes in (upper, lower):
        axes.grid(True)
        axes.set_xlim(0.0, 0.5)
