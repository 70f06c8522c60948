"""BN neck and classifier with the initialisation of the AGW family (docs/methods.md#heads)."""

from __future__ import annotations

from torch import nn


def bn_neck(features: int) -> nn.BatchNorm1d:
    """Build a batch norm over pooled features with weight ~ N(1, 0.01²) and bias frozen at 0."""
    neck = nn.BatchNorm1d(features)
    nn.init.normal_(neck.weight, 1.0, 0.01)
    nn.init.zeros_(neck.bias)
    neck.bias.requires_grad_(False)
    return neck


def classifier(features: int, identities: int, bias: bool = False) -> nn.Linear:
    """Build a linear layer from features to identity logits with weight ~ N(0, 0.001²), bias 0 or none."""
    layer = nn.Linear(features, identities, bias=bias)
    nn.init.normal_(layer.weight, std=0.001)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
