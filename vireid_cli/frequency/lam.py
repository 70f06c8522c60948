"""LAM, D-SELACFP's local attention from DCT coefficients of horizontal parts (docs/methods.md#lam).

The paper has neither equations nor code. It cites FcaNet; this is FcaNet's channel attention on horizontal
parts. The number of parts, the pooling before the transform and the second kind are our readings.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from vireid_cli.frequency.constants import constant
from vireid_cli.frequency.dct import (
    GRID,
    Frequencies,
    dct,
    inverse_dct,
    part_bounds,
    part_descriptors,
)

Kind = Literal["descriptor", "idct"]

GROUPS = 16
"""Channel groups of the ``idct`` kind, and of the descriptors with 16 frequencies."""

REDUCTION = 16
"""Ratio of channels to hidden units of the attention; narrow networks have ``LEAST`` units (our choice)."""
LEAST = 4


class DescriptorAttention(nn.Module):
    """Scale the channels of each part by a = sigmoid(W₂ relu(W₁ d)), d its DCT descriptors.

    Args:
        channels: C.
        parts: Number of horizontal parts, which share the weights.
        frequencies, dc_norm: See ``frequency.dct.part_descriptors``.
        residual: Whether y is x(1 + a) instead of x·a.
    """

    def __init__(
        self, channels: int, parts: int, frequencies: Frequencies, dc_norm: bool, residual: bool
    ) -> None:
        super().__init__()
        self.parts, self.frequencies, self.dc_norm, self.residual = parts, frequencies, dc_norm, residual
        hidden = max(channels // REDUCTION, LEAST)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)
        nn.init.kaiming_normal_(self.squeeze.weight, mode="fan_out")
        nn.init.kaiming_normal_(self.excite.weight, mode="fan_out")

    def forward(self, features: Tensor) -> Tensor:
        """Apply the attention: (B, C, h, w) → (B, C, h, w)."""
        described = part_descriptors(features, self.parts, self.frequencies, self.dc_norm)  # (B, C, parts)
        hidden = self.squeeze(described.mT).relu()  # (B, parts, hidden)
        attention = self.excite(hidden).sigmoid().mT  # (B, C, parts)
        member = constant(_membership, (features.shape[2], self.parts), described)  # (parts, h)
        scale = (attention.to(member.dtype) @ member).unsqueeze(-1).to(features.dtype)  # (B, C, h, 1)
        return features * (1.0 + scale) if self.residual else features * scale


class SpectrumMask(nn.Module):
    """Weigh the DCT coefficients of each part by a learned sigmoid mask, and transform back.

    Each of 16 channel groups has a 7 × 7 mask, shared by the parts. The mask is interpolated bilinearly
    over the frequencies of a part of any size (our reading), with aligned corners: DC has the mask's first
    cell, the highest frequency its last. All values start at ½, as in the descriptors' attention.

    Args:
        channels: C; channel c of C belongs to group ⌊16c/C⌋.
        parts: Number of horizontal parts.
        residual: Whether the filtered map is added to the input instead of replacing it.
    """

    def __init__(self, channels: int, parts: int, residual: bool) -> None:
        super().__init__()
        self.parts, self.residual = parts, residual
        self.channels, self.groups = channels, min(GROUPS, channels)
        self.logits = nn.Parameter(torch.zeros(self.groups, GRID, GRID))

    def forward(self, features: Tensor) -> Tensor:
        """Filter: (B, C, h, w) → (B, C, h, w)."""
        height, width = features.shape[2:]
        coefficients = dct(features, self.parts)
        with torch.autocast(features.device.type, enabled=False):
            rows = constant(_stretch, (height, self.parts), coefficients)  # (h, 7)
            columns = constant(_stretch, (width, 1), coefficients)  # (w, 7)
            group = constant(_groups, (self.channels, self.groups), coefficients)  # (C, groups)
            masks = (rows @ self.logits.to(rows.dtype) @ columns.mT).sigmoid()  # (groups, h, w)
            mask = (group @ masks.flatten(1)).unflatten(1, (height, width))  # (C, h, w)
            filtered = inverse_dct(coefficients * mask, self.parts).to(features.dtype)
        return features + filtered if self.residual else filtered


def lam(
    channels: int,
    parts: int = 4,
    *,
    kind: Kind = "descriptor",
    frequencies: Frequencies = "top16",
    dc_norm: bool = True,
    residual: bool = False,
) -> DescriptorAttention | SpectrumMask:
    """Build the local attention of ``kind`` for a stage input with ``channels`` channels."""
    if kind == "idct":
        return SpectrumMask(channels, parts, residual)
    return DescriptorAttention(channels, parts, frequencies, dc_norm, residual)


def _membership(height: int, parts: int) -> np.ndarray:
    """Indicator of the rows of each part: (parts, height)."""
    member = np.zeros((parts, height))
    for p, (first, end) in enumerate(part_bounds(height, parts)):
        member[p, first:end] = 1.0
    return member


def _stretch(size: int, parts: int) -> np.ndarray:
    """Linear interpolation from 7 cells to the frequencies of each part of an axis: (size, 7)."""
    weights = np.zeros((size, GRID))
    for first, end in part_bounds(size, parts):
        places = np.linspace(0.0, GRID - 1.0, end - first)
        weights[first:end] = np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(GRID)))
    return weights


def _groups(channels: int, groups: int) -> np.ndarray:
    """Indicator of the group of each channel: (channels, groups)."""
    return np.eye(groups)[np.arange(channels) * groups // channels]
