"""Random tensors, gradients and parameter counts, as the tests of layers, losses and methods use them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Loss = Callable[..., Tensor]
"""A loss function: tensors in, a scalar out."""


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers from a generator of their own."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gradient_of(leaf: Tensor) -> Tensor:
    """The gradient that a backward pass left in ``leaf``; fails if there is none."""
    assert leaf.grad is not None
    return leaf.grad


def parameter_count(module: nn.Module) -> int:
    """Number of parameters of a module, frozen ones included."""
    return sum(parameter.numel() for parameter in module.parameters())
