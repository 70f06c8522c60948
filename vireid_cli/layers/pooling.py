"""Pooling of feature maps: global average, generalised mean, horizontal stripes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

GemForm = Literal["paper", "released"]
"""Treatment of features of value 0 in a generalised mean (docs/methods.md#pooling)."""

SMALLEST = 1e-6
"""Lower limit of features before the power in the form ``paper``; the root of a negative mean is NaN."""

RELEASED_ADDEND = 1e-12
"""Addend of the mean in the form ``released``: the codes of AGW, CAJ and HcTri do not clamp."""


def global_average(features: Tensor) -> Tensor:
    """Mean over positions: (B, C, h, w) → (B, C)."""
    return features.mean(dim=(-2, -1))


def generalised_mean(features: Tensor, power: Tensor | float, form: GemForm = "paper") -> Tensor:
    """(mean x^p)^(1/p) over positions, in float32 (float64 stays): (B, C, h, w) → (B, C).

    Args:
        features: Any values for ``paper``, which clamps them to at least ``SMALLEST``; non-negative values
            for ``released``, as after a ReLU.
        power: p; 1 is the mean, infinity the maximum.
        form: ``released`` computes (mean x^p + 1e-12)^(1/p), which is at least 1e-4 for p = 3 and 0.063 for
            p = 10.
    """
    values = _prepared(features.flatten(2), form)
    mean, scale = _mean_power(values, power, form)
    return _root(mean, scale, power, form).to(features.dtype)


def generalised_mean_stripes(features: Tensor, count: int, power: float, form: GemForm = "paper") -> Tensor:
    """(mean x^p)^(1/p) over ``count`` horizontal stripes, in float32 (float64 stays).

    Args:
        features: (B, C, h, w); see ``generalised_mean``.
        count: Number of stripes, with the same rows as in ``stripes``.
        power: p; 1 is the mean.
        form: See ``generalised_mean``.

    Returns:
        (B, C, count).
    """
    height, parts = features.shape[2], torch.arange(count, device=features.device)
    first, end = parts * height // count, -(-(parts + 1) * height // count)  # (count,)
    most = max(-(-(s + 1) * height // count) - s * height // count for s in range(count))
    window = first.unsqueeze(1) + torch.arange(most, device=features.device)  # (count, most)
    inside = window < end.unsqueeze(1)
    rows, row_scale = _mean_power(_prepared(features, form), power, form)  # (B, C, h) each
    row_index = torch.minimum(window, end.unsqueeze(1) - 1)
    scale = row_scale[..., row_index].amax(-1)  # (B, C, count)
    rescaled = rows[..., row_index] * (row_scale[..., row_index] / scale.unsqueeze(-1)).pow(power)
    member = inside.to(rows.dtype)
    mean = (rescaled * (member / member.sum(1, keepdim=True))).sum(-1)
    return _root(mean, scale, power, form).to(features.dtype)


def _prepared(features: Tensor, form: GemForm) -> Tensor:
    full = features if features.dtype == torch.float64 else features.float()
    return full.clamp_min(SMALLEST) if form == "paper" else full


def _mean_power(values: Tensor, power: Tensor | float, form: GemForm) -> tuple[Tensor, Tensor]:
    """Mean of (x / s)^p over the last axis, and the scale s: the largest x or least mean, no gradient."""
    # Cubes of bf16 features lose small values, cubes of fp16 features overflow at 40, and tenth powers of
    # small features underflow in float32. Relative to the largest value nothing overflows or underflows. The
    # gradient of the scale cancels, because the mean is homogeneous.
    largest, least = values.detach().amax(-1, keepdim=True), RELEASED_ADDEND ** (1.0 / power)
    if form == "paper":
        scale = largest  # at least SMALLEST
    elif isinstance(least, Tensor):
        scale = largest.maximum(least.detach())
    else:
        scale = largest.clamp_min(least)
    return (values / scale).pow(power).mean(-1), scale.squeeze(-1)


def _root(mean: Tensor, scale: Tensor, power: Tensor | float, form: GemForm) -> Tensor:
    """s · (mean (x / s)^p)^(1/p); ``released`` adds 1e-12 to the mean of x^p."""
    if form == "released":
        # In this order no intermediate result overflows or underflows: the addend is at most scale^p.
        mean = mean + (RELEASED_ADDEND ** (1.0 / power) / scale).pow(power)
    return mean.pow(1.0 / power) * scale


class GeneralisedMean(nn.Module):
    """Generalised-mean pooling with a fixed or learned power.

    Args:
        power: Initial p; 3 in AGW.
        learned: Whether p is a parameter.
        form: See ``generalised_mean``.
    """

    def __init__(self, power: float = 3.0, learned: bool = False, form: GemForm = "paper") -> None:
        super().__init__()
        self.form: GemForm = form
        self.power: float | nn.Parameter = nn.Parameter(torch.tensor(power)) if learned else power

    def forward(self, features: Tensor) -> Tensor:
        """Pool: (B, C, h, w) → (B, C)."""
        return generalised_mean(features, self.power, self.form)


def stripes(features: Tensor, *counts: int) -> Tensor:
    """Means over horizontal stripes, for each number of stripes: (B, C, h, w) → (B, C, Σ counts).

    Stripe i of n has rows ⌊i·h/n⌋ to ⌈(i+1)·h/n⌉ − 1, as in adaptive average pooling. If n does not divide h,
    neighbouring stripes overlap: 18 rows in 12 stripes are 12 windows of 2 rows. The implementation is one
    product over all positions; its gradient has the memory layout of the maps.
    """
    height, width = features.shape[-2:]
    weights = [stripe_weights(height, width, count, features) for count in counts]  # (h·w, count) each
    shares = weights[0] if len(weights) == 1 else torch.cat(weights, dim=1)
    return torch.bmm(shares.mT.expand(features.shape[0], -1, -1), features.flatten(2).mT).mT


def stripe_weights(height: int, width: int, count: int, like: Tensor) -> Tensor:
    """Share of each position in each stripe's mean, (h·w, count), on the device and in the type of ``like``.

    A product with these weights can be exported; adaptive pooling into overlapping windows cannot.
    """
    # Row r is in stripe s if r ≥ ⌊s·h/count⌋ and r < ⌈(s+1)·h/count⌉: −h < s·h − r·count < count.
    starts = torch.arange(0, count * height, height, device=like.device)  # (count,)
    rows = torch.arange(height * width, device=like.device) // width * count  # (h·w,)
    gap = starts - rows.unsqueeze(1)  # (h·w, count)
    inside = ((gap > -height) & (gap < count)).to(like.dtype)
    return inside / inside.sum(0)
