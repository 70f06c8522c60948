"""Orthonormal two-dimensional Fourier transform of real maps in real arithmetic.

A spectrum is a pair (re, im) of real tensors over the half plane: (..., H, W//2 + 1), both axes
unshifted. Everything is computed in float32 (float64 stays float64), whatever the autocast: bf16
reaches no transform (METHODS 8.3). Two forms give the same numbers: ``torch.fft`` and products with
constant matrices. The second one compiles, exports without a DFT node, and is faster on small maps.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

from vireid_cli.frequency import matrices
from vireid_cli.frequency.constants import constant

Kind = Literal["auto", "fft", "matmul"]
Spectrum = tuple[Tensor, Tensor]

DENSE_POSITIONS = 200
"""Up to this many positions H·W one dense product is used, above it one product an axis."""

MATMUL_POSITIONS = {False: 100, True: 5000}
"""Up to so many positions H·W the products are the default outside of compilation and export: fewer for
contiguous maps than (true) for those whose channels lie together. There ``torch.fft`` is about as fast on
72×36 maps, but its maps are contiguous, which slows down the convolutions that follow. ``vireid bench
spectra`` shows the times of both forms."""

PHASE_FLOOR = 1e-6
"""Bins whose amplitude is at most this share of the map's largest have no phase (METHODS 2.2, 8.1)."""


def spectrum(images: Tensor, kind: Kind = "auto") -> Spectrum:
    """The orthonormal half spectrum of real maps.

    Args:
        images: (..., H, W), any floating type.
        kind: ``fft``, ``matmul``, or ``auto``: the products while compiling or exporting and for
            maps of at most ``MATMUL_POSITIONS`` positions, else ``torch.fft``.

    Returns:
        Real and imaginary part, (..., H, W//2 + 1) each.
    """
    images = real(images)
    height, width = images.shape[-2:]
    if _chosen(kind, height * width, images) == "fft":
        bins = torch.fft.rfft2(images, norm="ortho")
        # Each in one piece: vector instructions don't read every second number.
        return bins.real.contiguous(), bins.imag.contiguous()
    with _full_precision(images):
        return _forward(images)


def inverse(spectrum: Spectrum, size: tuple[int, int], kind: Kind = "auto") -> Tensor:
    """The real maps whose orthonormal half spectrum is given; the inverse of ``spectrum``.

    As ``irfft2``: the imaginary parts that a real map can't have (first column, and the last one of
    an even width) are ignored after the transform over rows.

    Args:
        spectrum: Real and imaginary part, (..., H, W//2 + 1) each.
        size: (H, W) of the maps: the half spectrum alone doesn't tell odd from even widths.
        kind: As for ``spectrum``.

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
    if _chosen(kind, height * width, re) == "fft":
        return torch.fft.irfft2(torch.complex(re, im), s=(height, width), norm="ortho")
    with _full_precision(re):
        return _inverse(re, im, size)


def amplitude(spectrum: Spectrum) -> Tensor:
    """|F| = sqrt(Re² + Im²), with gradient 0 where it is 0 (METHODS 8.1); shape of the parts."""
    size: Tensor = _Amplitude.apply(real(spectrum[0]), real(spectrum[1]))
    return size


class _Amplitude(torch.autograd.Function):
    """The backward pass in closed form: a third of the passes over the bins."""

    @staticmethod
    def forward(ctx: Any, re: Tensor, im: Tensor) -> Tensor:
        size = torch.addcmul(re * re, im, im).sqrt()
        ctx.save_for_backward(re, im, size)
        return size

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        re, im, size = ctx.saved_tensors
        # Where the size is 0 so are both parts (or nearly: their squares vanish): the divisor only has to
        # be finite then. A mask would cost more than all the rest on a CPU.
        scale = gradients[0] / size.clamp_min(torch.finfo(size.dtype).tiny ** 0.5)
        return scale * re, scale * im


def phasor(spectrum: Spectrum, floor: float = PHASE_FLOOR) -> Spectrum:
    """(cos φ, sin φ) = F/|F|: the phase without an angle.

    Bins with |F| at most ``floor`` times the largest of their map have no phase: (0, 0), and no
    gradient; the gradient elsewhere is thereby bounded by 1 / (floor · max|F|).
    """
    return unit_phasor(spectrum, amplitude(spectrum), floor)


def unit_phasor(spectrum: Spectrum, size: Tensor, floor: float = PHASE_FLOOR) -> Spectrum:
    """As ``phasor``, where the amplitude ``size`` of the spectrum is there already.

    The gradient is that of F/|F|, whether ``size`` has a graph or not.
    """
    found: Spectrum = _Phasor.apply(real(spectrum[0]), real(spectrum[1]), size.detach(), floor)
    return found


class _Phasor(torch.autograd.Function):
    """The backward pass in closed form; the amplitude takes no gradient, its part is in it.

    Masks are numbers 0 and 1: choosing by ``where`` takes a CPU ten times longer than multiplying.
    """

    @staticmethod
    def forward(ctx: Any, re: Tensor, im: Tensor, size: Tensor, floor: float) -> Spectrum:
        least = size.amax(dim=(-2, -1), keepdim=True) * floor
        scale = size.clone().gt_(least)
        scale /= size.clamp_min(torch.finfo(size.dtype).tiny ** 0.5)
        cosine, sine = re * scale, im * scale
        ctx.save_for_backward(cosine, sine, scale)
        return cosine, sine

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        cosine, sine, scale = ctx.saved_tensors
        to_cosine, to_sine = gradients
        # What turns the bin is left of the gradient, what lengthens it is not.
        turning = (to_sine * cosine - to_cosine * sine) * scale
        return -turning * sine, turning * cosine, None, None


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
    cosine, sine = phasor(spectrum(images, kind))
    taken = amplitude(spectrum(amplitude_of, kind))
    return inverse((taken * cosine, taken * sine), _size(images), kind)


def real(values: Tensor) -> Tensor:
    """The values in float32; float64 stays."""
    return values if values.dtype == torch.float64 else values.float()


def columns_to_full(width: int, like: Tensor) -> Tensor:
    """How often each stored column counts in the full plane: 1 or 2, (width//2 + 1,), as ``like``.

    A half spectrum leaves out the mirror of every column but the first and, for even widths, the
    last; sums over the full plane (Parseval, mean amplitude) need these weights.
    """
    return constant(matrices.column_counts, (width,), like)


def _chosen(kind: Kind, positions: int, maps: Tensor) -> Literal["fft", "matmul"]:
    """The form for maps of so many positions; ``maps`` are they, or a part of their half spectrum."""
    if kind != "auto":
        return kind
    # is_compiling() is true under torch.compile and torch.export; the older exporter only traces.
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.onnx.is_in_onnx_export()
    return "matmul" if traced or positions <= MATMUL_POSITIONS[channels_last(maps)] else "fft"


def _full_precision(like: Tensor) -> AbstractContextManager[None]:
    """Autocast off; entered only where it is on, so that an export holds no trace of it."""
    if torch.is_autocast_enabled(like.device.type):
        return torch.autocast(like.device.type, enabled=False)
    return nullcontext()


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]


def _forward(images: Tensor) -> Spectrum:
    """The products in the memory layout that the maps have: no transposed copy is made."""
    if channels_last(images):
        return _channels_last_forward(images)
    height, width = images.shape[-2:]
    half = width // 2 + 1
    if height * width <= DENSE_POSITIONS:
        both = images.flatten(-2) @ constant(
            matrices.dense_matrix, (height, width), images
        )  # (..., 2·H·half)
        both = both.unflatten(-1, (2, height, half))
    else:
        rows = images @ constant(matrices.row_matrix, (width,), images)  # (..., H, 2·half)
        mixed = rows.reshape(*rows.shape[:-2], 2 * height, half)  # a row's real part, then its imaginary one
        both = constant(matrices.column_matrix, (height,), images) @ mixed  # (..., 2·H, half)
        both = both.unflatten(-2, (2, height))
    re, im = both.unbind(-3)
    return re, im


def _inverse(re: Tensor, im: Tensor, size: tuple[int, int]) -> Tensor:
    if channels_last(re):
        return _channels_last_inverse(re, im, size)
    height, width = size
    if height * width <= DENSE_POSITIONS:
        both = torch.cat([re.flatten(-2), im.flatten(-2)], dim=-1)  # (..., 2·H·half)
        return (both @ constant(matrices.dense_inverse_matrix, size, re)).unflatten(-1, size)  # (..., H, W)
    both = torch.cat([re, im], dim=-2)  # (..., 2·H, half)
    mixed = constant(matrices.column_inverse_matrix, (height,), re) @ both  # (..., 2·H, half)
    rows = mixed.reshape(*mixed.shape[:-2], height, -1)  # (..., H, 2·half)
    return rows @ constant(matrices.row_inverse_matrix, (width,), re)  # (..., H, W)


def channels_last(maps: Tensor) -> bool:
    """Whether the channels of (B, C, H, W) lie together in memory."""
    return maps.dim() == 4 and maps.shape[1] > 1 and maps.stride(1) == 1


def _channels_last_forward(images: Tensor) -> Spectrum:
    """As ``_forward`` for (B, C, H, W) whose channels lie together; they are the products' columns."""
    batch, channels, height, width = images.shape
    half = width // 2 + 1
    pixels = images.permute(0, 2, 3, 1).reshape(batch * height, width, channels)
    rows = _times(constant(matrices.row_matrix, (width,), images).mT, pixels)  # (B·H, 2·half, C)
    both = _times(
        constant(matrices.column_matrix, (height,), images), rows.view(batch, 2 * height, -1)
    )  # (B, 2·H, half·C)
    # Parts are split before axes are put in order, so that gradients are joined in this layout as well.
    re, im = both.view(batch, 2, height, half, channels).unbind(1)  # (B, H, half, C)
    return re.permute(0, 3, 1, 2), im.permute(0, 3, 1, 2)


def _channels_last_inverse(re: Tensor, im: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = size
    batch, channels, _, half = re.shape
    both = torch.cat([part.permute(0, 2, 3, 1) for part in (re, im)], dim=1)  # (B, 2·H, half, C)
    mixed = _times(
        constant(matrices.column_inverse_matrix, (height,), re), both.flatten(2)
    )  # (B, 2·H, half·C)
    rows = mixed.view(batch * height, 2 * half, channels)
    pixels = _times(constant(matrices.row_inverse_matrix, (width,), re).mT, rows)  # (B·H, W, C)
    return pixels.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _times(matrix: Tensor, columns: Tensor) -> Tensor:
    """The matrix (M, K) times each of a batch (B, K, N): (B, M, N)."""
    return torch.bmm(matrix.expand(len(columns), -1, -1), columns)
