"""Recomputation of activations in the backward pass (``train.checkpoint_activations``).

Each residual block keeps its input only and repeats its forward pass when its gradients are needed: about a
third more arithmetic, and a fraction of the memory. The gradients are the same.
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from vireid_cli.errors import UsageError
from vireid_cli.sharding import batch_norm
from vireid_cli.sharding.share import repetition


def recompute_blocks(network: nn.Module, method: str) -> int:
    """Recompute the residual blocks of a network in its backward pass.

    Args:
        network: The network in training; its batch norms are replaced by ones that a repeated forward pass
            leaves unchanged.
        method: Name of the method, for the message.

    Returns:
        Number of blocks.

    Raises:
        UsageError: The network has no residual block.
    """
    batch_norm.convert(network)
    blocks = [module for module in network.modules() if isinstance(module, _kinds())]
    if not blocks:
        raise UsageError(
            f"train.checkpoint_activations: method {method} has no residual blocks.", "Set it to false."
        )
    for block in blocks:
        block.forward = functools.partial(_recomputed, block, block.forward)
    return len(blocks)


def _kinds() -> tuple[type[nn.Module], ...]:
    """Classes of residual blocks."""
    from torchvision.models.resnet import BasicBlock, Bottleneck

    from vireid_cli.backbones.lightcnn import Residual

    return BasicBlock, Bottleneck, Residual


def _recomputed(block: nn.Module, forward: Any, *inputs: Any) -> Any:
    """Forward pass of a block; training recomputes its activations."""
    if not block.training:
        return forward(*inputs)
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=_contexts)


def _contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Contexts of the first and of the repeated forward pass."""
    return nullcontext(), repetition()
