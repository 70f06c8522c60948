"""A limit on what the features of all images have in common (docs/pretraining.md#differences-of-features)."""

from __future__ import annotations

from torch import Tensor

from vireid_cli.losses.distance import in_full_precision
from vireid_cli.unit_rows import unit


@in_full_precision
def excess_cosine(features: Tensor, limit: float = 0.0) -> Tensor:
    """Mean cosine of two different images of a modality, as far as it exceeds a limit (ours).

    A batch norm behind the pooled feature removes what all images have in common, so that no identity loss
    limits it. The term does; it depends on directions alone, not on lengths. Images of one person count, too:
    it is meant for batches with one image of a person and modality.

    Args:
        features: (2N, D), visible first.
        limit: Mean cosine without a penalty, in [-1, 1].

    Returns:
        Scalar, the mean of the two modalities, in [0, 1 − limit]. A row of zeros has cosine 0 with every row;
        one image alone has no pair, and its mean cosine counts as 0.
    """
    units = unit(features).unflatten(0, (2, -1))  # (2, N, D)
    images = units.shape[1]
    own = units.square().sum((1, 2))  # (2,): N, less the rows of zeros
    pairs = units.sum(1).square().sum(-1) - own  # (2,)
    return (pairs / max(images * (images - 1), 1) - limit).relu().mean()
