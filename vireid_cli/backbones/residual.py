"""torchvision's residual networks at any width.

torchvision takes longer to import than torch, and most commands build no network. Import this file only
when a network is built.
"""

from __future__ import annotations

from typing import Any

import torchvision.models
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from vireid_cli.backbones.spec import WIDTH

PARTS: dict[str, tuple[type[BasicBlock | Bottleneck], list[int]]] = {
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
}
"""Type of block, and number of blocks per stage."""


class _Scaled(ResNet):
    """torchvision's network with all its channels scaled to a width."""

    def __init__(self, width: int, block: type[BasicBlock | Bottleneck], layers: list[int]) -> None:
        self._width = width
        super().__init__(block, layers, num_classes=1)

    def _make_layer(self, block: Any, planes: int, blocks: int, stride: int = 1, dilate: bool = False) -> Any:
        if planes == WIDTH:  # the first stage: the stem exists, but is not initialised yet
            self.inplanes = self._width
            self.conv1 = nn.Conv2d(3, self._width, kernel_size=7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(self._width)
        return super()._make_layer(block, planes * self._width // WIDTH, blocks, stride, dilate)


def torchvision_network(name: str, width: int) -> ResNet:
    """Build torchvision's network ``name``, classifier included, with ``width`` channels after the stem.

    Random weights are drawn from torch's global generator.
    """
    if width == WIDTH:
        network: ResNet = getattr(torchvision.models, name)(weights=None)
        return network
    return _Scaled(width, *PARTS[name])
