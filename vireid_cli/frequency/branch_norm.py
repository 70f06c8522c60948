"""Batch norm of several branches with separate statistics and a shared scale and shift."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.sharding.batch_norm import batch_norm
from vireid_cli.sharding.share import repeating

EPSILON = 1e-5
MOMENTUM = 0.1
"""PyTorch's own."""


class BranchNorm(nn.Module):
    """Batch norms that share γ and β: FDNM's "parameter-shared BN layers" (docs/methods.md#anm).

    Each branch is normalised by the mean and variance of its own batch, and in eval mode by its own running
    statistics. One batch norm over all branches would preserve the difference of their means, so that the
    features of the branches become opposite.

    Args:
        channels: C.
        branches: Number of branches; 1 gives an ordinary batch norm.
    """

    def __init__(self, channels: int, branches: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(branches, channels))
        self.register_buffer("running_var", torch.ones(branches, channels))
        self.branches = branches

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise maps (branches·N, C, H, W), one branch after another; the shape does not change."""
        if not self.training:
            scale, shift = (value[:, None, :, None, None] for value in self.affine())
            return torch.addcmul(shift, maps.unflatten(0, (self.branches, -1)), scale).flatten(0, 1).to(maps)
        statistics = zip(self.running_mean.unbind(), self.running_var.unbind(), strict=True)
        normed = [
            batch_norm(part, mean, var, self.weight, self.bias, MOMENTUM, EPSILON)
            for part, (mean, var) in zip(maps.chunk(self.branches), statistics, strict=True)
        ]
        return torch.cat(normed) if len(normed) > 1 else normed[0]

    def features(self, features: Tensor) -> Tensor:
        """Normalise features (branches, N, C) in one pass over all branches; the shape does not change."""
        rows = features.transpose(0, 1).flatten(1)  # (N, branches·C)
        running = self.running_mean.view(-1), self.running_var.view(-1)
        affine = self.weight.repeat(self.branches), self.bias.repeat(self.branches)
        if self.training:
            normed = batch_norm(rows, *running, *affine, MOMENTUM, EPSILON)
        else:
            normed = F.batch_norm(rows, *running, *affine, False, MOMENTUM, EPSILON)
        return normed.unflatten(1, (self.branches, -1)).transpose(0, 1)

    def affine(self, mean: Tensor | None = None, variance: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scale and shift of the normalisation, (branches, C) each.

        Args:
            mean, variance: (branches, C) statistics of the batch; None selects the running statistics.
        """
        mean = self.running_mean if mean is None else mean
        variance = self.running_var if variance is None else variance
        scale = self.weight * (variance + EPSILON).rsqrt()
        return scale, self.bias - mean * scale

    @torch.no_grad()
    def update(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics towards (branches, C) batch statistics over ``count`` values.

        The running variance is the unbiased one, as in PyTorch. A repeated forward pass updates nothing.
        """
        if repeating():
            return
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), MOMENTUM)
        unbiased = variance * (count / max(count - 1, 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), MOMENTUM)
