"""PABA, SEPG-Net's Pseudo Anchor-guided Bidirectional Aggregation (docs/methods.md#paba)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vireid_cli.losses.distance import (
    Distance,
    centres,
    from_products,
    identity_weights,
    in_full_precision,
    largest,
    products,
    same_half,
    same_identity,
    shares,
    smallest,
)


@in_full_precision
def paba(
    features: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.5,
    dist: Distance = "l2",
    negative: Literal["sample", "centre"] = "sample",
    anchor_grad: bool = True,
) -> Tensor:
    """Identity centres of one modality against samples of the other, both directions, summed over chunks.

    For a chunk and modalities (Ma, Mb), with pf the centre of identity p in Ma (Eq. 7), Eq. 8 reads
    L = 1/P Σ_p [max_{x in Mb, y=p} D(pf, x) − min_{x in Mb, y≠p} D(pf, x) + margin]₊. The paper gives
    no range for the largest and smallest distances; taking them over all samples of the other modality is our
    reading. With a single identity there is no negative, and the loss is 0.

    Centres are not computed explicitly: all distances derive from the inner products of the samples, 2N × 2N
    per chunk, averaged over identities.

    Args:
        features: (chunks, 2N, D), visible first; unit length along D in the paper.
        labels: (N,), valid for each half.
        margin: Margin in the unit of the distance; 0.5 for unit vectors and ``l2`` in the paper.
        dist: See ``from_products``; the centre is not normalised for ``l2`` and ``l2sq``.
        negative: Nearest sample, or nearest centre, of another identity in the other modality.
        anchor_grad: Whether the anchor, a centre, has a gradient.

    Returns:
        Scalar.

    Raises:
        ValueError: Features do not have two rows for each label.
    """
    if features.dim() != 3 or features.shape[1] != 2 * labels.shape[0]:
        raise ValueError(
            f"paba needs features (chunks, 2N, D) and labels (N,), not {tuple(features.shape)} "
            f"and {tuple(labels.shape)}"
        )
    same = same_identity(labels.repeat(2))  # (2N, 2N)
    half = same_half(same)
    share = shares(same & half, features.dtype)
    gram = products(features, features)  # (chunks, 2N, 2N)
    averaged = centres(gram, share)  # <centre of row's identity, sample of column>
    centre_lengths = (averaged * share).sum(-1)  # (chunks, 2N)
    anchored, anchor_lengths = averaged, centre_lengths
    if not anchor_grad:
        anchored = centres(products(features.detach(), features), share)
        anchor_lengths = centre_lengths.detach()
    sample_lengths = gram.diagonal(dim1=-2, dim2=-1)  # (chunks, 2N)
    pairs = from_products(anchored, anchor_lengths, sample_lengths, dist)
    against = pairs
    if negative == "centre":
        between = anchored @ share.mT  # <centre, centre>, (chunks, 2N, 2N)
        against = from_products(between, anchor_lengths, centre_lengths, dist)
    # Positives have the same identity, negatives another one, both in the other modality.
    hinge = (
        largest(pairs, excluded=~same | half) - smallest(against, excluded=same | half) + margin
    ).relu()  # (chunks, 2N)
    # The weights average over both directions, but the loss is the sum of two means.
    return 2.0 * (hinge * identity_weights(share)).sum()
