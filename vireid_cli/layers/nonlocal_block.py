"""AGW's non-local block: every position attends to all others by plain products (docs/methods.md#agw)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

Inter = Literal[1, "C/2"]
"""Channels in which positions are compared: 1, as released, or half the input's."""


class NonLocal(nn.Module):
    """Add W(θ φᵀ g / N) to the features, N the number of positions; the identity at the start.

    The released code reduces to one channel, because its expression for the width divides a number by
    itself; ``C/2`` is the width that it means to have. There is no softmax, so that
    θ (φᵀ g) gives the same as (θ φᵀ) g and the N × N matrix is never formed. Convolutions start as
    PyTorch's do (uniform, with bias), as in the released code; the last norm starts at 0.

    Args:
        channels: C of the features.
        inter: Channels of θ, φ and g.
    """

    def __init__(self, channels: int, inter: Inter = 1) -> None:
        super().__init__()
        width = 1 if inter == 1 else channels // 2
        self.theta = nn.Conv2d(channels, width, 1)
        self.phi = nn.Conv2d(channels, width, 1)
        self.g = nn.Conv2d(channels, width, 1)
        expand, norm = nn.Conv2d(width, channels, 1), nn.BatchNorm2d(channels)
        self.out = nn.Sequential(expand, norm)
        nn.init.zeros_(norm.weight)
        nn.init.zeros_(norm.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Attend: (B, C, h, w) → (B, C, h, w)."""
        theta = self.theta(features).flatten(2)  # (B, c, N)
        phi = self.phi(features).flatten(2) / theta.shape[2]  # divided first: sums stay small in fp16
        g = self.g(features).flatten(2)
        summary = g @ phi.mT  # (B, c, c)
        attended = (summary @ theta).unflatten(2, features.shape[2:])  # (B, c, h, w)
        return features + self.out(attended)
