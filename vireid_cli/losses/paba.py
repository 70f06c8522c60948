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
    """Identity centres of one modality against samples of the other, both ways, summed over chunks.

    For a chunk and modalities (Ma, Mb), with pf the centre of identity p in Ma (Eq. 7), Eq. 8 reads
    L = 1/P Σ_p [max_{x in Mb, y=p} D(pf, x) − min_{x in Mb, y≠p} D(pf, x) + margin]₊. That the largest
    and smallest distances run over all samples of the other modality is our reading: the paper gives
    no range. Needs two identities or more: with one there is no negative, and the loss is 0.

    Centres are never formed: all distances come from the inner products of the samples, 2N × 2N a
    chunk, averaged over identities.

    Args:
        features: (chunks, 2N, D), visible first; unit length along D in the paper.
        labels: (N,), valid for each half.
        margin: In the distance's unit; 0.5 for unit vectors and ``l2`` in the paper.
        dist: See ``from_products``; the centre is not normalised for ``l2`` and ``l2sq``.
        negative: The nearest other identity's sample, or its centre, in the other modality.
        anchor_grad: Whether the gradient reaches the centre that is the anchor.

    Returns:
        Scalar.

    Raises:
        ValueError: Not two rows of features for each label.
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
    # Positives are the same identity, negatives another one, both of the other modality.
    hinge = (largest(pairs, ~same | half) - smallest(against, same | half) + margin).relu()  # (chunks, 2N)
    # The weights' mean runs over both directions; each of the two is a mean of its own.
    return 2.0 * (hinge * identity_weights(share)).sum()
