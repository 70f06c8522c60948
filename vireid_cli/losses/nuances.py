"""The centre-guided nuances-mining loss of FDNM (docs/methods.md#nuances-mining)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vireid_cli.losses.distance import (
    centres,
    distances,
    identity_weights,
    in_full_precision,
    row_distances,
    same_identity,
    shares,
    smallest,
)
from vireid_cli.unit_rows import unit

Reduction = Literal["mean_pairs", "sum_pairs", "hardest_mean"]


@in_full_precision
def nuances_mining(
    features: Tensor,
    labels: Tensor,
    margin: float = 0.2,
    reduction: Reduction = "sum_pairs",
    normalize: bool = False,
) -> Tensor:
    """Pull the centres of a branch together across modalities, push branches and identities apart.

    For the centre c of identity j in a modality and a branch, c' its counterpart in the other
    modality, c" the one in the other branch, and c^k another identity's in the same modality and
    branch: Σ_{j≠k} [2 D(c, c') − D(c, c") − D(c, c^k) + m]₊, mean over the two modalities and the two
    branches (FDNM, Eq. 7). The printed sum counts terms that do not depend on k P − 1 times. With a mean
    over pairs the branches stay closer to each other than the modalities.

    Args:
        features: (2, 2N, D), branch first, visible rows first; or (2, parts, 2N, D), with losses summed over
            parts.
        labels: (N,), valid for each half. With a single identity the loss is 0.
        margin: m, a Euclidean distance.
        reduction: ``sum_pairs`` is the sum over ordered pairs of identities, as printed; ``mean_pairs`` is
            the mean over pairs; ``hardest_mean`` uses the nearest other identity, mean over identities.
        normalize: Whether features are scaled to unit length before their centres.

    Returns:
        Scalar.
    """
    if features.dim() == 3:
        features = features.unsqueeze(1)  # (2, 1, 2N, D)
    if normalize:
        features = unit(features)
    parts, count = features.shape[1], labels.shape[0]
    same = same_identity(labels)
    share = shares(same, features.dtype)  # (N, N)
    rows = centres(features.reshape(4 * parts, count, -1), share)  # a centre for each row
    middle = rows.unflatten(0, (2, parts, 2))  # (branch, parts, modality, N, D)
    pull = 2.0 * row_distances(middle, middle.flip(2)) - row_distances(middle, middle.flip(0)) + margin
    between = distances(rows).unflatten(0, (2, parts, 2))  # (branch, parts, modality, N, N)
    weights = identity_weights(share)  # (N,), one over the rows of an identity and over identities
    if reduction == "hardest_mean":
        each = (pull - smallest(between, excluded=same)).relu()
        return (each * weights).sum() / 4.0
    once = share.diagonal()  # each of the n rows of an identity has weight 1/n
    hinge = (pull.unsqueeze(-1) - between).relu().masked_fill(same, 0.0)
    total = (hinge * once.unsqueeze(-1) * once).sum() / 4.0
    if reduction == "sum_pairs":
        return total
    identities = once.sum()
    return total / (identities * (identities - 1.0)).clamp_min(1.0)
