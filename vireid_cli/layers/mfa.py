"""DEEN's fusion of a stage's input with its output, and its generated branches (docs/methods.md#deen).

Zhang and Wang, "Diverse Embedding Expansion Network and Low-Light Cross-Modality Benchmark for
Visible-Infrared Person Re-identification", CVPR 2023; the numbers are those of its released code. As there,
the convolutions of the fusions have PyTorch's default initialisation, those of the generated branches
Kaiming's.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn

from vireid_cli.counts import size_name
from vireid_cli.errors import UsageError

PositionForm = Literal["released", "plain"]
"""Comparison of positions; see ``PositionFusion``."""


class ChannelFusion(nn.Module):
    """Add W(A g(low)) to the high map, A = θ(high) φ(low)ᵀ / C between channels; initially the identity.

    As in the released code, the divisor is the number of channels of the low map, not of positions.

    Args:
        high: Channels of the output of the stage.
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
        # A 1 × 1 convolution of stride s reads every s-th position only, so the rest is dropped first.
        low = _every(low, high)
        theta, phi = self.theta(high).flatten(2), self.phi(low).flatten(2)  # (B, C, N)
        attention = (theta / theta.shape[1]) @ phi.mT  # (B, C, C)
        attended = (attention @ self.g(low).flatten(2)).unflatten(2, high.shape[2:])
        return high + cast(Tensor, self.out(attended))


class PositionFusion(nn.Module):
    """Add W(θ(high) (φ(low)ᵀ g(low)) / N) to the high map, N the positions of the low one.

    This is AGW's block without softmax, with keys and values from the earlier map. The products are evaluated
    from the right, which avoids a matrix of h·w × H·W.

    Args:
        high: Channels of the output of the stage.
        low: Channels of the earlier map; comparison uses half as many.
        form: With ``plain`` all positions of the high map attend to all positions of the low one. With
            ``released`` the published code views each of θ, φ and g, C/2 channels of N positions, as C
            channels of N/2: the upper and the lower half of a channel's map become two channels, each of
            the N/2 positions combines one of the upper and one of the lower half, and the divisor is N/2
            (docs/methods.md#mfa).
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
        phi = (
            self._channels(self.phi(low)) / g.shape[2]
        )  # divided first, so that sums do not overflow in fp16
        attended = (g @ phi.mT) @ theta  # (B, C/2, h·w), or (B, C, h·w/2)
        joined = attended.reshape(high.shape[0], -1, *high.shape[2:])  # (B, C/2, h, w)
        return high + cast(Tensor, self.out(joined))

    def _channels(self, features: Tensor) -> Tensor:
        """(B, c, h, w) → (B, halves · c, h·w / halves), row by row."""
        rows, columns = features.shape[2:]
        if rows * columns % self.halves:
            raise UsageError(
                f"DEEN's released fusion halves its maps: {size_name((rows, columns))} is an odd number of "
                "positions.",
                "Use --set method.options.mfa=plain, or another data.size.",
            )
        return features.flatten(2).reshape(features.shape[0], self.halves * features.shape[1], -1)


class Fusion(nn.Module):
    """DEEN's MFA block: fusion of channels, then of positions.

    Args:
        high: Channels C' of the stage's output.
        low: Channels C of the stage's input.
        form: See ``PositionFusion``.
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
        channels: C; the hidden layer has a quarter of them, at least one.
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
    """DEE: the batch followed by two generated batches, with dropout; later layers cost three times as much.

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
    """Every s-th row and column of the low map, to match the size of the high one."""
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
