"""Specification of the trunk of a method: name, stride, width and weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from vireid_cli.layers.choice import Choice

Name = Literal["resnet18", "resnet34", "resnet50", "lightcnn29"]
Stage = Literal["stem", "layer1", "layer2", "layer3", "layer4"]

STAGES: tuple[Stage, ...] = ("stem", "layer1", "layer2", "layer3", "layer4")

WIDTH = 64
"""Channels after torchvision's stem."""

Streams = Choice | int
"""Modality of all images, code of each image, or number of visible images before the infrared ones."""


@dataclass(frozen=True)
class BackboneSpec:
    """Specification of the trunk of a method.

    Attributes:
        name: Name of torchvision's residual network, or LightCNN-29 for faces (``backbones.lightcnn``).
        last_stride: Stride of a ResNet's last stage, 1 or 2.
        state: Validated weights of the network without its classifier (see ``backbones.weights.resolve``).
            None selects random weights.
        width: Channels after a ResNet's stem. All other channels scale with it. torchvision's networks have
            64; published weights fit 64 only. LightCNN-29 has 48 channels at width 64.
    """

    name: Name = "resnet50"
    last_stride: Literal[1, 2] = 1
    state: dict[str, Tensor] | None = field(default=None, repr=False)
    width: int = WIDTH
