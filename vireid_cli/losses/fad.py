"""SFCL's frequency-aware discrimination: frequency contrast, semantic consistency (docs/methods.md#fad).

L_FAD = L_cfc + 0.8 L_csc. The paper does not define temperature, positives and neighbours; the values are
our readings.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from vireid_cli.losses.distance import in_full_precision, products

SMALLEST = 1e-8
"""Lower limit of probabilities before the logarithm."""


@in_full_precision
def frequency_contrast(
    visible: Tensor,
    infrared: Tensor,
    labels: Tensor,
    temperature: float = 0.1,
    positives: Literal["all", "diag"] = "all",
) -> Tensor:
    """L_cfc: InfoNCE between the modalities, mean of both directions.

    L_{v→n} = −mean_i 1/|P_i| Σ_{j∈P_i} log softmax_j(s_ij), s_ij = <v_i, n_j> / τ.

    Args:
        visible: (B, D) of unit length.
        infrared: (B, D) of unit length; row i is the partner of visible row i.
        labels: (B,) identities, valid for both modalities.
        temperature: τ.
        positives: P_i: all infrared rows of the identity, or the partner alone. In the second case other
            images of the identity are negatives.

    Returns:
        Scalar, nats.
    """
    scores = products(visible, infrared) / temperature  # (B, B)
    if positives == "diag":
        forth, back = scores.log_softmax(1).diagonal(), scores.log_softmax(0).diagonal()
        return -0.5 * (forth.mean() + back.mean())
    same = (labels.unsqueeze(1) == labels).to(scores.dtype)
    share = same / same.sum(1, keepdim=True)  # symmetric, because counts depend on the identity only
    return -0.5 * ((share * scores.log_softmax(1)).sum(1) + (share.mT * scores.log_softmax(0)).sum(0)).mean()


@in_full_precision
def semantic_consistency(
    features: Tensor,
    logits: Tensor,
    visible: int,
    neighbours: int = 4,
    detach: bool = True,
) -> Tensor:
    """L_csc: KL divergence of each image's distribution from the mean of its neighbours' distributions.

    ½ [mean_i KL(p_i^v ‖ p̄^n_{N(i)}) + mean_j KL(p_j^n ‖ p̄^v_{N(j)})]. Neighbours are selected by cosine,
    without gradient. Taking them from the other modality, and the direction of KL, are our readings.

    Args:
        features: (N, D); the first ``visible`` rows are visible.
        logits: (N, C) of the same images.
        visible: Number of visible rows.
        neighbours: k, limited by the number of images of the other modality.
        detach: Whether the gradient of p̄ is stopped.

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
