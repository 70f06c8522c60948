"""AGW's non-local block: every position attends to all others by plain products (docs/methods.md#agw)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

Inter = Literal[1, "C/2"]
"""Channels in which positions are compared: 1 as in the released code, or half the input's."""


class NonLocal(nn.Module):
    """Add W(θ φᵀ g / N) to the features, N the number of positions; initially the identity.

    The released code reduces to one channel, because its expression for the width divides a number by
    itself; the intended width is ``C/2``. Without a softmax θ (φᵀ g) equals (θ φᵀ) g, which avoids the N ×
    N matrix. As in the released code, convolutions have PyTorch's default initialisation (uniform, with
    bias) and the last norm starts at 0.

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
        phi = (
            self.phi(features).flatten(2) / theta.shape[2]
        )  # divided first, so that sums do not overflow in fp16
        g = self.g(features).flatten(2)
        summary = g @ phi.mT  # (B, c, c)
        attended = (summary @ theta).unflatten(2, features.shape[2:])  # (B, c, h, w)
        return features + self.out(attended)
