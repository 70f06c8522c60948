"""Batch-hard triplet loss."""

from __future__ import annotations

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

    The loss `tri_bh` of METHODS 0.6: every sample of the batch, of either modality, is an anchor; the
    anchor itself is among its positives.

    Args:
        features: (N, D), or (parts, N, D).
        labels: (N,).
        margin: In the distance's unit.
        distance: See ``from_products``.

    Returns:
        Scalar.
    """
    same = same_identity(labels)
    pairs = distances(features, distance)  # (..., N, N)
    hinge = (largest(pairs, ~same) - smallest(pairs, same) + margin).relu()  # (..., N)
    return hinge.mean(-1).sum()
