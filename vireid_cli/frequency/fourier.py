"""Orthonormal two-dimensional Fourier transform of real maps in real arithmetic.

A spectrum is a pair (re, im) of real tensors over the half plane: (..., H, W//2 + 1), both axes unshifted.
Transforms run in float32 (float64 stays float64), also under autocast, so that none of them runs in bf16
(docs/methods.md#numerical-precision). There are two equivalent implementations: ``torch.fft`` and products
with constant matrices. The second compiles, exports without a DFT node, and is faster on small maps.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from vireid_cli.counts import size_name
from vireid_cli.frequency import matrices, products
from vireid_cli.frequency.constants import constant
from vireid_cli.frequency.products import channels_last, real, traced

Kind = Literal["auto", "fft", "matmul"]
Spectrum = tuple[Tensor, Tensor]

MATMUL_POSITIONS = {False: 100, True: 5000}
"""Largest number of positions H·W for which products are the default outside of compilation and export.

The key states whether maps are channels-last. For these ``torch.fft`` is about as fast on 72x36 maps, but
it returns contiguous maps, which slows down the convolutions that follow. ``vireid bench spectra`` prints
the times
of both implementations."""

GPU_POSITIONS = {False: 200, True: 5000}
"""The same limits on a GPU.

On contiguous maps a dense product is faster than ``torch.fft`` and a product per axis is slower. On
channels-last
maps products are faster for all map sizes of the field's networks."""

PHASE_FLOOR = 1e-6
"""Amplitude, relative to the largest of the map, up to which a bin has no phase.

See docs/methods.md#numerical-precision.
"""


def spectrum(images: Tensor, kind: Kind = "auto", ordered: bool = True) -> Spectrum:
    """Orthonormal half spectrum of real maps.

    Args:
        images: (..., H, W) of any floating type.
        kind: ``fft``, ``matmul`` (products) or ``auto``. ``auto`` uses products while compiling or
            exporting and for maps of at most ``MATMUL_POSITIONS`` (``GPU_POSITIONS``) positions, else
            ``torch.fft``.
        ordered: Whether rows are sorted by frequency. False allows another order, the same for all spectra of
            one shape, layout and kind, which is cheaper for operations that treat all bins alike.

    Returns:
        Real and imaginary part, (..., H, W//2 + 1) each.
    """
    height, width = images.shape[-2:]
    if form(kind, height * width, images) == "fft":
        bins = torch.fft.rfft2(real(images), norm="ortho")
        # Separate dense tensors, because vector instructions do not read every second number.
        return bins.real.contiguous(), bins.imag.contiguous()
    return products.forward(images, ordered)


def inverse(
    spectrum: Spectrum,
    size: tuple[int, int],
    kind: Kind = "auto",
    ordered: bool = True,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Real maps of an orthonormal half spectrum; the inverse of ``spectrum``.

    As in ``irfft2``, imaginary parts that no real map has (first column, and last column of an even width)
    are ignored after the transform over rows.

    Args:
        spectrum: Real and imaginary part, (..., H, W//2 + 1) each.
        size: (H, W) of the maps in pixels; a half spectrum does not determine whether W is odd.
        kind, ordered: See ``spectrum``. If not ``ordered``, both calls need the same kind.
        dtype: Type of the maps; None selects the type of the spectrum. Computation is in float32 or float64.

    Returns:
        (..., H, W).

    Raises:
        ValueError: The half spectrum does not have this size.
    """
    re, im = real(spectrum[0]), real(spectrum[1])
    height, width = size
    if tuple(re.shape[-2:]) != (height, width // 2 + 1):
        expected = (height, width // 2 + 1)
        raise ValueError(
            f"the half spectrum of a {size_name((height, width))} map has shape {expected}, "
            f"not {tuple(re.shape[-2:])}"
        )
    if form(kind, height * width, re) == "fft":
        return torch.fft.irfft2(torch.complex(re, im), s=(height, width), norm="ortho").to(dtype or re.dtype)
    return products.inverse(re, im, size, dtype or re.dtype, ordered)


def amplitude(spectrum: Spectrum) -> Tensor:
    """|F| = sqrt(Re² + Im²), of the shape of the parts; the gradient is 0 at |F| = 0.

    See docs/methods.md#numerical-precision.
    """
    size: Tensor = _Amplitude.apply(real(spectrum[0]), real(spectrum[1]))
    return size


def magnitude(re: Tensor, im: Tensor) -> Tensor:
    """sqrt(Re² + Im²) for functions with a custom gradient; ``amplitude`` is differentiable."""
    return torch.addcmul(re * re, im, im).sqrt()


def above_zero(size: Tensor) -> Tensor:
    """Clamp amplitudes from below, so that they and their squares are safe divisors.

    If the amplitude is 0, both parts are 0 or their squares underflow, and any positive divisor is right.
    On a CPU a mask would cost more than the rest of the function.
    """
    return size.clamp_min(torch.finfo(size.dtype).tiny ** 0.5)


class _Amplitude(torch.autograd.Function):
    """Amplitude with a backward pass in closed form, a third of autograd's passes over the bins."""

    @staticmethod
    def forward(ctx: Any, re: Tensor, im: Tensor) -> Tensor:
        """Compute |F|."""
        size = magnitude(re, im)
        ctx.save_for_backward(re, im, size)
        return size

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of Re and Im; 0 at |F| = 0."""
        re, im, size = ctx.saved_tensors
        scale = gradients[0] / above_zero(size)
        return scale * re, scale * im


def phasor(spectrum: Spectrum, floor: float = PHASE_FLOOR) -> Spectrum:
    """(cos φ, sin φ) = F/|F|, the phase as a unit vector.

    Bins with |F| of at most ``floor`` times the largest of their map have no phase: they are (0, 0) without
    gradient. This bounds the gradient of other bins by 1 / (floor · max|F|).
    """
    return unit_phasor(spectrum, amplitude(spectrum), floor)


def unit_phasor(
    spectrum: Spectrum, size: Tensor, floor: float = PHASE_FLOOR, least: Tensor | None = None
) -> Spectrum:
    """Compute ``phasor`` from a spectrum and its amplitude ``size``.

    The gradient is that of F/|F|, with or without a graph of ``size``. ``least`` is the amplitude up to which
    bins have no phase. It is needed for a part of a spectrum, which may lack the largest amplitude.
    """
    if least is None:
        least = least_amplitude(size, floor)
    phases: Spectrum = _Phasor.apply(real(spectrum[0]), real(spectrum[1]), size.detach(), least)
    return phases


def least_amplitude(size: Tensor, floor: float = PHASE_FLOOR) -> Tensor:
    """Amplitude of each map up to which bins have no phase: (..., H, half) → (..., 1, 1), no gradient."""
    return size.detach().amax(dim=(-2, -1), keepdim=True) * floor


class _Phasor(torch.autograd.Function):
    """Phasor with a backward pass in closed form that includes the gradient through the amplitude.

    Masks are numbers 0 and 1, because ``where`` takes ten times longer on a CPU than a product.
    """

    @staticmethod
    def forward(ctx: Any, re: Tensor, im: Tensor, size: Tensor, least: Tensor) -> Spectrum:
        """Compute F/|F|, and 0 for amplitudes up to ``least``."""
        scale = size.clone().gt_(least)
        scale /= above_zero(size)
        cosine, sine = re * scale, im * scale
        ctx.save_for_backward(cosine, sine, scale)
        return cosine, sine

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Gradients of Re and Im."""
        cosine, sine, scale = ctx.saved_tensors
        to_cosine, to_sine = gradients
        # Only the component of the gradient that rotates the bin remains.
        turning = (to_sine * cosine).addcmul_(to_cosine, sine, value=-1.0).mul_(scale)
        to_im = turning * cosine
        return turning.neg_().mul_(sine), to_im, None, None


def polar(size: Tensor, phasor: Spectrum) -> Spectrum:
    """Spectrum |F|·(cos φ, sin φ); all arguments have the same shape."""
    spectrum: Spectrum = _Polar.apply(size, *phasor)
    return spectrum


class _Polar(torch.autograd.Function):
    """Product with one pass less over the bins than autograd."""

    @staticmethod
    def forward(ctx: Any, size: Tensor, cosine: Tensor, sine: Tensor) -> Spectrum:
        """Compute (A cos φ, A sin φ)."""
        ctx.save_for_backward(size, cosine, sine)
        return size * cosine, size * sine

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of amplitude, cosine and sine."""
        size, cosine, sine = ctx.saved_tensors
        to_re, to_im = gradients
        return torch.addcmul(to_re * cosine, to_im, sine), to_re * size, to_im * size


def phase(spectrum: Spectrum, floor: float = PHASE_FLOOR) -> Tensor:
    """φ = atan2(Im, Re) in radians, (−π, π]; 0 without gradient where ``phasor`` has no phase.

    Use it for figures and for methods that scale the angle. Otherwise prefer ``phasor``, which does not wrap.
    """
    cosine, sine = phasor(spectrum, floor)
    has_phase = (cosine != 0) | (sine != 0)
    return torch.where(has_phase, torch.atan2(sine, torch.where(has_phase, cosine, 1.0)), 0.0)


def phase_only(images: Tensor, amplitude: Tensor | float = 1.0, kind: Kind = "auto") -> Tensor:
    """Reconstruct maps from their phase with a constant amplitude.

    Args:
        images: (..., H, W).
        amplitude: Constant amplitude; broadcasts against (..., H, W//2 + 1).
        kind: See ``spectrum``.

    Returns:
        (..., H, W).
    """
    cosine, sine = phasor(spectrum(images, kind))
    return inverse((amplitude * cosine, amplitude * sine), _size(images), kind)


def amplitude_only(images: Tensor, kind: Kind = "auto") -> Tensor:
    """Reconstruct maps (..., H, W) from their amplitude with phase 0."""
    size = amplitude(spectrum(images, kind))
    return inverse((size, torch.zeros_like(size)), _size(images), kind)


def swap_amplitude(images: Tensor, amplitude_of: Tensor, kind: Kind = "auto") -> Tensor:
    """Combine the phase of ``images`` with the amplitude of ``amplitude_of``: X_a·|X_b|/|X_a|.

    Bins of ``images`` without a phase (see ``phasor``) become 0.

    Args:
        images: (..., H, W), source of the phase.
        amplitude_of: (..., H, W), source of the amplitude.
        kind: See ``spectrum``.

    Returns:
        (..., H, W).
    """
    amplitudes = amplitude(spectrum(amplitude_of, kind))
    return inverse(polar(amplitudes, phasor(spectrum(images, kind))), _size(images), kind)


def columns_to_full(width: int, like: Tensor) -> Tensor:
    """Multiplicity of each stored column in the full plane, 1 or 2: (width//2 + 1,), type of ``like``.

    A half spectrum omits the mirror of every column except the first and, for even widths, the last. Sums
    over the full plane (Parseval, mean amplitude) need these weights.
    """
    return constant(matrices.column_counts, (width,), like)


def form(kind: Kind, positions: int, maps: Tensor) -> Literal["fft", "matmul"]:
    """Resolve ``kind`` for maps of ``positions`` pixels, given the maps or a part of their spectrum."""
    if kind != "auto":
        return kind
    most = GPU_POSITIONS if maps.is_cuda else MATMUL_POSITIONS
    return "matmul" if traced() or positions <= most[channels_last(maps)] else "fft"


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]
