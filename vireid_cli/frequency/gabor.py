"""Radial band-pass of feature maps: SFIM's Gabor modulation (docs/methods.md#sfim).

The paper leaves open what frequency a spatial row has. Our reading: each map is multiplied in the
frequency domain by a Gaussian around the radial frequency ω₀, the only reading with the stated purpose.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from vireid_cli.frequency.constants import constant
from vireid_cli.frequency.fourier import inverse, real, spectrum

CENTER = 0.35
"""ω₀ at the start, as a share of the highest radial frequency."""

SPREAD = 0.25
"""σ of the Gaussian at the start, in the same unit."""


def radial_frequency(size: tuple[int, int], like: Tensor) -> Tensor:
    """ρ of each stored bin in [0, 1], (H, W//2 + 1): 0 at the mean, 1 at the corner (½, ½ cycles/sample)."""
    return constant(_radius, size, like)


def radial_position(size: tuple[int, int], like: Tensor) -> Tensor:
    """ρ of each index of a map read as if it were a frequency, (H, W): the literal row reading."""
    return constant(_full_radius, size, like)


def gaussian(radius: Tensor, center: Tensor | float, spread: Tensor | float) -> Tensor:
    """exp(−(ρ − ω₀)² / 2σ²), of the shape of ``radius``."""
    return torch.exp(-((radius - center) ** 2) / (2.0 * spread**2))


def band_pass(maps: Tensor, center: Tensor | float, spread: Tensor | float, keep_dc: bool = False) -> Tensor:
    """The maps with each frequency weighted by ``gaussian`` of its radius.

    Args:
        maps: (..., H, W).
        center: ω₀ in [0, 1].
        spread: σ > 0.
        keep_dc: Weight 1 for the mean, which is all that average pooling sees.

    Returns:
        (..., H, W), float32 (float64 stays).
    """
    maps = real(maps)
    size = (maps.shape[-2], maps.shape[-1])
    radius = radial_frequency(size, maps)
    weights = gaussian(radius, center, spread)
    if keep_dc:
        weights = torch.where(radius == 0, 1.0, weights)
    re, im = spectrum(maps)
    return inverse((re * weights, im * weights), size)


class Gabor(nn.Module):
    """A radial band-pass with learned centre ω₀ = sigmoid(·) and spread σ = softplus(·).

    Args:
        domain: ``spectrum``: ``band_pass``; ``rows``: positions themselves are weighted by the Gaussian of
            ``radial_position``, which is what the words say.
        keep_dc: Weight 1 where ρ = 0.
        learned: Whether centre and spread are parameters; else they stay at their start.
    """

    def __init__(
        self, domain: Literal["spectrum", "rows"] = "spectrum", keep_dc: bool = False, learned: bool = True
    ) -> None:
        super().__init__()
        self.domain, self.keep_dc = domain, keep_dc
        self.center = nn.Parameter(torch.tensor(math.log(CENTER / (1 - CENTER))), requires_grad=learned)
        self.spread = nn.Parameter(torch.tensor(math.log(math.expm1(SPREAD))), requires_grad=learned)

    def forward(self, maps: Tensor) -> Tensor:
        """Modulate: (B, C, h, w) → (B, C, h, w), float32."""
        center, spread = self.center.sigmoid(), torch.nn.functional.softplus(self.spread)
        if self.domain == "spectrum":
            return band_pass(maps, center, spread, self.keep_dc)
        maps = real(maps)
        radius = radial_position((maps.shape[-2], maps.shape[-1]), maps)
        weights = gaussian(radius, center, spread)
        return maps * (torch.where(radius == 0, 1.0, weights) if self.keep_dc else weights)


def _radius(height: int, width: int) -> np.ndarray:
    vertical, horizontal = np.fft.fftfreq(height), np.fft.rfftfreq(width)
    return np.hypot(vertical[:, None], horizontal[None, :]) / math.sqrt(0.5)


def _full_radius(height: int, width: int) -> np.ndarray:
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]) / math.sqrt(0.5)
