"""Fourier transform of real maps as products with constant matrices, in the memory layout of the maps.

``fourier`` chooses between these and ``torch.fft``. Maps are float32 or float64 here; a spectrum is
(re, im) over the half plane, (..., H, W//2 + 1) each. Channels-last maps are transformed without a
transposed copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from vireid_cli.frequency import factored, matrices
from vireid_cli.frequency.constants import constant
from vireid_cli.frequency.factored import Pair

DENSE_POSITIONS = 200
"""Largest number of positions H·W for one dense product; larger maps use one product per axis."""

BLOCK = 2**20
"""Number of values in a block of maps."""


_plain = False


def traced() -> bool:
    """Whether a compiler or an exporter traces the code, which then uses plain products only."""
    # is_compiling() is true under torch.compile and torch.export; the older exporter only traces.
    return torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.onnx.is_in_onnx_export()


def blocks(maps: Tensor, like: Tensor | None = None) -> list[Tensor]:
    """Split (B, C, H, W) along the batch into blocks small enough for the processor's cache.

    On a GPU and while tracing, the result is one block.

    Args:
        maps: Maps to split.
        like: Maps that determine size and device of the blocks; None uses ``maps``.
    """
    like = maps if like is None else like
    if traced() or not like.is_cpu or len(like) < 2:
        return [maps]
    return list(maps.split(max(1, BLOCK // max(1, like[0].numel()))))


def together(pieces: list[Tensor]) -> Tensor:
    """Concatenate processed ``blocks`` to one batch."""
    return torch.cat(pieces) if len(pieces) > 1 else pieces[0]


def channels_last(maps: Tensor) -> bool:
    """Whether (B, C, H, W) maps are in channels-last memory layout."""
    return maps.dim() == 4 and maps.shape[1] > 1 and maps.stride(1) == 1


def forward(images: Tensor, ordered: bool) -> Pair:
    """Half spectrum of maps (..., H, W) of any floating type; rows in any order if not ``ordered``."""
    if not ordered and _factored(images):
        return factored.forward(images)
    with factored.full_precision(images):
        return _forward(real(images))


def inverse(re: Tensor, im: Tensor, size: tuple[int, int], dtype: torch.dtype, ordered: bool) -> Tensor:
    """Maps (..., H, W), in ``dtype``, of a half spectrum from ``forward`` with the same ``ordered``."""
    if not ordered and _factored(re):
        return factored.inverse(re, im, size, dtype)
    with factored.full_precision(re):
        return _inverse(re, im, size).to(dtype)


@contextmanager
def plain() -> Iterator[None]:
    """Context in which products are those that a compiler or an exporter traces."""
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


def real(values: Tensor) -> Tensor:
    """Convert values to float32; float64 stays."""
    return values if values.dtype == torch.float64 else values.float()


def _factored(maps: Tensor) -> bool:
    return (maps.is_cpu or maps.is_cuda) and channels_last(maps) and not (_plain or traced())


def _forward(images: Tensor) -> Pair:
    if channels_last(images):
        return _channels_last_forward(images)
    height, width = images.shape[-2:]
    half = width // 2 + 1
    if height * width <= DENSE_POSITIONS:
        matrix = constant(matrices.dense_matrix, (height, width), images)
        both = (images.flatten(-2) @ matrix).unflatten(-1, (2, height, half))  # (..., 2, H, half)
    else:
        rows = images @ constant(matrices.row_matrix, (width,), images)  # (..., H, 2·half)
        mixed = rows.reshape(
            *rows.shape[:-2], 2 * height, half
        )  # real part of a row, then its imaginary part
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


def _channels_last_forward(images: Tensor) -> Pair:
    """``forward`` for channels-last (B, C, H, W) maps; channels are the columns of the products."""
    batch, channels, height, width = images.shape
    half = width // 2 + 1
    pixels = images.permute(0, 2, 3, 1).reshape(batch * height, width, channels)
    rows = factored.times(constant(matrices.row_matrix, (width,), images).mT, pixels)  # (B·H, 2·half, C)
    both = factored.times(
        constant(matrices.column_matrix, (height,), images), rows.view(batch, 2 * height, -1)
    )  # (B, 2·H, half·C)
    # Parts are split before the axes are permuted, so that gradients are concatenated in this layout too.
    re, im = both.view(batch, 2, height, half, channels).unbind(1)  # (B, H, half, C)
    return re.permute(0, 3, 1, 2), im.permute(0, 3, 1, 2)


def _channels_last_inverse(re: Tensor, im: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = size
    batch, channels, _, half = re.shape
    both = torch.cat([part.permute(0, 2, 3, 1) for part in (re, im)], dim=1)  # (B, 2·H, half, C)
    mixed = factored.times(
        constant(matrices.column_inverse_matrix, (height,), re), both.flatten(2)
    )  # (B, 2·H, half·C)
    rows = mixed.view(batch * height, 2 * half, channels)
    pixels = factored.times(constant(matrices.row_inverse_matrix, (width,), re).mT, rows)  # (B·H, W, C)
    return pixels.view(batch, height, width, channels).permute(0, 3, 1, 2)
