"""DEEN's fusion of a stage's input with its output, and its generated branches (docs/methods.md#deen).

Zhang and Wang, "Diverse Embedding Expansion Network and Low-Light Cross-Modality Benchmark for
Visible-Infrared Person Re-identification", CVPR 2023; the numbers are those of its released code,
in which the fusions' convolutions start as PyTorch's do, those of the generated branches by Kaiming's rule.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn

from vireid_cli.errors import UsageError

PositionForm = Literal["released", "plain"]
"""How positions are compared, see ``PositionFusion``."""


class ChannelFusion(nn.Module):
    """Add W(A g(low)) to the high map, A = θ(high) φ(low)ᵀ / C between channels; the identity at first.

    The released code divides by the number of the low map's channels, not by that of positions, and so
    does this.

    Args:
        high: Channels of the map that is added to.
        low: Channels of the earlier map, C.
    """

    def __init__(self, high: int, low: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(high, low, 1)
        self.phi = nn.Conv2d(low, low, 1)
        self.g = nn.Conv2d(low, low, 1)
        self.out = _closed(low, high)

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """Fuse: (B, C', h, w) and (B, C, H, W) → (B, C', h, w); H, W are s times h, w, rounded up."""
        # A 1 × 1 convolution of stride s sees every s-th position only: so does everything after it.
        low = _every(low, high)
        theta, phi = self.theta(high).flatten(2), self.phi(low).flatten(2)  # (B, C, N)
        attention = (theta / theta.shape[1]) @ phi.mT  # (B, C, C)
        attended = (attention @ self.g(low).flatten(2)).unflatten(2, high.shape[2:])
        return high + cast(Tensor, self.out(attended))


class PositionFusion(nn.Module):
    """Add W(θ(high) (φ(low)ᵀ g(low)) / N) to the high map, N the positions of the low one.

    As AGW's block without a softmax, with keys and values from the earlier map; so the products are
    taken from the right, and no map of h·w × H·W is formed.

    Args:
        high: Channels of the map that is added to.
        low: Channels of the earlier map; half of them are compared.
        form: ``plain``: all positions of the high map attend to all of the low one. ``released``: the
            published code reads each of θ, φ and g, C/2 channels of N positions, as C channels of N/2,
            so that the upper and the lower half of a channel's map become two channels, positions meet
            as halves only, and N is half the positions (docs/methods.md#mfa).
    """

    def __init__(self, high: int, low: int, form: PositionForm = "plain") -> None:
        super().__init__()
        width = low // 2
        self.halves = 2 if form == "released" else 1
        self.theta = nn.Conv2d(high, width, 1)
        self.phi = nn.Conv2d(low, width, 1)
        self.g = nn.Conv2d(low, width, 1)
        self.out = _closed(width, high)

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """Fuse: (B, C', h, w) and (B, C, H, W) → (B, C', h, w).

        Raises:
            UsageError: The form is ``released`` and a map has an odd number of positions.
        """
        theta, g = self._channels(self.theta(high)), self._channels(self.g(low))
        phi = self._channels(self.phi(low)) / g.shape[2]  # divided first: sums stay small in fp16
        attended = (g @ phi.mT) @ theta  # (B, C/2, h·w), or (B, C, h·w/2)
        joined = attended.reshape(high.shape[0], -1, *high.shape[2:])  # (B, C/2, h, w)
        return high + cast(Tensor, self.out(joined))

    def _channels(self, features: Tensor) -> Tensor:
        """(B, c, h, w) → (B, halves · c, h·w / halves), row by row."""
        rows, columns = features.shape[2:]
        if rows * columns % self.halves:
            raise UsageError(
                f"DEEN's released fusion halves its maps: {rows}×{columns} positions are an odd number.",
                "--set method.options.mfa=plain, or another data.size",
            )
        return features.flatten(2).reshape(features.shape[0], self.halves * features.shape[1], -1)


class Fusion(nn.Module):
    """DEEN's MFA block: channels fused, then positions.

    Args:
        high: Channels C' of the stage's output.
        low: Channels C of its input.
        form: Of ``PositionFusion``.
    """

    def __init__(self, high: int, low: int, form: PositionForm = "plain") -> None:
        super().__init__()
        self.channel = ChannelFusion(high, low)
        self.position = PositionFusion(high, low, form)

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """Fuse a stage's output with its input: (B, C', h, w) and (B, C, H, W) → (B, C', h, w)."""
        return cast(Tensor, self.position(self.channel(high, low), low))


class Expansion(nn.Module):
    """One generated branch of DEE: the mean of three dilated 3 × 3 convolutions, ReLU, 1 × 1.

    Args:
        channels: C; a quarter of them lies between, at least one.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = max(channels // 4, 1)
        self.dilated = nn.ModuleList(
            nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation, bias=False)
            for dilation in (1, 2, 3)
        )
        self.expand = nn.Conv2d(width, channels, 1)
        _kaiming(*self.dilated, self.expand)

    def forward(self, features: Tensor) -> Tensor:
        """Generate: (B, C, h, w) → (B, C, h, w)."""
        first, second, third = (convolution(features) for convolution in self.dilated)
        return cast(Tensor, self.expand(((first + second + third) / 3).relu()))


class Diversify(nn.Module):
    """DEE: the batch followed by two generated ones, with dropout; all that follows costs three times.

    Args:
        channels: C.
        dropout: Probability that a value is dropped.
    """

    def __init__(self, channels: int, dropout: float = 0.01) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Expansion(channels) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Expand: (B, C, h, w) → (3B, C, h, w): the original, then each generated batch."""
        generated = [branch(features) for branch in self.branches]
        return cast(Tensor, self.dropout(torch.cat([features, *generated])))


def _every(low: Tensor, high: Tensor) -> Tensor:
    """Every s-th row and column of the low map, so that it has the size of the high one."""
    rows, columns = (-(-a // b) for a, b in zip(low.shape[2:], high.shape[2:], strict=True))
    return low[..., ::rows, ::columns]


def _closed(inputs: int, outputs: int) -> nn.Sequential:
    """1 × 1 convolution and a batch norm that starts at 0."""
    convolution, norm = nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs)
    nn.init.zeros_(norm.weight)
    nn.init.zeros_(norm.bias)
    return nn.Sequential(convolution, norm)


def _kaiming(*convolutions: nn.Module) -> None:
    for convolution in convolutions:
        assert isinstance(convolution, nn.Conv2d)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_in")
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
