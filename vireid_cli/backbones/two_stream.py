"""ResNet trunk for two modalities, with shared or separate stages (docs/methods.md#trunk)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vireid_cli.backbones.spec import STAGES, BackboneSpec, Stage, Streams
from vireid_cli.layers.choice import choose
from vireid_cli.types import Modality

if TYPE_CHECKING:
    from torchvision.models.resnet import ResNet

INSERTED = "after"


def residual_network(spec: BackboneSpec) -> ResNet:
    """Build torchvision's network with the last stride and weights of ``spec``, without classifier.

    Random weights are drawn from torch's global generator.
    """
    from vireid_cli.backbones.residual import torchvision_network

    network = torchvision_network(spec.name, spec.width)
    network.fc = nn.Identity()
    if spec.state is not None:
        network.load_state_dict(spec.state)
    first = network.layer4[0]
    stride = (spec.last_stride, spec.last_stride)
    # A basic block strides in its first convolution, a bottleneck in its 3×3 convolution.
    (first.conv2 if hasattr(first, "conv3") else first.conv1).stride = stride
    first.downsample[0].stride = stride
    return network


class PerModality(nn.Module):
    """Two copies of a module, one per modality, with equal initial weights.

    Args:
        module: Module that becomes the visible copy.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.visible = module
        self.infrared = copy.deepcopy(module)

    def of(self, modality: Modality) -> nn.Module:
        """Copy for one modality."""
        return self.visible if modality is Modality.VISIBLE else self.infrared

    def forward(self, features: Tensor, streams: Streams) -> Tensor:
        """Apply to each image the copy of its modality; the order of the batch does not change."""
        if isinstance(streams, (Modality, Tensor)):
            return choose(streams, lambda: self.visible(features), lambda: self.infrared(features))
        visible, infrared = features[:streams], features[streams:]
        return torch.cat([self.visible(visible), self.infrared(infrared)])


class TwoStream(nn.Module):
    """ResNet stages stem, layer1 … layer4, some of them with a copy per modality.

    Both modalities form one batch, visible first, so that a shared batch norm normalises both together
    (docs/methods.md#numerical-precision).

    Args:
        spec: Network, last stride, weights.
        separate: Stages with a copy per modality.
        stages: Stages to build.

    Attributes:
        channels: Channels after each stage.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        separate: tuple[Stage, ...] = ("stem",),
        stages: tuple[Stage, ...] = STAGES,
    ) -> None:
        super().__init__()
        network = residual_network(spec)
        stem = nn.Sequential()
        for name in ("conv1", "bn1", "relu", "maxpool"):
            stem.add_module(name, getattr(network, name))
        for stage in stages:
            module = stem if stage == "stem" else getattr(network, stage)
            self.add_module(stage, PerModality(module) if stage in separate else module)
        self.stages = stages
        self.channels: dict[Stage, int] = _channels(network)

    def insert(self, stage: Stage, count: int, build: Callable[[int], nn.Module]) -> None:
        """Insert a module after each of the last ``count`` residual blocks of a stage.

        Blocks keep their names and keys of the state dict; the module after block 2 is ``after2``. A separate
        stage has a copy per modality.

        Args:
            stage: ``layer1`` … ``layer4``.
            count: Number of blocks, limited by the blocks of the stage.
            build: Function of the stage's channels that returns a module with equal input and output shape.
        """
        module = self.get_submodule(stage)
        copies = list(module.children()) if isinstance(module, PerModality) else [module]
        blocks = len(list(copies[0].children()))
        added = [build(self.channels[stage]) for _ in range(min(count, blocks))]
        for blocks_of_one in copies:
            _follow(blocks_of_one, copy.deepcopy(added))

    def plain_state(self, modality: Modality = Modality.VISIBLE) -> dict[str, Tensor]:
        """State dict of the trunk of one modality under torchvision's keys, to initialise other networks.

        It excludes inserted modules and stages that were not built.
        """
        state: dict[str, Tensor] = {}
        for stage in self.stages:
            module = self.get_submodule(stage)
            one = module.of(modality) if isinstance(module, PerModality) else module
            prefix = "" if stage == "stem" else f"{stage}."
            for key, value in one.state_dict().items():
                if not key.startswith(INSERTED):
                    state[prefix + key] = value
        return state

    def run(self, stage: Stage, features: Tensor, streams: Streams) -> Tensor:
        """Run one stage.

        Args:
            stage: Name of the stage.
            features: (B, C, h, w), visible images first.
            streams: Modality of all images, codes of their modalities, or number of visible images.

        Returns:
            (B, C', h', w').
        """
        module = self.get_submodule(stage)
        return module(features, streams) if isinstance(module, PerModality) else module(features)

    def forward(self, images: Tensor, streams: Streams) -> Tensor:
        """Run all stages: (B, 3, H, W) normalised images → (B, C, h, w)."""
        for stage in self.stages:
            images = self.run(stage, images, streams)
        return images


def _follow(stage: nn.Module, added: list[nn.Module]) -> None:
    """Insert each added module after one of the last blocks of a ``Sequential``."""
    blocks = list(stage.named_children())
    for name, _ in blocks:
        delattr(stage, name)
    first = len(blocks) - len(added)
    for i, (name, block) in enumerate(blocks):
        stage.add_module(name, block)
        if i >= first:
            stage.add_module(f"{INSERTED}{name}", added[i - first])


def _channels(network: ResNet) -> dict[Stage, int]:
    channels: dict[Stage, int] = {"stem": network.conv1.out_channels}
    for stage in STAGES[1:]:
        last = getattr(network, stage)[-1]
        channels[stage] = (last.conv3 if hasattr(last, "conv3") else last.conv2).out_channels
    return channels
