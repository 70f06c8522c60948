"""Pooling of feature maps: global average, generalised mean, horizontal stripes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALLEST = 1e-6
"""Features are clamped here before the power: the root of a negative mean is NaN (METHODS 8.15)."""


def global_average(features: Tensor) -> Tensor:
    """The mean over positions: (B, C, h, w) → (B, C)."""
    return features.mean(dim=(-2, -1))


def generalised_mean(features: Tensor, power: Tensor | float) -> Tensor:
    """(mean x^p)^(1/p) over positions, in float32: (B, C, h, w) → (B, C).

    AGW adds 1e-12 to the mean instead of clamping: where a whole channel is 0 it gives 1e-4.

    Args:
        features: Clamped from below to ``SMALLEST``.
        power: p; 1 is the mean, infinity the maximum.
    """
    clamped = features.flatten(2).float().clamp_min(SMALLEST)
    return _power_mean(clamped, power).to(features.dtype)


def generalised_mean_stripes(features: Tensor, count: int, power: float) -> Tensor:
    """(mean x^p)^(1/p) over ``count`` horizontal stripes, in float32: (B, C, h, w) → (B, C, count).

    Args:
        features: Clamped from below to ``SMALLEST``.
        count: Stripes; their rows are those of ``stripes``.
        power: p; 1 is the mean.
    """
    rows = _power_mean(features.float().clamp_min(SMALLEST), power)  # (B, C, h)
    height, parts = rows.shape[-1], torch.arange(count, device=rows.device)
    first, end = parts * height // count, -(-(parts + 1) * height // count)  # (count,)
    most = max(-(-(s + 1) * height // count) - s * height // count for s in range(count))
    window = first.unsqueeze(1) + torch.arange(most, device=rows.device)  # (count, most)
    inside = window < end.unsqueeze(1)
    weights = inside / inside.sum(1, keepdim=True)
    taken = rows[..., torch.minimum(window, end.unsqueeze(1) - 1)]  # (B, C, count, most)
    return _power_mean(taken, power, weights).to(features.dtype)


def _power_mean(values: Tensor, power: Tensor | float, weights: Tensor | None = None) -> Tensor:
    """(Σ weight · x^p)^(1/p) over the last axis; without weights each counts alike; x > 0, float32."""
    # Cubes of bf16 features lose the small positions, those of fp16 overflow at 40; and tenth powers of
    # small features vanish in float32. Relative to the largest nothing over- or underflows to 0, and
    # its gradient cancels: the mean is homogeneous.
    largest = values.detach().amax(-1, keepdim=True)
    raised = (values / largest).pow(power)
    mean = raised.mean(-1) if weights is None else (raised * weights).sum(-1)
    return mean.pow(1.0 / power) * largest.squeeze(-1)


class GeneralisedMean(nn.Module):
    """Generalised-mean pooling with a fixed or learned power.

    Args:
        power: p at the start; 3 in AGW.
        learned: Whether p is a parameter.
    """

    def __init__(self, power: float = 3.0, learned: bool = False) -> None:
        super().__init__()
        self.power: float | nn.Parameter = nn.Parameter(torch.tensor(power)) if learned else power

    def forward(self, features: Tensor) -> Tensor:
        """Pool: (B, C, h, w) → (B, C)."""
        return generalised_mean(features, self.power)


def stripes(features: Tensor, *counts: int) -> Tensor:
    """Means over horizontal stripes, ``count`` of the whole height for each: (B, C, h, w) → (B, C, Σ counts).

    Stripe i of n takes rows ⌊i·h/n⌋ to ⌈(i+1)·h/n⌉ − 1, as adaptive average pooling does; where n does
    not divide h, neighbours overlap: 18 rows in 12 stripes give 12 windows of 2 rows (METHODS 2.1).
    One product over all positions, whose gradient has the layout of the maps.
    """
    height, width = features.shape[-2:]
    weights = [stripe_weights(height, width, count, features) for count in counts]  # (h·w, count) each
    shares = weights[0] if len(weights) == 1 else torch.cat(weights, dim=1)
    return torch.bmm(shares.mT.expand(features.shape[0], -1, -1), features.flatten(2).mT).mT


def stripe_weights(height: int, width: int, count: int, like: Tensor) -> Tensor:
    """Share of each position in each stripe's mean, (h·w, count), on the device and in the type of ``like``.

    A product with these exports where adaptive pooling into overlapping windows does not.
    """
    # Row r lies in stripe s if r ≥ ⌊s·h/count⌋ and r < ⌈(s+1)·h/count⌉: −h < s·h − r·count < count.
    starts = torch.arange(0, count * height, height, device=like.device)  # (count,)
    rows = torch.arange(height * width, device=like.device) // width * count  # (h·w,)
    gap = starts - rows.unsqueeze(1)  # (h·w, count)
    inside = ((gap > -height) & (gap < count)).to(like.dtype)
    return inside / inside.sum(0)
