"""A branch of D-SELACFP's network: pooling, neck and classifier."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from vireid_cli.layers.neck import bn_neck, classifier
from vireid_cli.layers.pooling import GeneralisedMean


class Outputs(NamedTuple):
    """A branch's outputs for a batch, visible images first.

    Attributes:
        pooled: (2B, D).
        neck: (2B, D).
        logits: (2B, C).
    """

    pooled: Tensor
    neck: Tensor
    logits: Tensor


class Branch(nn.Module):
    """GeM, neck and classifier of one branch.

    Args:
        features: Channels of the branch's map.
        identities: Width of the classifier.
        power: p of the generalised mean at the start.
    """

    def __init__(self, features: int, identities: int, power: float) -> None:
        super().__init__()
        self.gem = GeneralisedMean(power, learned=True)
        self.neck = bn_neck(features)
        self.classifier = classifier(features, identities)

    def forward(self, pooled: Tensor) -> Outputs:
        """Compute the outputs of pooled features (N, D)."""
        neck = self.neck(pooled)
        return Outputs(pooled, neck, self.classifier(neck))
