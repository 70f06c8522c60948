"""Consistency between two sets of rows: distance graphs, class posteriors, posteriors of a slot.

These are the alignment terms of IDKL's release (commit 8676b62), read as D-SELACFP's "modal consistency
guider" (docs/methods.md#modal-consistency-guider). Row i of both sets is one identity. Natural logarithms.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_cli.losses.distance import distances, in_full_precision, same_identity

Sign = Literal["far", "near"]
"""Whether the softmax over a row of distances favours far rows, as released, or near ones."""


@in_full_precision
def symmetric_divergence(first: Tensor, second: Tensor) -> Tensor:
    """Mean over rows of KL(p ‖ q) + KL(q ‖ p), with p and q the softmax of the rows.

    Args:
        first: (N, C) logits.
        second: (N, C) logits of corresponding rows.

    Returns:
        Scalar, nats; 0 if the distributions are equal.
    """
    return _jeffreys(first.log_softmax(1), second.log_softmax(1)) / len(first)


@in_full_precision
def distance_graph(features: Tensor, sign: Sign = "far", normalize: bool = False) -> Tensor:
    """Each row's Euclidean distances to the other rows, as logits for ``symmetric_divergence``.

    Args:
        features: (N, D), N ≥ 2.
        sign: ``far``: the distances themselves; ``near``: their negatives.
        normalize: Scale the rows to unit length first, so that the softmax cannot saturate.

    Returns:
        (N, N − 1): the diagonal is removed.
    """
    rows = F.normalize(features, dim=1) if normalize else features
    pairs = distances(rows)  # (N, N)
    count = len(pairs)
    # The diagonal starts every stretch of N + 1 numbers, the last one excepted.
    others = pairs.flatten()[1:].view(count - 1, count + 1)[:, :-1].reshape(count, count - 1)
    return others if sign == "far" else -others


@in_full_precision
def slot_divergence(first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
    """``symmetric_divergence`` over slots: slot s holds the s-th row of every identity.

    One softmax runs over all classes of all rows of a slot, so that the rows compete: identities of which
    the classifier is sure weigh more.

    Args:
        first: (N, C) logits.
        second: (N, C) logits of corresponding rows.
        labels: (N,) identities, valid for both; the number of rows per identity is free.

    Returns:
        Scalar, nats: the sum over slots divided by their number. Rows of one identity in another order
        form other slots.
    """
    slot = occurrence(labels)  # (N,)
    apart = slot.unsqueeze(1) != slot
    logs = [logits - _slot_partition(logits, apart).unsqueeze(1) for logits in (first, second)]
    return _jeffreys(logs[0], logs[1]) / (slot.max() + 1)


def occurrence(labels: Tensor) -> Tensor:
    """How many earlier rows have the same label: (N,) → (N,) int64."""
    return same_identity(labels).tril(-1).sum(1)


def half_flipped(modality: int, labels: Tensor) -> Tensor:
    """Modality labels of which half are wrong: targets that keep a head from telling the modalities apart.

    Rows are counted identity by identity, each identity's in the order of the batch; every second one is
    flipped: ⌊N/2⌋ of N, whatever the number of images per identity.

    Args:
        modality: The true label, 0 or 1.
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


def _slot_partition(logits: Tensor, apart: Tensor) -> Tensor:
    """For each row the logarithm of the sum of exponentials over its slot: (N, C), (N, N) → (N,)."""
    rows = logits.logsumexp(1)
    return rows.expand(len(rows), -1).masked_fill(apart, -torch.inf).logsumexp(1)
