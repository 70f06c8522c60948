"""SFCL's frequency-aware discrimination: frequency contrast, semantic consistency (docs/methods.md#fad).

L_FAD = L_cfc + 0.8 L_csc. Temperature, positives and neighbours are our readings: the paper is silent.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from vireid_cli.losses.distance import in_full_precision, products

SMALLEST = 1e-8
"""Probabilities are clamped here before the logarithm."""


@in_full_precision
def frequency_contrast(
    visible: Tensor,
    infrared: Tensor,
    labels: Tensor,
    temperature: float = 0.1,
    positives: Literal["all", "diag"] = "all",
) -> Tensor:
    """L_cfc: InfoNCE between the modalities, the mean of both directions.

    L_{v→n} = −mean_i 1/|P_i| Σ_{j∈P_i} log softmax_j(s_ij), s_ij = <v_i, n_j> / τ.

    Args:
        visible: (B, D) of unit length.
        infrared: (B, D) of unit length; row i is the partner of visible row i.
        labels: (B,), valid for both.
        temperature: τ.
        positives: P_i: all infrared rows of the identity, or the partner alone, which makes the
            identity's other images negatives.

    Returns:
        Scalar, nats.
    """
    scores = products(visible, infrared) / temperature  # (B, B)
    if positives == "diag":
        forth, back = scores.log_softmax(1).diagonal(), scores.log_softmax(0).diagonal()
        return -0.5 * (forth.mean() + back.mean())
    same = (labels.unsqueeze(1) == labels).to(scores.dtype)
    share = same / same.sum(1, keepdim=True)  # symmetric: counts are those of the identity
    return -0.5 * ((share * scores.log_softmax(1)).sum(1) + (share.mT * scores.log_softmax(0)).sum(0)).mean()


@in_full_precision
def semantic_consistency(
    features: Tensor,
    logits: Tensor,
    visible: int,
    neighbours: int = 4,
    detach: bool = True,
) -> Tensor:
    """L_csc: KL of each image's distribution to the mean of its neighbours' in the other modality.

    ½ [mean_i KL(p_i^v ‖ p̄^n_{N(i)}) + mean_j KL(p_j^n ‖ p̄^v_{N(j)})]. Neighbours by cosine, without
    gradient; that they are of the other modality, and the direction of KL, are our readings.

    Args:
        features: (N, D); the first ``visible`` rows are visible.
        logits: (N, C) of the same images.
        visible: Number of visible rows.
        neighbours: k; fewer where the other modality has fewer images.
        detach: Whether p̄ is without gradient.

    Returns:
        Scalar, nats.
    """
    unit = F.normalize(features.detach(), dim=1)
    cosines = products(unit[:visible], unit[visible:])  # (V, I)
    logs = logits.log_softmax(1)
    both = (logs[:visible], logs[visible:])
    total = logits.new_zeros(())
    for own, other, near in ((both[0], both[1], cosines), (both[1], both[0], cosines.mT)):
        index = near.topk(min(neighbours, near.shape[1]), dim=1).indices  # (n, k)
        mean = other.exp()[index].mean(1)  # (n, C)
        target = (mean.detach() if detach else mean).clamp_min(SMALLEST).log()
        total = total + 0.5 * (own.exp() * (own - target)).sum(1).mean()
    return total
