"""I-MFPE, D-SELACFP's extraction across scales and guided feature (docs/methods.md#i-mfpe).

The paper's description fits the edge-aware and the edge-guided module of BGNet (Sun et al., "Boundary-
Guided Camouflaged Object Detection", IJCAI 2022), without its edge supervision: the guiding map is
learned from the identity losses. The place of the module and the roles of the two maps are our readings.
"""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.layers.pooling import global_average

Align = Literal["up", "pool"]

LOW_CHANNELS, HIGH_CHANNELS = 64, 256
"""Reduced channels of the shallow and the deep map in the paper's ResNet-50."""
LEAST = 8


def gate_kernel(channels: int) -> int:
    """Kernel size of the channel gate: the odd one of t and t + 1, with t = ⌊(log₂ C + 1)/2⌋.

    As in ECA-Net; 3 for 64 channels, 5 for 256 to 1024, 7 for 2048.
    """
    size = int((math.log2(channels) + 1) / 2)
    return size if size % 2 else size + 1


def reduced_channels(deepest: int) -> tuple[int, int]:
    """Channels of the shallow and the deep map after reduction: (64, 256) if layer 4 has 2048.

    They scale with the backbone, but are at least 8 (our choice): (16, 64) for a ResNet-18.
    """
    scale = min(1.0, deepest / 2048)
    return max(LEAST, round(LOW_CHANNELS * scale)), max(LEAST, round(HIGH_CHANNELS * scale))


class CrossScale(nn.Module):
    """Compute a guiding map with one channel in (0, 1) from a shallow and a deep map.

    Both are reduced by 1 × 1 convolutions, resized to one size and concatenated. Two 3 × 3 convolutions and a
    1 × 1 convolution follow.

    Args:
        low: Channels of the shallow map.
        high: Channels of the deep map.
        reduced: Channels of both after reduction.
        align: ``up`` upsamples the deep map to the size of the shallow one; ``pool`` max-pools the shallow
            map to the size of the deep one.
    """

    def __init__(self, low: int, high: int, reduced: tuple[int, int], align: Align = "up") -> None:
        super().__init__()
        self.align = align
        self.reduce_low = _convolution(low, reduced[0], 1)
        self.reduce_high = _convolution(high, reduced[1], 1)
        width = reduced[1]
        self.join = nn.Sequential(_convolution(sum(reduced), width, 3), _convolution(width, width, 3))
        self.out = nn.Conv2d(width, 1, 1)
        _kaiming(self.out)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Extract: (B, C, H, W) and (B, C', h, w) → (B, 1, H, W), or (B, 1, h, w) for ``pool``."""
        low, high = self.reduce_low(low), self.reduce_high(high)
        if self.align == "up":
            high = F.interpolate(high, size=low.shape[2:], mode="bilinear", align_corners=False)
        else:
            low = _pooled_to(low, high)
        return cast(Tensor, self.out(self.join(torch.cat([low, high], dim=1))).sigmoid())


class Guide(nn.Module):
    """Amplify a map at high values of the guiding map, then gate its channels.

    x = ReLU BN Conv3×3(c·att + c) and w = sigmoid(Conv1d(GAP x)). The output is c + γ·x·w with the residual
    (our choice), x·w without. γ has one value per channel and starts at 0. It replaces a zero-initialised
    BN weight, which would get no gradient before a ReLU, because the derivative of a ReLU at 0 is 0.

    Args:
        channels: C.
        residual: Whether the input is added.
    """

    def __init__(self, channels: int, residual: bool = True) -> None:
        super().__init__()
        self.refine = _convolution(channels, channels, 3)
        kernel = gate_kernel(channels)
        self.gate = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        self.gamma = nn.Parameter(torch.zeros(channels, 1, 1)) if residual else None

    def forward(self, features: Tensor, attention: Tensor) -> Tensor:
        """Guide (B, C, h, w) features by a map (B, 1, H, W) of any size: (B, C, h, w)."""
        if attention.shape[2:] != features.shape[2:]:
            attention = F.interpolate(
                attention, size=features.shape[2:], mode="bilinear", align_corners=False
            )
        refined = self.refine(features * attention + features)
        weights = self.gate(global_average(refined).unsqueeze(1)).sigmoid()  # (B, 1, C)
        gated = refined * weights.transpose(1, 2).unsqueeze(-1)
        return gated if self.gamma is None else features + self.gamma * gated


class Imfpe(nn.Module):
    """Cross-scale extraction and guidance of the deep map.

    Args:
        low: Channels of the shallow map.
        high: Channels of the deep map, which the output replaces.
        reduced: See ``reduced_channels``.
        align: See ``CrossScale``.
        residual: See ``Guide``.
    """

    def __init__(
        self, low: int, high: int, reduced: tuple[int, int], align: Align = "up", residual: bool = True
    ) -> None:
        super().__init__()
        self.extract = CrossScale(low, high, reduced, align)
        self.guide = Guide(high, residual)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Guide the deep map: (B, C, H, W) and (B, C', h, w) → (B, C', h, w)."""
        return cast(Tensor, self.guide(high, self.extract(low, high)))


def _pooled_to(features: Tensor, like: Tensor) -> Tensor:
    """Max-pool by the ratio of the sizes, rounded up as in strided stages."""
    ratio = tuple(-(-a // b) for a, b in zip(features.shape[2:], like.shape[2:], strict=True))
    return F.max_pool2d(features, ratio, ceil_mode=True)


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Convolution, batch norm, ReLU; height and width do not change."""
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    _kaiming(convolution)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _kaiming(convolution: nn.Conv2d) -> None:
    nn.init.kaiming_normal_(convolution.weight, mode="fan_in")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
