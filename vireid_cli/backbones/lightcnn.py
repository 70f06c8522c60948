"""LightCNN-29 v2, a face network of max-feature-map units (docs/methods.md#faces).

Wu et al., "A Light CNN for Deep Face Representation with Noisy Labels", TIFS 2018. Input is one grey
channel of 128x128 in [0, 1] without mean and std. Module names match the keys of the public weights:
``conv1.filter.weight``, ``block1.0.conv1.filter.weight``, ``group1.conv_a.filter.weight``, ``fc.weight`` …
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.backbones.spec import WIDTH, BackboneSpec, Streams
from vireid_cli.backbones.two_stream import PerModality

Stage = Literal["stem", "stage1", "stage2", "stage3"]

STAGES: tuple[Stage, ...] = ("stem", "stage1", "stage2", "stage3")

SIDE = 128
"""Height and width of the input in pixels, fixed by the fully connected last layer."""

EMBEDDING = 256

CHANNELS = (48, 96, 192, 128, 128)
"""Channels after the first convolution and each of the four groups, at width 64."""

BLOCKS = (1, 2, 3, 4)
"""Number of residual blocks before each group."""


class Mfm(nn.Module):
    """Max-feature-map unit: a convolution with twice the channels, then the maximum of each pair.

    Args:
        inputs: Channels C.
        outputs: Channels C' of the result.
        kernel: Side of the convolution in pixels.
        padding: Pixels of zeros on each side.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int) -> None:
        super().__init__()
        self.filter = nn.Conv2d(inputs, 2 * outputs, kernel, padding=padding)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C', h, w)."""
        first, second = self.filter(features).chunk(2, dim=1)
        return torch.maximum(first, second)


class Residual(nn.Module):
    """Two 3×3 units with a residual connection.

    Args:
        channels: C, of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Mfm(channels, channels, 3, 1)
        self.conv2 = Mfm(channels, channels, 3, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C, h, w)."""
        return features + self.conv2(self.conv1(features))


class ResidualGroup(nn.Module):
    """A 1×1 unit and a 3×3 unit that changes the channels.

    Args:
        inputs: Channels C.
        outputs: Channels C'.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_a = Mfm(inputs, inputs, 1, 0)
        self.conv = Mfm(inputs, outputs, 3, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C', h, w)."""
        return self.conv(self.conv_a(features))


class HalfPool(nn.Module):
    """Maximum plus mean over 2×2 windows."""

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C, h/2, w/2)."""
        return F.max_pool2d(features, 2) + F.avg_pool2d(features, 2)


class LightCnn(nn.Module):
    """The whole network without its classifier, named as in the public weights.

    Args:
        width: Scale of all channels; 64 is the published network and the width of its weights.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        channels = [number * width // WIDTH for number in CHANNELS]
        self.conv1 = Mfm(1, channels[0], 5, 2)
        for i, count in enumerate(BLOCKS):
            blocks = nn.Sequential(*(Residual(channels[i]) for _ in range(count)))
            self.add_module(f"block{i + 1}", blocks)
            self.add_module(f"group{i + 1}", ResidualGroup(channels[i], channels[i + 1]))
        self.fc = nn.Linear(channels[4] * (SIDE // 16) ** 2, EMBEDDING)
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 128, 128) grey in [0, 1] → (B, 256)."""
        pool = HalfPool()
        features = pool(self.conv1(images))  # (B, 48, 64, 64)
        for i in (1, 2, 3, 4):
            for name in (f"block{i}", f"group{i}"):
                features = self.get_submodule(name)(features)
            if i != 3:
                features = pool(features)  # 32, 16 and 8 pixels a side
        return self.fc(features.flatten(1))


def light_cnn(spec: BackboneSpec) -> LightCnn:
    """Build the network with the weights of ``spec``; random weights use torch's global generator."""
    network = LightCnn(spec.width)
    if spec.state is not None:
        network.load_state_dict(spec.state)
    return network


class TwoStreamLightCnn(nn.Module):
    """LightCNN-29 in stages, for two modalities in one batch, visible first.

    ``stem`` is the first unit and its pooling (48 × 64 × 64). ``stage1`` ends with 96 × 32 × 32, ``stage2``
    with 192 × 16 × 16 and ``stage3`` with 128 × 16 × 16, before the last pooling.

    Args:
        spec: Width and weights.
        separate: Whether each modality has its own stem.

    Attributes:
        channels: Channels after each stage.
    """

    def __init__(self, spec: BackboneSpec, separate: bool = True) -> None:
        super().__init__()
        whole = light_cnn(spec)
        part = whole.get_submodule
        stem = nn.Sequential(whole.conv1, HalfPool())
        self.stem = PerModality(stem) if separate else stem
        self.stage1 = nn.Sequential(part("block1"), part("group1"), HalfPool())
        self.stage2 = nn.Sequential(part("block2"), part("group2"), HalfPool())
        self.stage3 = nn.Sequential(part("block3"), part("group3"), part("block4"), part("group4"))
        self.pool = HalfPool()
        self.fc = whole.fc
        numbers = [whole.channels[i] for i in (0, 1, 2, 4)]
        self.channels: dict[Stage, int] = dict(zip(STAGES, numbers, strict=True))

    def run(self, stage: Stage, features: Tensor, streams: Streams) -> Tensor:
        """Run one stage: (B, C, h, w), visible images first → (B, C', h', w')."""
        module = self.get_submodule(stage)
        return module(features, streams) if isinstance(module, PerModality) else module(features)

    def head(self, features: Tensor) -> Tensor:
        """Apply the last pooling and the fully connected layer: (B, 128, 16, 16) → (B, 256)."""
        return self.fc(self.pool(features).flatten(1))
