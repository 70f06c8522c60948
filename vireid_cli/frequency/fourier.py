"""Orthonormal two-dimensional Fourier transform of real maps in real arithmetic.

A spectrum is a pair (re, im) of real tensors over the half plane: (..., H, W//2 + 1), both axes
unshifted. Everything is computed in float32 (float64 stays float64), whatever the autocast: bf16 reaches
no transform (docs/methods.md#numerical-precision). Two forms give the same numbers: ``torch.fft`` and
products with constant matrices. The second one compiles, exports without a DFT node, and is faster on
small maps.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from vireid_cli.frequency import matrices, products
from vireid_cli.frequency.constants import constant
from vireid_cli.frequency.products import channels_last, real, traced

Kind = Literal["auto", "fft", "matmul"]
Spectrum = tuple[Tensor, Tensor]

MATMUL_POSITIONS = {False: 100, True: 5000}
"""Up to so many positions H·W the products are the default outside of compilation and export: fewer for
contiguous maps than (true) for those whose channels lie together. There ``torch.fft`` is about as fast on
72×36 maps, but its maps are contiguous, which slows down the convolutions that follow. ``vireid bench
spectra`` shows the times of both forms."""

GPU_POSITIONS = {False: 200, True: 5000}
"""The same on a GPU: one dense product is faster there than ``torch.fft`` on contiguous maps, and one an axis
slower; where channels lie together products are faster on all maps of the field's networks."""

PHASE_FLOOR = 1e-6
"""Bins whose amplitude is at most this share of the map's largest have no phase.

See docs/methods.md#numerical-precision.
"""


def spectrum(images: Tensor, kind: Kind = "auto", ordered: bool = True) -> Spectrum:
    """The orthonormal half spectrum of real maps.

    Args:
        images: (..., H, W), any floating type.
        kind: ``fft``, ``matmul``, or ``auto``: the products while compiling or exporting and for
            maps of at most ``MATMUL_POSITIONS`` positions (``GPU_POSITIONS``), else ``torch.fft``.
        ordered: Rows by frequency. If not, they may be in another order, the same for all spectra of one
            shape, layout and kind: cheaper, where all bins are treated alike.

    Returns:
        Real and imaginary part, (..., H, W//2 + 1) each.
    """
    height, width = images.shape[-2:]
    if form(kind, height * width, images) == "fft":
        bins = torch.fft.rfft2(real(images), norm="ortho")
        # Each in one piece: vector instructions don't read every second number.
        return bins.real.contiguous(), bins.imag.contiguous()
    return products.forward(images, ordered)


def inverse(
    spectrum: Spectrum,
    size: tuple[int, int],
    kind: Kind = "auto",
    ordered: bool = True,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """The real maps whose orthonormal half spectrum is given; the inverse of ``spectrum``.

    As ``irfft2``: the imaginary parts that a real map can't have (first column, and the last one of
    an even width) are ignored after the transform over rows.

    Args:
        spectrum: Real and imaginary part, (..., H, W//2 + 1) each.
        size: (H, W) of the maps: the half spectrum alone doesn't tell odd from even widths.
        kind, ordered: As for ``spectrum``, and the same as there if not ``ordered``.
        dtype: Of the maps; that of the spectrum if None. All is computed in float32 or float64.

    Returns:
        (..., H, W).

    Raises:
        ValueError: The half spectrum is not of that size.
    """
    re, im = real(spectrum[0]), real(spectrum[1])
    height, width = size
    if tuple(re.shape[-2:]) != (height, width // 2 + 1):
        expected = (height, width // 2 + 1)
        raise ValueError(f"a {height}×{width} map has a half spectrum {expected}, not {tuple(re.shape[-2:])}")
    if form(kind, height * width, re) == "fft":
        return torch.fft.irfft2(torch.complex(re, im), s=(height, width), norm="ortho").to(dtype or re.dtype)
    return products.inverse(re, im, size, dtype or re.dtype, ordered)


def amplitude(spectrum: Spectrum) -> Tensor:
    """|F| = sqrt(Re² + Im²), with gradient 0 where it is 0; shape of the parts.

    See docs/methods.md#numerical-precision.
    """
    size: Tensor = _Amplitude.apply(real(spectrum[0]), real(spectrum[1]))
    return size


def magnitude(re: Tensor, im: Tensor) -> Tensor:
    """sqrt(Re² + Im²) for functions that have their own gradient; ``amplitude`` has one."""
    return torch.addcmul(re * re, im, im).sqrt()


def above_zero(size: Tensor) -> Tensor:
    """Amplitudes that can be divided by, and their squares, too.

    Where the size is 0 so are both parts (or nearly: their squares vanish): the divisor only has to be above
    0 then. A mask would cost more than all the rest on a CPU.
    """
    return size.clamp_min(torch.finfo(size.dtype).tiny ** 0.5)


class _Amplitude(torch.autograd.Function):
    """The backward pass in closed form: a third of the passes over the bins."""

    @staticmethod
    def forward(ctx: Any, re: Tensor, im: Tensor) -> Tensor:
        size = magnitude(re, im)
        ctx.save_for_backward(re, im, size)
        return size

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        re, im, size = ctx.saved_tensors
        scale = gradients[0] / above_zero(size)
        return scale * re, scale * im


def phasor(spectrum: Spectrum, floor: float = PHASE_FLOOR) -> Spectrum:
    """(cos φ, sin φ) = F/|F|: the phase without an angle.

    Bins with |F| at most ``floor`` times the largest of their map have no phase: (0, 0), and no
    gradient; the gradient elsewhere is thereby bounded by 1 / (floor · max|F|).
    """
    return unit_phasor(spectrum, amplitude(spectrum), floor)


def unit_phasor(
    spectrum: Spectrum, size: Tensor, floor: float = PHASE_FLOOR, least: Tensor | None = None
) -> Spectrum:
    """As ``phasor``, where the amplitude ``size`` of the spectrum is there already.

    The gradient is that of F/|F|, whether ``size`` has a graph or not. ``least`` is the amplitude up to which
    bins have no phase, where that is known: a part of a spectrum doesn't show the largest of all.
    """
    if least is None:
        least = least_amplitude(size, floor)
    found: Spectrum = _Phasor.apply(real(spectrum[0]), real(spectrum[1]), size.detach(), least)
    return found


def least_amplitude(size: Tensor, floor: float = PHASE_FLOOR) -> Tensor:
    """Up to which amplitude bins of each map have no phase: (..., H, half) → (..., 1, 1), no gradient."""
    return size.detach().amax(dim=(-2, -1), keepdim=True) * floor


class _Phasor(torch.autograd.Function):
    """The backward pass in closed form; the amplitude takes no gradient, its part is in it.

    Masks are numbers 0 and 1: choosing by ``where`` takes a CPU ten times longer than multiplying.
    """

    @staticmethod
    def forward(ctx: Any, re: Tensor, im: Tensor, size: Tensor, least: Tensor) -> Spectrum:
        scale = size.clone().gt_(least)
        scale /= above_zero(size)
        cosine, sine = re * scale, im * scale
        ctx.save_for_backward(cosine, sine, scale)
        return cosine, sine

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        cosine, sine, scale = ctx.saved_tensors
        to_cosine, to_sine = gradients
        # What turns the bin is left of the gradient, what lengthens it is not.
        turning = (to_sine * cosine).addcmul_(to_cosine, sine, value=-1.0).mul_(scale)
        to_im = turning * cosine
        return turning.neg_().mul_(sine), to_im, None, None


def polar(size: Tensor, phasor: Spectrum) -> Spectrum:
    """The spectrum |F|·(cos φ, sin φ); all of one shape."""
    spectrum: Spectrum = _Polar.apply(size, *phasor)
    return spectrum


class _Polar(torch.autograd.Function):
    """One pass less over the bins than autograd's products."""

    @staticmethod
    def forward(ctx: Any, size: Tensor, cosine: Tensor, sine: Tensor) -> Spectrum:
        ctx.save_for_backward(size, cosine, sine)
        return size * cosine, size * sine

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        size, cosine, sine = ctx.saved_tensors
        to_re, to_im = gradients
        return torch.addcmul(to_re * cosine, to_im, sine), to_re * size, to_im * size


def phase(spectrum: Spectrum, floor: float = PHASE_FLOOR) -> Tensor:
    """φ = atan2(Im, Re) in radians, (−π, π]; 0 without gradient where ``phasor`` has no phase.

    For figures, and for methods that scale the angle itself; all others are better off with
    ``phasor``, which has no wrap.
    """
    cosine, sine = phasor(spectrum, floor)
    known = (cosine != 0) | (sine != 0)
    return torch.where(known, torch.atan2(sine, torch.where(known, cosine, 1.0)), 0.0)


def phase_only(images: Tensor, amplitude: Tensor | float = 1.0, kind: Kind = "auto") -> Tensor:
    """The maps rebuilt from their phase with a constant amplitude.

    Args:
        images: (..., H, W).
        amplitude: The constant; broadcasts against (..., H, W//2 + 1).
        kind: As for ``spectrum``.

    Returns:
        (..., H, W).
    """
    cosine, sine = phasor(spectrum(images, kind))
    return inverse((amplitude * cosine, amplitude * sine), _size(images), kind)


def amplitude_only(images: Tensor, kind: Kind = "auto") -> Tensor:
    """The maps (..., H, W) rebuilt from their amplitude with phase 0 everywhere."""
    size = amplitude(spectrum(images, kind))
    return inverse((size, torch.zeros_like(size)), _size(images), kind)


def swap_amplitude(images: Tensor, amplitude_of: Tensor, kind: Kind = "auto") -> Tensor:
    """The maps with the phase of ``images`` and the amplitude of ``amplitude_of``: X_a·|X_b|/|X_a|.

    Bins of ``images`` without a phase (see ``phasor``) become 0.

    Args:
        images: (..., H, W), whose phase is kept.
        amplitude_of: (..., H, W), whose amplitude is taken.
        kind: As for ``spectrum``.

    Returns:
        (..., H, W).
    """
    taken = amplitude(spectrum(amplitude_of, kind))
    return inverse(polar(taken, phasor(spectrum(images, kind))), _size(images), kind)


def columns_to_full(width: int, like: Tensor) -> Tensor:
    """How often each stored column counts in the full plane: 1 or 2, (width//2 + 1,), as ``like``.

    A half spectrum leaves out the mirror of every column but the first and, for even widths, the
    last; sums over the full plane (Parseval, mean amplitude) need these weights.
    """
    return constant(matrices.column_counts, (width,), like)


def form(kind: Kind, positions: int, maps: Tensor) -> Literal["fft", "matmul"]:
    """Which form ``kind`` is for maps of so many positions; ``maps`` are they, or part of their spectrum."""
    if kind != "auto":
        return kind
    most = GPU_POSITIONS if maps.is_cuda else MATMUL_POSITIONS
    return "matmul" if traced() or positions <= most[channels_last(maps)] else "fft"


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]
