"""Identity loss: softmax cross-entropy over the training identities."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_cli.losses.distance import in_full_precision
from vireid_cli.unit_rows import unit


@in_full_precision
def identity_loss(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over samples, summed over parts (docs/methods.md#identity-and-metric-losses).

    Args:
        logits: (N, C), or (parts, N, C).
        labels: (N,) int64 in 0..C−1.
        label_smoothing: Share of the target spread evenly over all C identities, in [0, 1).

    Returns:
        Scalar, nats.
    """
    parts = 1 if logits.dim() == 2 else logits.shape[0]
    flat = logits.reshape(-1, logits.shape[-1])  # (parts·N, C)
    # The mean over parts·N is the mean of the parts' means.
    targets = labels if parts == 1 else labels.repeat(parts)  # (parts·N,)
    return parts * F.cross_entropy(flat, targets, label_smoothing=label_smoothing)


@in_full_precision
def soft_identity_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Mean cross-entropy against the distribution of a teacher (CAJ+'s KL term, docs/methods.md#caj).

    It equals the Kullback-Leibler divergence up to the teacher's entropy, a constant. The teacher has no
    gradient.

    Args:
        logits: (N, C) of the student.
        teacher: (N, C) logits.

    Returns:
        Scalar, nats.
    """
    return F.cross_entropy(logits, teacher.detach().softmax(1))


@in_full_precision
def cosine_identity_loss(
    features: Tensor,
    weight: Tensor,
    labels: Tensor,
    scale: float = 30.0,
    margin: float = 0.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean cross-entropy over samples of cosine logits with an additive margin.

    Source: CosFace, Wang et al., CVPR 2018, eq. 4. The logit of an identity is ``scale`` times the cosine of
    the feature and the identity's weight vector; ``margin`` is subtracted from the true identity's cosine.

    Args:
        features: (N, D).
        weight: (C, D), one row an identity.
        labels: (N,) int64 in 0..C−1.
        scale: Factor on the cosines, above 0.
        margin: Margin, a cosine, at least 0.
        label_smoothing: Share of the target spread evenly over all C identities, in [0, 1).

    Returns:
        Scalar, nats.
    """
    cosines = unit(features) @ unit(weight).T  # (N, C)
    own = labels[:, None]  # (N, 1)
    shifted = cosines.scatter_add(1, own, torch.full_like(own, -margin, dtype=cosines.dtype))
    return F.cross_entropy(scale * shifted, labels, label_smoothing=label_smoothing)
