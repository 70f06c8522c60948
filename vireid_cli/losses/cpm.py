"""DEEN's centre-guided pair mining between original and generated features (docs/methods.md#deen)."""

from __future__ import annotations

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


@in_full_precision
def centre_pair_mining(features: Tensor, generated: Tensor, labels: Tensor, margin: float = 0.2) -> Tensor:
    """Pull generated centres to the other modality's centres, away from the original and other identities.

    With centres v, n of the original and v', n' of the generated features, the mean over identities j and
    over both modalities of [D(n, v') − sg D(v, v') + m]₊ + ½ [D(n, v') − min_k D(v'_j, v'_k) + m]₊
    + ½ [D(n, v') − min_k D(v_j, v_k) + m]₊, k ≠ j, and the same with exchanged modalities. D(v, v') has no
    gradient. With one identity the second and third hinge are 0.

    Args:
        features: (2N, D) original, visible first.
        generated: (2N, D) of one generated branch, visible first.
        labels: (N,).
        margin: m, a Euclidean distance.

    Returns:
        Scalar.
    """
    same = same_identity(labels)
    share = shares(same, features.dtype)
    weights = identity_weights(share)
    visible, infrared = (centres(rows, share) for rows in features.chunk(2))
    made_visible, made_infrared = (centres(rows, share) for rows in generated.chunk(2))
    # Repeated rows of one identity do not change a smallest distance.
    both = (
        (visible, made_visible, infrared),
        (infrared, made_infrared, visible),
    )
    total = features.new_zeros(())
    for own, new, other in both:
        across = row_distances(other, new)  # (N,)
        stay = (across - row_distances(own, new).detach() + margin).relu()
        apart_made = (across - smallest(distances(new), excluded=same) + margin).relu()
        apart_own = (across - smallest(distances(own), excluded=same) + margin).relu()
        total = total + ((stay + 0.5 * apart_made + 0.5 * apart_own) * weights).sum()
    return 0.5 * total
