"""Amplitude and phase of images, side by side or swapped (FDNM, figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vireid_cli.figures import style
from vireid_cli.figures.pixels import checked_pixels

_EDGE = 0.25
_NAMES = 1.62  # inches of the column with the row names
_GAP = 0.3
_BARS = 0.62
_ROW = 1.5
_ROW_GAP = 0.14
_CAPTION = 0.2  # below the images of a row with captions
_TOP = 0.95

_CENTRED = "zero frequency\nin the middle"
_NOTE = (
    "(b), (c) of the luminance; (b) in log₁₀, one scale for all.\n"
    "(d), (e) of each channel, stretched to 1–99 %."
)


@dataclass(frozen=True)
class SpectrumColumn:
    """One image with its spectrum and reconstructions.

    Attributes:
        name: Name in captions: ``visible``, ``first`` …
        detail: Second line of the heading, such as a camera or a file; may be empty.
        colour: Colour of the heading.
        image: (H, W, 3) pixels in [0, 1].
        amplitude: (H, W) non-negative absolute value of the full orthonormal 2-D DFT, unshifted
            (``mirrored`` completes a half spectrum).
        phase: (H, W) in [−π, π], unshifted.
        phase_only: (H, W) or (H, W, 3) reconstruction with constant amplitude; may be negative.
        amplitude_only: (H, W) or (H, W, 3) reconstruction with phase 0; its peak is at (0, 0).
        swapped: (H, W) or (H, W, 3) reconstruction from this phase and the other image's amplitude; None
            without another image.
    """

    name: str
    detail: str
    colour: str
    image: np.ndarray
    amplitude: np.ndarray
    phase: np.ndarray
    phase_only: np.ndarray
    amplitude_only: np.ndarray
    swapped: np.ndarray | None = None

    def __post_init__(self) -> None:
        checked_pixels("image", self.image)
        size = self.image.shape[:2]
        rebuilt = ("phase_only", "amplitude_only", *(("swapped",) if self.swapped is not None else ()))
        for name in ("amplitude", "phase"):
            if getattr(self, name).shape != size:
                raise ValueError(f"{name}: expected {size}, not {getattr(self, name).shape}")
        for name in rebuilt:
            if getattr(self, name).shape not in (size, (*size, 3)):
                raise ValueError(f"{name}: expected {size} or {(*size, 3)}, not {getattr(self, name).shape}")
        for name in ("amplitude", "phase", *rebuilt):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name}: NaN or infinity")
        if self.amplitude.min() < 0:
            raise ValueError("amplitude: negative values")
        if np.abs(self.phase).max() > np.pi + 1e-4:
            raise ValueError("phase: values outside of −π to π")


@dataclass(frozen=True)
class _Grid:
    """Positions of rows and columns, in inches.

    Attributes:
        cell: Height and width of an image.
        side: Width of a column.
        captioned: First row with captions; all rows below have captions, too.
    """

    cell: tuple[float, float]
    side: float
    captioned: int

    def top(self, row: int) -> float:
        """Return the distance from the top of the page to the images of a row."""
        captions = max(0, row - self.captioned) * _CAPTION
        return _TOP + row * (self.cell[0] + _ROW_GAP) + captions

    def left(self, column: int) -> float:
        """Return the distance from the left edge of the page to a column."""
        return _EDGE + _NAMES + column * (self.side + _GAP)

    def middle(self, column: int) -> float:
        """Return the distance from the left edge of the page to the centre of a column."""
        return self.left(column) + self.side / 2


@style.styled()
def phase_swap_figure(first: SpectrumColumn, second: SpectrumColumn, title: str) -> Figure:
    """Draw five rows, (a) to (e), for two images of equal size.

    (a) image, (b) amplitude, logarithmic, zero frequency in the middle, with one colour scale for both
    columns to make them comparable, (c) phase, (d) swapped: phase of the column with the amplitude of the
    other, (e) phase only and amplitude only, side by side.

    Source: FDNM, figure 1 (docs/methods.md#fdnm). The mapping to grey levels is our choice: (d) and (e) are
    stretched between the 1st and the 99th percentile, phase only symmetrically about 0, amplitude only
    with the peak moved from the corner to the middle.

    Raises:
        ValueError: Sizes differ, or ``swapped`` is missing.
    """
    swapped = [column.swapped for column in (first, second) if column.swapped is not None]
    if len(swapped) < 2:
        raise ValueError("swapped: missing")
    names = (
        ("Image", ""),
        ("Amplitude", _CENTRED),
        ("Phase", _CENTRED),
        ("Swapped", "phase of this image,\namplitude of the other"),
        ("Phase only and\namplitude only", "with a constant\namplitude; with a\nphase of 0"),
    )
    columns, half = (first, second), 0.975
    figure, axes, grid = _page(columns, title, names, side=2.05, widest=half, captioned=3)
    for i, column in enumerate(columns):
        middle = grid.middle(i)
        _place(axes, grid, 3, middle, style.stretched(swapped[i]))
        caption = f"{column.name} phase, {columns[1 - i].name} amplitude"
        _caption(axes, grid, 3, middle, caption)
        shift = 0.05 + grid.cell[1] / 2
        _place(axes, grid, 4, middle - shift, _phase_only(column))
        _place(axes, grid, 4, middle + shift, _amplitude_only(column))
        _caption(axes, grid, 4, middle - shift, "phase only")
        _caption(axes, grid, 4, middle + shift, "amplitude only")
    return figure


@style.styled()
def spectrum_figure(columns: Sequence[SpectrumColumn], title: str) -> Figure:
    """Draw one column per image with its amplitude, phase and reconstructions; all sizes must be equal.

    (a) image, (b) amplitude, logarithmic, zero frequency in the middle, one colour scale for all
    columns, (c) phase, (d) amplitude only, (e) phase only; grey levels as in ``phase_swap_figure``.

    Raises:
        ValueError: No column, or sizes differ.
    """
    names = (
        ("Image", ""),
        ("Amplitude", _CENTRED),
        ("Phase", _CENTRED),
        ("Amplitude only", "with a phase of 0"),
        ("Phase only", "with a constant\namplitude"),
    )
    side = 1.35
    figure, axes, grid = _page(columns, title, names, side=side, widest=side, captioned=len(names))
    for i, column in enumerate(columns):
        _place(axes, grid, 3, grid.middle(i), _amplitude_only(column))
        _place(axes, grid, 4, grid.middle(i), _phase_only(column))
    return figure


def _page(
    columns: Sequence[SpectrumColumn],
    title: str,
    names: tuple[tuple[str, str], ...],
    *,
    side: float,
    widest: float,
    captioned: int,
) -> tuple[Figure, Axes, _Grid]:
    """Create a page with title, headings, row names and the first three rows."""
    sizes = sorted({column.image.shape[:2] for column in columns})
    if len(sizes) != 1:
        raise ValueError(f"sizes differ: {sizes}" if sizes else "no image")
    grid = _Grid(style.fit(sizes[0][0], sizes[0][1], _ROW, widest), side, captioned)
    right = grid.left(len(columns))
    width, height = max(right + _BARS, 4.9), grid.top(5) + 0.5
    figure, axes = style.page(width, height)
    title = style.shortened(title, int(9 * (width - 2 * _EDGE)))  # nine letters per inch
    style.write(axes, _EDGE, 0.18, title, style.TITLE_SIZE, weight="bold", gid=style.HEADING)
    low, high = _amplitude_range(columns)
    for i, column in enumerate(columns):
        _heading(axes, column, grid.middle(i), side)
        amplitude = np.fft.fftshift(_log(column.amplitude))
        phase = np.fft.fftshift(column.phase)
        _place(axes, grid, 0, grid.middle(i), column.image)
        _place(axes, grid, 1, grid.middle(i), style.coloured(amplitude, style.AMPLITUDE_COLOURS, low, high))
        _place(axes, grid, 2, grid.middle(i), style.coloured(phase, style.PHASE_COLOURS, -np.pi, np.pi))
    for row, (name, description) in enumerate(names):
        _name(axes, grid.top(row), "abcde"[row], name, description)
    ends = [style.signed(high), style.signed(low)]
    style.colour_bar(axes, right, grid.top(1), grid.cell[0], style.AMPLITUDE_COLOURS, ends)
    style.colour_bar(axes, right, grid.top(2), grid.cell[0], style.PHASE_COLOURS, ["π", "0", "−π"])
    style.write(axes, _EDGE, height - 0.42, _NOTE, style.SMALL_SIZE, color=style.FAINT, linespacing=1.3)
    return figure, axes, grid


def _heading(axes: Axes, column: SpectrumColumn, middle: float, side: float) -> None:
    top = _TOP - (0.42 if column.detail else 0.3)
    look = {"ha": "center", "color": column.colour}
    style.write(axes, middle, top, column.name, style.TEXT_SIZE + 1, weight="bold", **look)
    detail = style.shortened(column.detail, int(side * 15))
    style.write(axes, middle, top + 0.2, detail, style.SMALL_SIZE, ha="center", color=style.FAINT)


def _name(axes: Axes, top: float, letter: str, name: str, description: str) -> None:
    """Write a row's letter, name and description."""
    style.write(axes, _EDGE, top, f"({letter})", weight="bold")
    style.write(axes, _EDGE + 0.3, top, name, weight="bold")
    below = top + 0.21 + 0.155 * name.count("\n")
    style.write(axes, _EDGE + 0.3, below, description, style.SMALL_SIZE, color=style.FAINT, linespacing=1.3)


def _place(axes: Axes, grid: _Grid, row: int, middle: float, image: np.ndarray) -> None:
    height, width = grid.cell
    style.place(axes, image, (middle - width / 2, grid.top(row), width, height))


def _caption(axes: Axes, grid: _Grid, row: int, middle: float, text: str) -> None:
    """Write a caption below an image."""
    style.write(axes, middle, grid.top(row) + grid.cell[0] + 0.05, text, style.SMALL_SIZE, ha="center")


def _phase_only(column: SpectrumColumn) -> np.ndarray:
    return style.stretched(column.phase_only, about_zero=True)


def _amplitude_only(column: SpectrumColumn) -> np.ndarray:
    return style.stretched(np.fft.fftshift(column.amplitude_only, axes=(0, 1)))


def _log(amplitude: np.ndarray) -> np.ndarray:
    """Compute log₁₀ of an amplitude, with a floor at the rounding error."""
    return np.log10(np.maximum(amplitude.astype(np.float64), 1e-6))


def _amplitude_range(columns: Sequence[SpectrumColumn]) -> tuple[float, float]:
    """Compute the logarithmic amplitudes of the darkest and brightest colour, shared by all columns."""
    values = np.concatenate([_log(column.amplitude).ravel() for column in columns])
    low, high = np.percentile(values, (0.5, 99.95))
    return float(low), float(max(high, low + 0.1))


def mirrored(half: np.ndarray, width: int, odd: bool = False) -> np.ndarray:
    """Complete a half spectrum (H, W // 2 + 1) to the full plane (H, W): F(u, v) = conj F(−u, −v).

    Args:
        half: Amplitude or phase of the columns that ``rfft2`` returns, unshifted.
        width: Width W of the full plane.
        odd: True for a phase, which changes sign when mirrored; False for an amplitude.
    """
    columns = np.arange(half.shape[1], width)
    rows = -np.arange(half.shape[0]) % half.shape[0]
    mirror = half[rows[:, None], width - columns]  # (H, W − W // 2 − 1)
    return np.concatenate([half, -mirror if odd else mirror], axis=1)
