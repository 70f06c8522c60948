"""Batch norms folded into their convolutions, for faster inference."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)

_RESIDUAL_PAIRS = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))


def fold_batch_norms(network: Network) -> Network:
    """Return a copy for inference, with each batch norm after a convolution merged into the convolution.

    Pairs are those of torchvision's residual blocks, and each batch norm right after a convolution in a
    ``Sequential``. All other modules stay. Embeddings differ by rounding only. The copy is in eval mode and
    not intended for training.

    Args:
        network: Network to copy; not changed.
    """
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        for convolution, norm in _pairs(module):
            setattr(module, convolution, _fused(module, convolution, norm))
            setattr(module, norm, nn.Identity())
    return folded


def _pairs(module: nn.Module) -> list[tuple[str, str]]:
    from torchvision.models.resnet import BasicBlock, Bottleneck  # slow to import; see backbones.residual

    if isinstance(module, (BasicBlock, Bottleneck)):
        return [pair for pair in _RESIDUAL_PAIRS if _is_pair(module, *pair)]
    if isinstance(module, nn.Sequential):
        names = [name for name, _ in module.named_children()]
        return [pair for pair in pairwise(names) if _is_pair(module, *pair)]
    return []


def _is_pair(module: nn.Module, convolution: str, norm: str) -> bool:
    first, second = getattr(module, convolution, None), getattr(module, norm, None)
    return isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d)


def _fused(module: nn.Module, convolution: str, norm: str) -> nn.Module:
    return fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
