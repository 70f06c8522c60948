"""Triplet losses over a batch: batch-hard, and the margin-free soft losses of AGW and CAJ."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_cli.losses.distance import (
    Distance,
    distances,
    in_full_precision,
    largest,
    same_identity,
    smallest,
)


@in_full_precision
def batch_hard_triplet(
    features: Tensor, labels: Tensor, margin: float = 0.3, distance: Distance = "l2"
) -> Tensor:
    """Mean over anchors of [hardest positive − hardest negative + margin]₊, summed over parts.

    Every sample of the batch, of either modality, is an anchor. The anchor itself is one of its positives.

    Args:
        features: (N, D), or (parts, N, D).
        labels: (N,).
        margin: Margin in the unit of the distance.
        distance: See ``from_products``.

    Returns:
        Scalar.
    """
    same = same_identity(labels)
    pairs = distances(features, distance)  # (..., N, N)
    hinge = (largest(pairs, excluded=~same) - smallest(pairs, excluded=same) + margin).relu()  # (..., N)
    return hinge.mean(-1).sum()


SQUARE_CAP = 88.0
"""Largest squared difference in CAJ; the exponential of a larger one overflows in float32."""

RELEASED_EPS = 1e-6
"""Addend of the denominator in AGW's released softmax."""


@in_full_precision
def weighted_regularised_triplet(features: Tensor, labels: Tensor, released_eps: bool = False) -> Tensor:
    """Mean over anchors of log(1 + exp(weighted positive − weighted negative)), summed over parts.

    AGW's `wrt` (docs/methods.md#identity-and-metric-losses): positives are weighted by the softmax of their
    distances (the anchor is one of them), negatives by the softmax of their negated distances, over both
    modalities together. The loss has no margin.

    Args:
        features: (N, D), or (parts, N, D).
        labels: (N,).
        released_eps: Whether to use the released softmax (docs/methods.md#agw). With it, negatives that are
            all far away contribute 0 instead of their distance.

    Returns:
        Scalar.
    """
    return F.softplus(_weighted_gap(features, labels, released_eps)).mean(-1).sum()


@in_full_precision
def enhanced_squared_difference(features: Tensor, labels: Tensor, released_eps: bool = False) -> Tensor:
    """Mean over anchors of log(1 + exp(sgn(u) · min(u², 88))), summed over parts.

    CAJ's enhanced squared difference (docs/methods.md#caj): u is the weighted positive minus the weighted
    negative of ``weighted_regularised_triplet``, and sgn(0) = −1.

    Args:
        features: (N, D), or (parts, N, D).
        labels: (N,).
        released_eps: See ``weighted_regularised_triplet``.

    Returns:
        Scalar.
    """
    gap = _weighted_gap(features, labels, released_eps)  # (..., N)
    squared = gap.square().clamp_max(SQUARE_CAP)
    return F.softplus(torch.where(gap > 0, squared, -squared)).mean(-1).sum()


def _weighted_gap(features: Tensor, labels: Tensor, released_eps: bool) -> Tensor:
    """u_i = Σ_j w^p_ij D_ij − Σ_j w^n_ij D_ij, (..., N)."""
    same = same_identity(labels)  # (N, N)
    pairs = distances(features)  # (..., N, N)
    weights = _released_softmax if released_eps else _masked_softmax
    return ((weights(pairs, same) - weights(-pairs, ~same)) * pairs).sum(-1)


def _masked_softmax(scores: Tensor, member: Tensor) -> Tensor:
    """Softmax along the last axis over the members; 0 elsewhere, and in rows without members."""
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~member, lowest).softmax(-1) * member


def _released_softmax(scores: Tensor, member: Tensor) -> Tensor:
    """AGW's released softmax, shifted by the largest score, with 1e-6 added to the denominator.

    Non-members count as score 0 in the maximum and get weight 0.
    """
    shift = torch.where(member, scores, 0.0).amax(-1, keepdim=True)
    raised = torch.where(member, (scores - shift).exp(), 0.0)
    return raised / (raised.sum(-1, keepdim=True) + RELEASED_EPS)
