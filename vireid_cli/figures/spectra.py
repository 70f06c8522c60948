"""One person in both modalities, taken apart into amplitude and phase: FDNM's first figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vireid_cli.figures import style
from vireid_cli.types import Modality

AMPLITUDE_COLOURS = "magma"
PHASE_COLOURS = "twilight"  # cyclic: −π and π are the same angle and the same colour
CLIP = (1.0, 99.0)
"""Percentiles between which a reconstruction is stretched to black and white."""

_NAMES = 1.62  # inches of the column with the rows' names
_SIDE = 2.05  # inches of one modality's column: two images side by side in row e
_GAP = 0.3
_BARS = 0.62
_ROW = 1.5
_ROW_GAP = 0.14
_CAPTION = 0.2  # beneath the images of rows d and e
_TOP = 0.95


@dataclass(frozen=True)
class SpectrumColumn:
    """One image and what becomes of it.

    Attributes:
        image: (H, W, 3) pixels in [0, 1].
        amplitude: (H, W) non-negative: the full orthonormal 2-D DFT's absolute value, unshifted
            (``mirrored`` completes a half spectrum).
        phase: (H, W) in [−π, π], unshifted.
        swapped: (H, W) or (H, W, 3): this image's phase with the other modality's amplitude.
        phase_only: (H, W) or (H, W, 3): this phase with a constant amplitude; may be negative.
        amplitude_only: (H, W) or (H, W, 3): this amplitude with phase 0; its peak at (0, 0).
    """

    image: np.ndarray
    amplitude: np.ndarray
    phase: np.ndarray
    swapped: np.ndarray
    phase_only: np.ndarray
    amplitude_only: np.ndarray

    def __post_init__(self) -> None:
        style.checked_pixels("image", self.image)
        size = self.image.shape[:2]
        for name in ("amplitude", "phase"):
            if getattr(self, name).shape != size:
                raise ValueError(f"{name}: expected {size}, not {getattr(self, name).shape}")
        for name in ("swapped", "phase_only", "amplitude_only"):
            if getattr(self, name).shape not in (size, (*size, 3)):
                raise ValueError(f"{name}: expected {size} or {(*size, 3)}, not {getattr(self, name).shape}")
        for name in ("amplitude", "phase", "swapped", "phase_only", "amplitude_only"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name}: infinite or no numbers")
        if self.amplitude.min() < 0:
            raise ValueError("amplitude: negative values")
        if np.abs(self.phase).max() > np.pi + 1e-4:
            raise ValueError("phase: outside of −π to π")


@dataclass(frozen=True)
class PhaseSwap:
    """A visible and an infrared image of one person, both of the same height and width."""

    visible: SpectrumColumn
    infrared: SpectrumColumn

    def __post_init__(self) -> None:
        if self.visible.image.shape != self.infrared.image.shape:
            raise ValueError(f"sizes differ: {self.visible.image.shape} and {self.infrared.image.shape}")

    def column(self, modality: Modality) -> SpectrumColumn:
        """The column of a modality."""
        return self.visible if modality is Modality.VISIBLE else self.infrared


@style.styled()
def phase_swap_figure(data: PhaseSwap, title: str) -> Figure:
    """Draw five rows, (a) to (e), in a visible and an infrared column.

    (a) image, (b) amplitude, logarithmic, zero frequency in the middle, one colour scale for both
    modalities so that their gap shows, (c) phase, (d) swapped: a column's own phase with the other's
    amplitude, (e) phase only and amplitude only, side by side.

    Source: FDNM, figure 1 (METHODS 1). How the values become grey levels is ours: (d) and (e) are
    stretched between their 1st and 99th percentile, phase only symmetrically about 0, amplitude only
    with its peak moved from the corner to the middle.
    """
    height, width = data.visible.image.shape[:2]
    cell = style.fit(height, width, _ROW, (_SIDE - 0.1) / 2)
    total_width = 0.25 + _NAMES + 2 * _SIDE + _GAP + _BARS
    total_height = _row_top(5, cell) + 0.36
    figure, axes = style.page(total_width, total_height)
    style.write(axes, 0.25, 0.18, title, style.TITLE_SIZE, weight="bold")
    low, high = _amplitude_range(data)
    for modality in Modality:
        left = 0.25 + _NAMES + modality.code * (_SIDE + _GAP)
        _heading(axes, left, modality)
        _draw_column(axes, data.column(modality), left, cell, (low, high))
        _captions(axes, modality, left + _SIDE / 2, cell)
    _names(axes, cell)
    right = 0.25 + _NAMES + 2 * _SIDE + _GAP
    _bar(axes, right, _row_top(1, cell), cell[0], AMPLITUDE_COLOURS, [_signed(high), _signed(low)])
    _bar(axes, right, _row_top(2, cell), cell[0], PHASE_COLOURS, ["π", "0", "−π"])
    note = "(b) colour: log₁₀ of the amplitude, the same scale for both.  (d), (e) stretched to 1–99 %."
    style.write(axes, 0.25, total_height - 0.28, note, style.SMALL_SIZE, color=style.FAINT)
    return figure


def _row_top(row: int, cell: tuple[float, float]) -> float:
    """Inches from the page's top to a row's images."""
    return _TOP + row * (cell[0] + _ROW_GAP) + max(0, row - 3) * _CAPTION


def _heading(axes: Axes, left: float, modality: Modality) -> None:
    style.write(
        axes,
        left + _SIDE / 2,
        _TOP - 0.3,
        modality.value,
        style.TEXT_SIZE + 1,
        ha="center",
        weight="bold",
        color=style.MODALITY_COLOUR[modality],
    )


def _names(axes: Axes, cell: tuple[float, float]) -> None:
    """Write each row's letter, name and what is to be seen."""
    rows = (
        ("(a)", "Image", ""),
        ("(b)", "Amplitude", "zero frequency\nin the middle"),
        ("(c)", "Phase", "zero frequency\nin the middle"),
        ("(d)", "Swapped", "phase of this image,\namplitude of the other"),
        ("(e)", "Phase only and\namplitude only", "with a constant\namplitude; with a\nphase of 0"),
    )
    for row, (letter, name, what) in enumerate(rows):
        top = _row_top(row, cell)
        style.write(axes, 0.25, top, letter, weight="bold")
        style.write(axes, 0.55, top, name, weight="bold")
        below = top + 0.21 + 0.155 * name.count("\n")
        style.write(axes, 0.55, below, what, style.SMALL_SIZE, color=style.FAINT, linespacing=1.3)


def _draw_column(
    axes: Axes,
    column: SpectrumColumn,
    left: float,
    cell: tuple[float, float],
    amplitudes: tuple[float, float],
) -> None:
    """Place one modality's six images."""
    shown = (
        column.image,
        _coloured(np.fft.fftshift(_log(column.amplitude)), AMPLITUDE_COLOURS, *amplitudes),
        _coloured(np.fft.fftshift(column.phase), PHASE_COLOURS, -np.pi, np.pi),
        stretched(column.swapped),
    )
    middle = left + _SIDE / 2
    for row, image in enumerate(shown):
        style.place(axes, image, (middle - cell[1] / 2, _row_top(row, cell), cell[1], cell[0]))
    top = _row_top(4, cell)
    phase_only = stretched(column.phase_only, about_zero=True)
    amplitude_only = stretched(np.fft.fftshift(column.amplitude_only, axes=(0, 1)))
    style.place(axes, phase_only, (middle - 0.05 - cell[1], top, cell[1], cell[0]))
    style.place(axes, amplitude_only, (middle + 0.05, top, cell[1], cell[0]))


def _captions(axes: Axes, modality: Modality, middle: float, cell: tuple[float, float]) -> None:
    """Say beneath rows d and e what each image is made of."""
    swapped = f"{modality.value} phase, {modality.other.value} amplitude"
    captions = (
        (3, middle, swapped),
        (4, middle - 0.05 - cell[1] / 2, "phase only"),
        (4, middle + 0.05 + cell[1] / 2, "amplitude only"),
    )
    for row, x, text in captions:
        style.write(axes, x, _row_top(row, cell) + cell[0] + 0.05, text, style.SMALL_SIZE, ha="center")


def _signed(value: float) -> str:
    """A number with one decimal and a real minus sign."""
    return f"{value:.1f}".replace("-", "−")


def _log(amplitude: np.ndarray) -> np.ndarray:
    """log₁₀ of an amplitude, floored where rounding is all that is left of it."""
    return np.log10(np.maximum(amplitude.astype(np.float64), 1e-6))


def _amplitude_range(data: PhaseSwap) -> tuple[float, float]:
    """The logarithmic amplitudes that both columns' darkest and brightest colour stand for."""
    both = np.concatenate([_log(data.visible.amplitude).ravel(), _log(data.infrared.amplitude).ravel()])
    low, high = np.percentile(both, (0.5, 99.95))
    return float(low), float(max(high, low + 0.1))


def _coloured(values: np.ndarray, name: str, low: float, high: float) -> np.ndarray:
    """(H, W, 3) colours of (H, W) values between ``low`` and ``high``."""
    shares = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.asarray(colormaps[name](shares))[..., :3]


def mirrored(half: np.ndarray, width: int, odd: bool = False) -> np.ndarray:
    """The full plane (H, W) of a half spectrum (H, W // 2 + 1): F(u, v) = conj F(−u, −v).

    Args:
        half: Amplitude or phase of the columns that ``rfft2`` keeps, unshifted.
        width: W.
        odd: True for a phase, which changes its sign where it is mirrored; False for an amplitude.
    """
    columns = np.arange(half.shape[1], width)
    rows = -np.arange(half.shape[0]) % half.shape[0]
    mirror = half[rows[:, None], width - columns]  # (H, W − W // 2 − 1)
    return np.concatenate([half, -mirror if odd else mirror], axis=1)


def stretched(values: np.ndarray, about_zero: bool = False) -> np.ndarray:
    """Map values to grey levels or colours, (H, W, 3) in [0, 1].

    Args:
        values: (H, W) or (H, W, 3), any range; channels are stretched together.
        about_zero: Map 0 to mid-grey and ± the 99th percentile of the absolute value to white and
            black; otherwise the 1st and the 99th percentile become black and white.
    """
    if about_zero:
        reach = float(np.percentile(np.abs(values), CLIP[1]))
        low, high = -reach, reach
    else:
        low, high = (float(v) for v in np.percentile(values, CLIP))
    shares = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)
    return shares if shares.ndim == 3 else np.repeat(shares[..., None], 3, axis=2)


def _bar(axes: Axes, left: float, top: float, height: float, name: str, labels: list[str]) -> None:
    """A colour bar beside a row, its labels spread from the upper end to the lower."""
    ramp = _coloured(np.linspace(1.0, 0.0, 128)[:, None], name, 0.0, 1.0)
    style.place(axes, ramp, (left, top, 0.11, height))
    for i, label in enumerate(labels):
        at = i / (len(labels) - 1)
        side = ("top", "center", "bottom")[round(at * 2)]
        style.write(axes, left + 0.16, top + at * height, label, style.SMALL_SIZE, va=side)
