"""A BN neck and a classifier per part, computed for all parts at once (docs/methods.md#heads)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vireid_cli.layers.neck import bn_neck


class PartHeads(nn.Module):
    """Head of each part: BN neck with frozen bias → Linear to identities without bias.

    Args:
        parts: Number of parts.
        features: Size D of a part's feature.
        identities: Number of training identities.
    """

    def __init__(self, parts: int, features: int, identities: int) -> None:
        super().__init__()
        self.necks = bn_neck(parts * features)
        self.classifiers = nn.Parameter(torch.empty(parts, features, identities))
        nn.init.normal_(self.classifiers, std=0.001)

    def neck(self, pooled: Tensor) -> Tensor:
        """Apply the batch norm of each part: (parts, N, D) → (parts, N, D)."""
        parts, count, _ = pooled.shape
        normed: Tensor = self.necks(pooled.transpose(0, 1).reshape(count, -1))  # (N, parts·D)
        return normed.unflatten(1, (parts, -1)).transpose(0, 1)

    def classify(self, features: Tensor) -> Tensor:
        """Logits: (parts, N, D) → (parts, N, C)."""
        return torch.bmm(features, self.classifiers)
