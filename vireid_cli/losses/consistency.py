"""Consistency between two sets of rows: distance graphs, class posteriors, posteriors of a slot.

These are the alignment terms of IDKL's release (commit 8676b62), our reading of D-SELACFP's "modal
consistency guider" (docs/methods.md#modal-consistency-guider). Row i of both sets belongs to one identity.
Logarithms are natural.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vireid_cli.losses.distance import distances, in_full_precision, same_identity
from vireid_cli.unit_rows import unit

Sign = Literal["far", "near"]
"""Rows with a high softmax over distances: far rows, as released, or near rows."""


@in_full_precision
def symmetric_divergence(first: Tensor, second: Tensor) -> Tensor:
    """Mean over rows of KL(p ‖ q) + KL(q ‖ p), where p and q are the softmax of the rows.

    Args:
        first: (N, C) logits.
        second: (N, C) logits of corresponding rows.

    Returns:
        Scalar, nats; 0 if the distributions are equal.
    """
    return _jeffreys(first.log_softmax(1), second.log_softmax(1)) / len(first)


@in_full_precision
def distance_graph(features: Tensor, sign: Sign = "far", normalize: bool = False) -> Tensor:
    """Euclidean distances of each row to the other rows, as logits for ``symmetric_divergence``.

    Args:
        features: (N, D), N ≥ 2.
        sign: ``far`` returns the distances, ``near`` their negatives.
        normalize: Whether rows are first scaled to unit length, so that the softmax cannot saturate.

    Returns:
        (N, N − 1): the diagonal is removed.
    """
    rows = unit(features) if normalize else features
    pairs = distances(rows)  # (N, N)
    count = len(pairs)
    # In the flattened matrix every (N + 1)-th number is on the diagonal.
    other_rows = pairs.flatten()[1:].view(count - 1, count + 1)[:, :-1].reshape(count, count - 1)
    return other_rows if sign == "far" else -other_rows


@in_full_precision
def slot_divergence(first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
    """``symmetric_divergence`` over slots; slot s holds the s-th row of every identity.

    One softmax covers all classes of all rows of a slot, so that rows compete and identities with confident
    posteriors weigh more.

    Args:
        first: (N, C) logits.
        second: (N, C) logits of corresponding rows.
        labels: (N,) identities, valid for both, with any number of rows per identity.

    Returns:
        Scalar, nats: mean over slots. The order of the rows of an identity determines its slots.
    """
    slot = occurrence(labels)  # (N,)
    other_slots = slot.unsqueeze(1) != slot
    logs = [logits - _slot_partition(logits, other_slots).unsqueeze(1) for logits in (first, second)]
    return _jeffreys(logs[0], logs[1]) / (slot.max() + 1)


def occurrence(labels: Tensor) -> Tensor:
    """Number of earlier rows with the same label: (N,) → (N,) int64."""
    return same_identity(labels).tril(-1).sum(1)


def half_flipped(modality: int, labels: Tensor) -> Tensor:
    """Modality labels with one half flipped, so that a head cannot learn to separate the modalities.

    Rows are counted identity by identity, in the order of the batch within an identity. Every second row is
    flipped: ⌊N/2⌋ of N, for any number of images per identity.

    Args:
        modality: True label, 0 or 1.
        labels: (N,) identities of the rows.

    Returns:
        (N,) int64 in {0, 1}.
    """
    rank = torch.empty_like(labels)
    order = labels.argsort(stable=True)
    rank[order] = torch.arange(len(labels), device=labels.device)
    return (rank + modality) % 2


def _jeffreys(first: Tensor, second: Tensor) -> Tensor:
    """Σ (p − q)(log p − log q), the sum of both divergences, from logarithms of any shape."""
    return ((first.exp() - second.exp()) * (first - second)).sum()


def _slot_partition(logits: Tensor, other_slots: Tensor) -> Tensor:
    """Log-sum-exp over the slot of each row: (N, C), (N, N) → (N,)."""
    rows = logits.logsumexp(1)
    return rows.expand(len(rows), -1).masked_fill(other_slots, -torch.inf).logsumexp(1)
