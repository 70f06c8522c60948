"""Batch norms over the whole batch while ranks share its rows.

On GPUs the modules are PyTorch's ``SyncBatchNorm``, which has no CPU implementation. On CPUs ``batch_norm``
computes the same: ranks exchange means, variances and counts in the forward pass, and two sums per channel
in the backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.sharding import share


def batch_norm(
    values: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """Normalise (N, C, …) by batch statistics, over all ranks while a share is active.

    Args:
        values: This rank's rows.
        running_mean, running_var: (C,) running statistics; updated unless a forward pass is repeated.
        weight, bias: (C,) scale and shift, or None.
        momentum: Weight of the batch in the running statistics.
        eps: Addend of the variance.
    """
    update = not share.repeating()
    if share.active() is None:
        # A repetition must save the same tensors, so it updates copies.
        mean, variance = (value if update else value.clone() for value in (running_mean, running_var))
        return F.batch_norm(values, mean, variance, weight, bias, True, momentum, eps)
    normed: Tensor
    normed, batch_mean, batch_var, count = _BatchNorm.apply(values, weight, bias, eps)
    if update:
        with torch.no_grad():
            unbiased = batch_var * (count / (count - 1).clamp_min(1))
            running_mean.lerp_(batch_mean.to(running_mean.dtype), momentum)
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    return normed


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm on a CPU, over the whole batch while a share is active; takes (N, C, …)."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, …)."""
        return _normed(self, input)


class SharedGpuBatchNorm(nn.SyncBatchNorm):
    """Batch norm on a GPU, over the whole batch while a share is active; takes (N, C, …)."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, …)."""
        if share.active() is None or not self.training:
            return _normed(self, input)
        tracks = self.track_running_stats
        self.track_running_stats = tracks and not share.repeating()
        try:
            return super().forward(input)
        finally:
            self.track_running_stats = tracks


def _normed(norm: SharedBatchNorm | SharedGpuBatchNorm, values: Tensor) -> Tensor:
    """Forward pass of a module by ``batch_norm``, or by its running statistics in eval mode."""
    mean, variance, count = norm.running_mean, norm.running_var, norm.num_batches_tracked
    assert mean is not None
    assert variance is not None
    assert norm.momentum is not None
    if not norm.training:
        return F.batch_norm(values, mean, variance, norm.weight, norm.bias, False, 0.0, norm.eps)
    if count is not None and not share.repeating():
        count.add_(1)
    return batch_norm(values, mean, variance, norm.weight, norm.bias, norm.momentum, norm.eps)


def convert(module: nn.Module) -> None:
    """Replace the batch norms in a module by shared ones with the same parameters, buffers and keys.

    Raises:
        ValueError: A batch norm has no running statistics or a cumulative mean.
    """
    for name, child in module.named_children():
        if type(child) in (nn.BatchNorm1d, nn.BatchNorm2d):
            setattr(module, name, _converted(child))
        else:
            convert(child)


def _converted(norm: nn.Module) -> SharedBatchNorm | SharedGpuBatchNorm:
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    if norm.running_mean is None or norm.momentum is None:
        raise ValueError(f"{norm} has no running statistics with a momentum")
    kind = SharedGpuBatchNorm if norm.running_mean.is_cuda else SharedBatchNorm
    result = kind(norm.num_features, norm.eps, norm.momentum, norm.affine, device="meta")
    result.weight, result.bias = norm.weight, norm.bias
    result.running_mean, result.running_var = norm.running_mean, norm.running_var
    result.num_batches_tracked = norm.num_batches_tracked
    return result.train(norm.training)


class _BatchNorm(torch.autograd.Function):
    """Batch norm over all ranks: output, and mean, biased variance and count of the whole batch."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Normalise with the statistics of all ranks' rows."""
        exact = values if values.dtype == torch.float64 else values.float()
        axes = _reduced(values)
        variance, mean = torch.var_mean(exact, axes, correction=0)
        own = torch.cat([mean, variance, mean.new_tensor([values.numel() / values.shape[1]])])
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, own)
        means, variances, counts = torch.stack(parts).split([len(mean), len(mean), 1], dim=1)
        count = counts.sum()
        shares = counts / count  # (ranks, 1)
        mean = (shares * means).sum(0)
        variance = (shares * (variances + (means - mean).square())).sum(0)
        scale = (variance + eps).rsqrt()
        ctx.save_for_backward(values, weight, mean, scale, count)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(mean, variance, count)
        factor = scale if weight is None else scale * weight
        offset = -mean * factor if bias is None else bias - mean * factor
        normed = torch.addcmul(_column(offset, values), exact, _column(factor, values))
        return normed.to(values.dtype), mean, variance, count

    @staticmethod
    def backward(
        ctx: Any, *gradients: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        """Exact gradients, with sums over all ranks."""
        values, weight, mean, scale, count = ctx.saved_tensors
        assert gradients[0] is not None
        exact = values if values.dtype == torch.float64 else values.float()
        gradient = gradients[0].to(exact.dtype)
        normed = (exact - _column(mean, values)) * _column(scale, values)
        axes = _reduced(values)
        own = torch.stack([gradient.sum(axes), (gradient * normed).sum(axes)])
        total = own.clone()
        dist.all_reduce(total)
        means = total / count
        factor = scale if weight is None else scale * weight
        inner = gradient - _column(means[0], values) - normed * _column(means[1], values)
        to_values = (inner * _column(factor, values)).to(values.dtype)
        needed = ctx.needs_input_grad
        return to_values, own[1] if needed[1] else None, own[0] if needed[2] else None, None


def _reduced(values: Tensor) -> list[int]:
    """Axes of the mean: all but the channels."""
    return [0, *range(2, values.dim())]


def _column(channels: Tensor, values: Tensor) -> Tensor:
    """Shape (C,) for broadcasting with (N, C, …)."""
    return channels.view(1, -1, *(1 for _ in range(values.dim() - 2)))
