"""Pooling of feature maps: global average, generalised mean, horizontal stripes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

GemForm = Literal["paper", "released"]
"""How a generalised mean stays defined where features are 0 (docs/methods.md#pooling)."""

SMALLEST = 1e-6
"""``paper``: features are clamped here before the power, because the root of a negative mean is NaN."""

RELEASED_ADDEND = 1e-12
"""``released``: the codes of AGW, CAJ and HcTri add this to the mean and clamp nothing."""


def global_average(features: Tensor) -> Tensor:
    """The mean over positions: (B, C, h, w) → (B, C)."""
    return features.mean(dim=(-2, -1))


def generalised_mean(features: Tensor, power: Tensor | float, form: GemForm = "paper") -> Tensor:
    """(mean x^p)^(1/p) over positions, in float32 (float64 stays): (B, C, h, w) → (B, C).

    Args:
        features: ``paper``: clamped from below to ``SMALLEST``. ``released``: not negative, as after a ReLU.
        power: p; 1 is the mean, infinity the maximum.
        form: ``released`` computes (mean x^p + 1e-12)^(1/p), whose least value is 1e-4 with p = 3 and
            0.063 with p = 10.
    """
    values = _prepared(features.flatten(2), form)
    mean, scale = _mean_power(values, power, form)
    return _root(mean, scale, power, form).to(features.dtype)


def generalised_mean_stripes(features: Tensor, count: int, power: float, form: GemForm = "paper") -> Tensor:
    """(mean x^p)^(1/p) over ``count`` horizontal stripes, in float32 (float64 stays).

    Args:
        features: (B, C, h, w), as of ``generalised_mean``.
        count: Stripes; their rows are those of ``stripes``.
        power: p; 1 is the mean.
        form: As of ``generalised_mean``.

    Returns:
        (B, C, count).
    """
    height, parts = features.shape[2], torch.arange(count, device=features.device)
    first, end = parts * height // count, -(-(parts + 1) * height // count)  # (count,)
    most = max(-(-(s + 1) * height // count) - s * height // count for s in range(count))
    window = first.unsqueeze(1) + torch.arange(most, device=features.device)  # (count, most)
    inside = window < end.unsqueeze(1)
    rows, row_scale = _mean_power(_prepared(features, form), power, form)  # (B, C, h) each
    taken = torch.minimum(window, end.unsqueeze(1) - 1)
    scale = row_scale[..., taken].amax(-1)  # (B, C, count)
    rescaled = rows[..., taken] * (row_scale[..., taken] / scale.unsqueeze(-1)).pow(power)
    member = inside.to(rows.dtype)
    mean = (rescaled * (member / member.sum(1, keepdim=True))).sum(-1)
    return _root(mean, scale, power, form).to(features.dtype)


def _prepared(features: Tensor, form: GemForm) -> Tensor:
    full = features if features.dtype == torch.float64 else features.float()
    return full.clamp_min(SMALLEST) if form == "paper" else full


def _mean_power(values: Tensor, power: Tensor | float, form: GemForm) -> tuple[Tensor, Tensor]:
    """Mean of (x / s)^p over the last axis, and s: the largest x or the least mean, without gradient."""
    # Cubes of bf16 features lose the small positions, those of fp16 overflow at 40; and tenth powers of
    # small features vanish in float32. Relative to the largest nothing over- or underflows to 0, and
    # its gradient cancels: the mean is homogeneous.
    largest, least = values.detach().amax(-1, keepdim=True), RELEASED_ADDEND ** (1.0 / power)
    if form == "paper":
        scale = largest  # at least SMALLEST
    elif isinstance(least, Tensor):
        scale = largest.maximum(least.detach())
    else:
        scale = largest.clamp_min(least)
    return (values / scale).pow(power).mean(-1), scale.squeeze(-1)


def _root(mean: Tensor, scale: Tensor, power: Tensor | float, form: GemForm) -> Tensor:
    """s · (mean (x / s)^p)^(1/p), for ``released`` with 1e-12 added to the mean of x^p."""
    if form == "released":
        # In this order no intermediate under- or overflows: the addend is scale^p at most.
        mean = mean + (RELEASED_ADDEND ** (1.0 / power) / scale).pow(power)
    return mean.pow(1.0 / power) * scale


class GeneralisedMean(nn.Module):
    """Generalised-mean pooling with a fixed or learned power.

    Args:
        power: p at the start; 3 in AGW.
        learned: Whether p is a parameter.
        form: As of ``generalised_mean``.
    """

    def __init__(self, power: float = 3.0, learned: bool = False, form: GemForm = "paper") -> None:
        super().__init__()
        self.form: GemForm = form
        self.power: float | nn.Parameter = nn.Parameter(torch.tensor(power)) if learned else power

    def forward(self, features: Tensor) -> Tensor:
        """Pool: (B, C, h, w) → (B, C)."""
        return generalised_mean(features, self.power, self.form)


def stripes(features: Tensor, *counts: int) -> Tensor:
    """Means over horizontal stripes, ``count`` of the whole height for each: (B, C, h, w) → (B, C, Σ counts).

    Stripe i of n takes rows ⌊i·h/n⌋ to ⌈(i+1)·h/n⌉ − 1, as adaptive average pooling does; where n does
    not divide h, neighbours overlap: 18 rows in 12 stripes give 12 windows of 2 rows.
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
