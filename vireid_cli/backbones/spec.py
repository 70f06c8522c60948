"""The trunk that a method is to build: its name, stride, width and weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from vireid_cli.types import Modality

Name = Literal["resnet18", "resnet34", "resnet50", "lightcnn29"]
Stage = Literal["stem", "layer1", "layer2", "layer3", "layer4"]

STAGES: tuple[Stage, ...] = ("stem", "layer1", "layer2", "layer3", "layer4")

WIDTH = 64
"""Channels after torchvision's stem."""

Streams = Modality | int
"""Whose images a batch holds: one modality's, or so many visible ones followed by infrared ones."""


@dataclass(frozen=True)
class BackboneSpec:
    """The trunk that a method is to build.

    Attributes:
        name: torchvision's residual network, or LightCNN-29 for faces (``backbones.lightcnn``).
        last_stride: Stride of a ResNet's last stage, 1 or 2.
        state: Checked weights of the network without its classifier (see ``backbones.weights.resolve``);
            None: random.
        width: Channels after a ResNet's stem, 64 in torchvision's networks (48 in LightCNN-29, at the
            same scale); the others scale with it. Published weights fit 64 only.
    """

    name: Name = "resnet50"
    last_stride: Literal[1, 2] = 1
    state: dict[str, Tensor] | None = field(default=None, repr=False)
    width: int = WIDTH
