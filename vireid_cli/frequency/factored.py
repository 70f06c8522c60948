"""Products of ``products`` for channels-last maps: no copies, and fewer multiply-adds on a CPU.

The transform over a row of W pixels is one product. The transform over H rows, H = P·Q, is two products of
P and of Q rows (Cooley and Tukey 1965), with the twiddle factors in the matrices of the second one: H·(P +
Q) instead of H² complex multiply-adds per column. A GPU gains nothing from small products and uses P = 1.
The two directions are a chain of products and its transpose, and so are their gradients, written out here.
Rows of a spectrum stay in the order of the products, bin p + P·q at row Q·p + q, which does not matter to
operations that treat all bins alike. Both parts of a spectrum are dense in memory, which fast kernels need.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from vireid_cli.frequency import matrices
from vireid_cli.frequency.constants import constant

Pair = tuple[Tensor, Tensor]


def forward(images: Tensor) -> Pair:
    """Half spectrum of maps (B, C, H, W): (B, C, H, W//2 + 1) twice, float32 (float64 stays)."""
    spectrum: Pair = _Forward.apply(images)
    return spectrum


def inverse(re: Tensor, im: Tensor, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Maps (B, C, H, W) of a half spectrum, computed in its type and returned in ``dtype``."""
    maps: Tensor = _Inverse.apply(re, im, size[1], dtype)
    return maps


def factors(height: int, like: Tensor) -> tuple[int, int]:
    """P ≤ Q with P·Q = H and the smallest difference on a CPU; P = 1 on other devices."""
    if not like.is_cpu:
        return 1, height
    least = max(n for n in range(1, int(height**0.5) + 1) if height % n == 0)
    return least, height // least


class _Forward(torch.autograd.Function):
    """Half spectrum of maps, with the inverse factors as backward pass."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Pair:
        """Transform maps (B, C, H, W) to bins."""
        ctx.width, ctx.dtype = images.shape[-1], images.dtype
        work = torch.promote_types(images.dtype, torch.float32)
        return _analyse(images, constant(matrices.row_matrix, (ctx.width,), images.new_empty(0, dtype=work)))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Transform the gradients of the bins to pixels."""
        re, im = gradients
        return _synthesise(re, im, constant(matrices.row_matrix, (ctx.width,), re), ctx.dtype)


class _Inverse(torch.autograd.Function):
    """Maps of a half spectrum, with the forward factors as backward pass."""

    @staticmethod
    def forward(ctx: Any, re: Tensor, im: Tensor, width: int, dtype: torch.dtype) -> Tensor:
        """Transform bins to maps (B, C, H, W)."""
        ctx.row = constant(matrices.row_inverse_matrix, (width,), re).mT
        return _synthesise(re, im, ctx.row, dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Transform the gradients of the pixels to bins."""
        return *_analyse(gradients[0], ctx.row), None, None


def _analyse(maps: Tensor, row: Tensor) -> Pair:
    """Pixels to bins: (B, C, H, W) and matrix (W, 2·half) → (B, C, H, half) twice, in the matrix's type."""
    batch, channels, height, width = maps.shape
    first, second = factors(height, row)
    # Row n = Q·p + q moves to (q, p), so that the rows of one product are contiguous.
    pixels = maps.permute(0, 2, 3, 1).unflatten(1, (first, second)).transpose(1, 2)
    pixels = _written(pixels, row.dtype)  # (B, Q, P, W, C)
    with full_precision(row):
        mixed = times(row.mT, pixels.view(batch * height, width, channels))  # (B·Q·P, 2·half, C)
        mixed = mixed.view(batch * second, 2 * first, -1)  # rows (P, part)
        if first > 1:
            mixed = times(constant(matrices.first_columns, (first,), row), mixed)  # rows (part, bins of P)
        pieces = mixed.view(batch, 2 * second, first, -1).transpose(1, 2)  # (B, P, (Q, part), half·C)
        matrix = constant(matrices.second_columns, (first, second), row)
        re, im = (_each(half, pieces) for half in matrix.split(second, dim=1))  # (B, P, Q, half·C)
    size = (batch, height, row.shape[1] // 2, channels)
    return re.view(size).permute(0, 3, 1, 2), im.view(size).permute(0, 3, 1, 2)


def _synthesise(re: Tensor, im: Tensor, row: Tensor, dtype: torch.dtype) -> Tensor:
    """Transpose of ``_analyse``, bins to pixels: (B, C, H, half) twice → (B, C, H, W) of ``dtype``."""
    batch, channels, height, half = re.shape
    first, second = factors(height, re)
    parts = [part.permute(0, 2, 3, 1).reshape(batch, first, second, -1) for part in (re, im)]
    with full_precision(re):
        if first == 1:
            matrix = constant(matrices.second_columns, (first, second), re).mT  # to rows (Q, part)
        else:
            matrix = constant(matrices.second_columns_back, (first, second), re)  # to rows (part, Q)
        mixed = _each(matrix[..., :second], parts[0], matrix[..., second:], parts[1])
        if first > 1:
            pieces = mixed.view(batch, 2 * first, second, -1).transpose(1, 2)  # (B, Q, (bins of P, part), …)
            matrix = constant(matrices.first_columns_back, (first,), re)
            mixed = _each(matrix.expand(second, -1, -1), pieces)
        pixels = times(row, mixed.view(batch * height, 2 * half, channels))  # (B·Q·P, W, C)
    maps = _written(pixels.view(batch, second, first, -1, channels).transpose(1, 2), dtype)
    return maps.flatten(1, 2).permute(0, 3, 1, 2)


def _each(matrix: Tensor, pieces: Tensor, other: Tensor | None = None, more: Tensor | None = None) -> Tensor:
    """Products of matrices (N, M, K) with pieces (B, N, K, L), plus ``other`` times ``more``: (B, N, M, L).

    Maps are processed one by one if N > 1: their pieces are strided in memory, and one product over all maps
    would copy them.
    """
    if len(matrix) == 1:
        products = times(matrix[0], pieces[:, 0])
        if other is not None and more is not None:
            products.baddbmm_(other.expand(len(products), -1, -1), more[:, 0])
        return products.unsqueeze(1)
    products = pieces.new_empty(len(pieces), *matrix.shape[:2], pieces.shape[-1])
    for index, product in enumerate(products):
        torch.bmm(matrix, pieces[index], out=product)
        if other is not None and more is not None:
            product.baddbmm_(other, more[index])
    return products


def _written(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Contiguous values of type ``dtype``, in one pass, or without a copy if they are so already."""
    if values.dtype == dtype and values.is_contiguous():
        return values
    return torch.empty(values.shape, dtype=dtype, device=values.device).copy_(values)


def times(matrix: Tensor, columns: Tensor) -> Tensor:
    """Product of a matrix (M, K) with each of a batch (B, K, N): (B, M, N)."""
    return torch.bmm(matrix.expand(len(columns), -1, -1), columns)


def full_precision(like: Tensor) -> AbstractContextManager[None]:
    """Context without autocast; a null context if autocast is off, so that exports contain no trace of it."""
    if torch.is_autocast_enabled(like.device.type):
        return torch.autocast(like.device.type, enabled=False)
    return nullcontext()
