"""Losses on the centres of identities in the two modalities.

A centre is the mean of the features of one identity in one modality. ``features`` hold both modalities,
visible first: (2N, D), or (parts, 2N, D), with losses summed over parts. ``labels`` (N,) are valid for each
half.
"""

from __future__ import annotations

from torch import Tensor

from vireid_cli.losses.distance import (
    centres,
    distances,
    identity_weights,
    in_full_precision,
    largest,
    same_half,
    same_identity,
    shares,
    smallest,
)


@in_full_precision
def hetero_center(features: Tensor, labels: Tensor, threshold: float = 0.0) -> Tensor:
    """Sum over identities of [||c_v − c_n||² − threshold]₊ (Zhu's HC loss).

    Args:
        features: (2N, D) or (parts, 2N, D), visible first.
        labels: (N,).
        threshold: Squared distance without a penalty.

    Returns:
        Scalar, a sum over identities as published.
    """
    visible, infrared = features.chunk(2, dim=-2)
    share = shares(same_identity(labels), features.dtype)
    gap = centres(visible - infrared, share).square().sum(-1)  # (..., N)
    # A sum over identities: each of an identity's n rows counts 1/n.
    return ((gap - threshold).relu() * share.diagonal()).sum()


@in_full_precision
def cross_center(features: Tensor, labels: Tensor, margin: float = 0.0, centre_gap: float = 0.0) -> Tensor:
    """Squared distances of samples to the centre of their identity in the other modality.

    Mean over identities of 1/(2K) Σ_j [||x_vj − c_n||² − m]₊ + [||x_nj − c_v||² − m]₊.

    Args:
        features: (2N, D) or (parts, 2N, D), visible first.
        labels: (N,).
        margin: m, a squared distance; 0 in SEPG's release, 0.1 in the original publication.
        centre_gap: Factor on an added ||c_v − c_n||² for each identity; 0.5 in SEPG's release.

    Returns:
        Scalar.
    """
    visible, infrared = features.chunk(2, dim=-2)
    share = shares(same_identity(labels), features.dtype)
    centre_visible, centre_infrared = centres(visible, share), centres(infrared, share)
    to_infrared = ((visible - centre_infrared).square().sum(-1) - margin).relu()  # (..., N)
    to_visible = ((infrared - centre_visible).square().sum(-1) - margin).relu()
    each = 0.5 * (to_infrared + to_visible)
    if centre_gap:
        each = each + centre_gap * (centre_visible - centre_infrared).square().sum(-1)
    return (each * identity_weights(share)).sum()


@in_full_precision
def hetero_center_triplet(features: Tensor, labels: Tensor, margin: float = 0.3) -> Tensor:
    """Batch-hard triplet loss over the 2P centres, mean over the 2P anchors (docs/methods.md#hctri).

    Args:
        features: (2N, D) or (parts, 2N, D), visible first.
        labels: (N,).
        margin: Margin, a Euclidean distance.

    Returns:
        Scalar.
    """
    both = labels.repeat(2)
    same = same_identity(both)
    share = shares(same & same_half(same), features.dtype)
    # Repeated rows of one identity do not change a largest or a smallest distance.
    pairs = distances(centres(features, share))  # (..., 2N, 2N)
    hinge = (largest(pairs, excluded=~same) - smallest(pairs, excluded=same) + margin).relu()
    return (hinge * identity_weights(share)).sum()
