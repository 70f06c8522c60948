"""Radial band-pass of feature maps: SFIM's Gabor modulation (docs/methods.md#sfim).

The paper does not define the frequency of a spatial row. In our reading each map is multiplied in the
frequency domain by a Gaussian around the radial frequency ω₀, the only reading that serves the stated
purpose.
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
"""Initial ω₀, as a share of the highest radial frequency."""

SPREAD = 0.25
"""Initial σ of the Gaussian, in the same unit."""


def radial_frequency(size: tuple[int, int], like: Tensor) -> Tensor:
    """ρ of each stored bin in [0, 1], (H, W//2 + 1): 0 at the mean, 1 at the corner (½, ½ cycles/sample)."""
    return constant(_radius, size, like)


def radial_position(size: tuple[int, int], like: Tensor) -> Tensor:
    """ρ of each index of a map, read as a frequency, (H, W): the literal reading of rows."""
    return constant(_full_radius, size, like)


def gaussian(radius: Tensor, center: Tensor | float, spread: Tensor | float) -> Tensor:
    """exp(−(ρ − ω₀)² / 2σ²), of the shape of ``radius``."""
    return torch.exp(-((radius - center) ** 2) / (2.0 * spread**2))


def band_pass(maps: Tensor, center: Tensor | float, spread: Tensor | float, keep_dc: bool = False) -> Tensor:
    """Weight each frequency of the maps by ``gaussian`` of its radius.

    Args:
        maps: (..., H, W).
        center: ω₀ in [0, 1].
        spread: σ > 0.
        keep_dc: Whether the mean has weight 1; average pooling depends on the mean only.

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
        domain: ``spectrum`` applies ``band_pass``. ``rows``, the literal reading, weights positions by the
            Gaussian of ``radial_position``.
        keep_dc: Whether the weight is 1 at ρ = 0.
        learned: Whether centre and spread are parameters; otherwise they keep their initial values.
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
