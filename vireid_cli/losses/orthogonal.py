"""Orthogonality between the features of two branches (docs/methods.md#orthogonal-loss)."""

from __future__ import annotations

import torch
from torch import Tensor

from vireid_cli.losses.distance import SMALLEST_SQUARE, in_full_precision


@in_full_precision
def cosine_orthogonality(first: Tensor, second: Tensor) -> Tensor:
    """Mean over samples of cos²(first, second), in [0, 1] (our reading of D-SELACFP's loss).

    Args:
        first: (N, D).
        second: (N, D), of the same samples.

    Returns:
        Scalar; a row of zeros contributes 0.
    """
    product = (first * second).sum(-1)
    lengths = first.square().sum(-1) * second.square().sum(-1)
    return (product.square() / lengths.clamp_min(SMALLEST_SQUARE)).mean()


@in_full_precision
def inner_products(first: Tensor, second: Tensor) -> Tensor:
    """Mean over samples of <first, second>, the term of DEEN's orthogonal loss (docs/methods.md#deen).

    The loss has no lower bound for general features. For features after a ReLU, as in DEEN, it is at least 0.

    Args:
        first: (N, D).
        second: (N, D), of the same samples.

    Returns:
        Scalar.
    """
    return (first * second).sum(-1).mean()


@in_full_precision
def weight_orthogonality(first: Tensor, second: Tensor) -> Tensor:
    """Frobenius norm ||W Wᵀ − I||, where W stacks the rows of both matrices.

    Stacking both classifiers is our reading: it also makes the classes of the shared branch orthogonal to
        those
    of the specific branch.

    Args:
        first: (C, D) weights of one classifier.
        second: (C', D) weights of the other classifier.

    Returns:
        Scalar; √(C + C') if all weights are 0.
    """
    weights = torch.cat([first, second])  # (C + C', D)
    gap = weights @ weights.mT - torch.eye(len(weights), device=weights.device, dtype=weights.dtype)
    return gap.square().sum().clamp_min(SMALLEST_SQUARE).sqrt()
