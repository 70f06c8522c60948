"""Distances, masks and identity weights for all metric losses.

Features are (N, D), or (parts, N, D) for many parts at once. For a loss on both modalities, their rows are in
one tensor, visible first: row i and row N/2 + i have the same label.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, ParamSpec, cast

import torch
from torch import Tensor

from vireid_cli.unit_rows import SHORTEST

Distance = Literal["l2", "l2sq", "cos"]
P = ParamSpec("P")

SMALLEST_SQUARE = 1e-12
"""Lower limit of squared distances before the root, for a finite gradient (docs/methods.md#notation)."""


def in_full_precision(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Run a loss in float32 (float64 stays), also under autocast, because distances suffer cancellation.

    See docs/methods.md#numerical-precision.
    """

    @wraps(loss)
    def run(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        """Call the loss with tensors in full precision and without autocast."""
        positional = tuple(_full(value) for value in args)
        named = {key: _full(value) for key, value in kwargs.items()}
        first = next(value for value in (*positional, *named.values()) if isinstance(value, Tensor))
        call = cast(Callable[..., Tensor], loss)
        if not torch.is_autocast_enabled(first.device.type):
            return call(*positional, **named)
        with torch.autocast(first.device.type, enabled=False):
            return call(*positional, **named)

    return run


def products(left: Tensor, right: Tensor) -> Tensor:
    """Inner products of all pairs: (M, D), (N, D) → (M, N); (parts, M, D), (parts, N, D) → (parts, M, N)."""
    return left @ right.mT if left.dim() == 2 else torch.bmm(left, right.mT)


def from_products(product: Tensor, left: Tensor, right: Tensor, kind: Distance = "l2") -> Tensor:
    """Distances of all pairs from their inner products and squared lengths.

    Args:
        product: <a, b>, (..., M, N).
        left: ||a||², (..., M).
        right: ||b||², (..., N).
        kind: ``l2``: ||a − b||; ``l2sq``: its square; ``cos``: 1 − cos(a, b), in [0, 2].

    Returns:
        (..., M, N).
    """
    left, right = left.unsqueeze(-1), right.unsqueeze(-2)
    if kind == "cos":
        lengths = left * right
        return 1.0 - product * lengths.masked_fill(lengths <= SHORTEST**2, torch.inf).rsqrt()
    squared = torch.sub(left + right, product, alpha=2.0).clamp_min(SMALLEST_SQUARE)
    return squared if kind == "l2sq" else squared.sqrt()


def row_distances(left: Tensor, right: Tensor) -> Tensor:
    """Euclidean distance of each row to its counterpart: (..., N, D) twice → (..., N)."""
    return (left - right).square().sum(-1).clamp_min(SMALLEST_SQUARE).sqrt()


def distances(features: Tensor, kind: Distance = "l2") -> Tensor:
    """Distances between all rows: (..., N, D) → (..., N, N). The diagonal has the smallest values."""
    gram = products(features, features)
    lengths = gram.diagonal(dim1=-2, dim2=-1)
    return from_products(gram, lengths, lengths, kind)


def same_identity(labels: Tensor) -> Tensor:
    """Mask of pairs of the same identity: (N,) → (N, N) bool."""
    return labels.unsqueeze(1) == labels


def same_half(same: Tensor) -> Tensor:
    """Mask of pairs of the same modality, with the visible half first: (2N, 2N) bool, as ``same``."""
    visible = torch.arange(len(same), device=same.device) < len(same) // 2
    return visible.unsqueeze(1) == visible


def shares(same: Tensor, dtype: torch.dtype) -> Tensor:
    """Weights that turn rows into the means of their groups: (N, N) bool → (N, N).

    Row i of ``shares(same) @ features`` is the centre of row i's identity, without a loop over identities and
    for any order of rows. The diagonal is one over the size of each row's group.
    """
    member = same.to(dtype)
    return member / member.sum(1, keepdim=True)


def centres(features: Tensor, share: Tensor) -> Tensor:
    """Mean over the group of each row, of the shape of ``features``; ``share`` is from ``shares``."""
    return (
        share @ features if features.dim() == 2 else torch.bmm(share.expand(len(features), -1, -1), features)
    )


def identity_weights(share: Tensor) -> Tensor:
    """Weights (N,) of rows that turn a weighted sum over rows into a mean over groups.

    A row of a group of n rows has weight 1/(n·groups).
    """
    each = share.diagonal()
    return each / each.sum()


def largest(pairs: Tensor, excluded: Tensor) -> Tensor:
    """Hardest positive, the largest distance that is not excluded: (..., M, N) → (..., M)."""
    return pairs.masked_fill(excluded, -torch.inf).amax(-1)


def smallest(pairs: Tensor, excluded: Tensor) -> Tensor:
    """Hardest negative, the smallest distance that is not excluded; infinite if all are excluded."""
    return pairs.masked_fill(excluded, torch.inf).amin(-1)


def _full(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point() and value.dtype != torch.float64:
        return value.float()
    return value
