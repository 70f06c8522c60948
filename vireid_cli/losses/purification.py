"""Losses on the purified map of D-SELACFP's specific branch (IDKL's release, commit 8676b62).

See docs/methods.md#modal-purification-restorer.
"""

from __future__ import annotations

from torch import Tensor

from vireid_cli.losses.distance import (
    centres,
    identity_weights,
    in_full_precision,
    row_distances,
    same_identity,
    shares,
)
from vireid_cli.unit_rows import unit

MARGIN = 0.1
"""Relative reduction of the centre gap that the loss demands of purification (our choice)."""


@in_full_precision
def entropy_gain(purified: Tensor, before: Tensor) -> Tensor:
    """Mean over rows of exp([H(purified) − H(before)]₊) − 1; it penalises less confident purified rows.

    Args:
        purified: (N, C) logits of the purified feature.
        before: (N, C) logits of the unpurified feature, from the same classifier.

    Returns:
        Scalar ≥ 0; H is the entropy of the softmax in nats.
    """
    return ((_entropy(purified) - _entropy(before)).relu().exp() - 1.0).mean()


@in_full_precision
def centre_gap(purified: Tensor, before: Tensor, labels: Tensor) -> Tensor:
    """Mean over identities of [d(purified) − d(before)]₊, the literal form of the release.

    d is the Euclidean distance between the visible and the infrared centre of an identity. Masks in (0, 1)
    shrink a map, so that initially the loss is 0 and has no gradient; see ``relative_centre_gap``.

    Args:
        purified: (2N, D) pooled features, visible first.
        before: (2N, D).
        labels: (N,) of each modality.

    Returns:
        Scalar ≥ 0.
    """
    gaps, weights = _gaps(purified, before, labels)
    return ((gaps[0] - gaps[1]).relu() * weights).sum()


@in_full_precision
def relative_centre_gap(purified: Tensor, before: Tensor, labels: Tensor, margin: float = MARGIN) -> Tensor:
    """Mean over identities of [d(purified)/sg(d(before)) − 1 + margin]₊ on rows of unit length.

    The loss is scale-invariant, so that masks of ½ do not make it 0. d(before) has no gradient. See
    ``centre_gap`` for the arguments.
    """
    gaps, weights = _gaps(unit(purified), unit(before), labels)
    return ((gaps[0] / gaps[1].detach() - 1.0 + margin).relu() * weights).sum()


def _gaps(purified: Tensor, before: Tensor, labels: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Centre distances of each row, (N,) twice, and the weights of a mean over identities."""
    share = shares(same_identity(labels), purified.dtype)
    halves = [[centres(half, share) for half in features.chunk(2)] for features in (purified, before)]
    return (row_distances(*halves[0]), row_distances(*halves[1])), identity_weights(share)


def _entropy(logits: Tensor) -> Tensor:
    """Entropy of the softmax of each row: (N, C) → (N,)."""
    logs = logits.log_softmax(1)
    return -(logs.exp() * logs).sum(1)
