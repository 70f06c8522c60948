"""The products of ``products`` for maps whose channels lie together: no copies, on a CPU fewer multiply-adds.

The transform over a row of W pixels is one product; that over H rows, H = P·Q, is two (Cooley and
Tukey 1965), of P and of Q rows, with the turns between them in the second one's matrices: H·(P + Q)
instead of H² complex multiply-adds a column. A GPU, to which small products are no gain, takes P = 1.
Both directions are one chain of products and its transpose; so are their gradients, written out here.
Rows of a spectrum are in the order that the products leave, bin p + P·q at Q·p + q, which is nothing to
what treats all bins alike. Both parts of a spectrum are dense in memory, as fast kernels want them.
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
    """The half spectrum (B, C, H, W//2 + 1) twice of (B, C, H, W); float64 stays, all else is float32."""
    spectrum: Pair = _Forward.apply(images)
    return spectrum


def inverse(re: Tensor, im: Tensor, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """The maps (B, C, H, W) of a half spectrum, computed in its own type and given in ``dtype``."""
    maps: Tensor = _Inverse.apply(re, im, size[1], dtype)
    return maps


def factors(height: int, like: Tensor) -> tuple[int, int]:
    """P ≤ Q with P·Q = H, as near to each other as can be on a CPU; P = 1 elsewhere."""
    if not like.is_cpu:
        return 1, height
    least = max(n for n in range(1, int(height**0.5) + 1) if height % n == 0)
    return least, height // least


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Pair:
        ctx.width, ctx.dtype = images.shape[-1], images.dtype
        work = torch.promote_types(images.dtype, torch.float32)
        return _analyse(images, constant(matrices.row_matrix, (ctx.width,), images.new_empty(0, dtype=work)))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        re, im = gradients
        return _synthesise(re, im, constant(matrices.row_matrix, (ctx.width,), re), ctx.dtype)


class _Inverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, re: Tensor, im: Tensor, width: int, dtype: torch.dtype) -> Tensor:
        ctx.row = constant(matrices.row_inverse_matrix, (width,), re).mT
        return _synthesise(re, im, ctx.row, dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        return *_analyse(gradients[0], ctx.row), None, None


def _analyse(maps: Tensor, row: Tensor) -> Pair:
    """Pixels to bins: (B, C, H, W), the matrix (W, 2·half) → (B, C, H, half) twice, in the matrix's type."""
    batch, channels, height, width = maps.shape
    first, second = factors(height, row)
    # Row n = Q·p + q goes to (q, p), so that the rows that one product joins lie together.
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
    """The transpose of ``_analyse``, bins to pixels: (B, C, H, half) twice → (B, C, H, W) of ``dtype``."""
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


def _each(matrix: Tensor, given: Tensor, other: Tensor | None = None, more: Tensor | None = None) -> Tensor:
    """Matrices (N, M, K) times the pieces (B, N, K, L), and others times more if given: (B, N, M, L).

    A map at a time if N > 1: its pieces lie crosswise in memory, which a product over all maps would have to
    copy.
    """
    if len(matrix) == 1:
        found = times(matrix[0], given[:, 0])
        if other is not None and more is not None:
            found.baddbmm_(other.expand(len(found), -1, -1), more[:, 0])
        return found.unsqueeze(1)
    found = given.new_empty(len(given), *matrix.shape[:2], given.shape[-1])
    for index, one in enumerate(found):
        torch.bmm(matrix, given[index], out=one)
        if other is not None and more is not None:
            one.baddbmm_(other, more[index])
    return found


def _written(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The values as they are read, in that type; one pass over them, or none where they are so already."""
    if values.dtype == dtype and values.is_contiguous():
        return values
    return torch.empty(values.shape, dtype=dtype, device=values.device).copy_(values)


def times(matrix: Tensor, columns: Tensor) -> Tensor:
    """The matrix (M, K) times each of a batch (B, K, N): (B, M, N)."""
    return torch.bmm(matrix.expand(len(columns), -1, -1), columns)


def full_precision(like: Tensor) -> AbstractContextManager[None]:
    """Autocast off; entered only where it is on, so that an export holds no trace of it."""
    if torch.is_autocast_enabled(like.device.type):
        return torch.autocast(like.device.type, enabled=False)
    return nullcontext()
