"""Mean amplitude spectra of many images: sums, distances and radial profiles."""

from __future__ import annotations

import torch
from torch import Tensor

from vireid_cli.frequency.fourier import amplitude, columns_to_full, spectrum


def summed_amplitude(images: Tensor) -> Tensor:
    """Σ |F| over images and channels: (B, C, H, W) → (H, W//2 + 1), float64; divide by B·C for the mean."""
    return amplitude(spectrum(images)).double().sum(dim=(0, 1))


def log_gap(first: Tensor, second: Tensor, width: int) -> float:
    """Distance of two mean amplitude spectra: mean |log₁₀ A₁ − log₁₀ A₂| over the full plane, in decades.

    It is 0 for equal spectra and 1 if one is ten times the other at every frequency. The zero frequency
    counts like any other. The measure is ours; SEPG-Net plots the gap without a number.

    Args:
        first: (H, W//2 + 1), positive.
        second: (H, W//2 + 1), positive.
        width: W in pixels; a stored column represents one or two columns of the full plane.
    """
    counts = columns_to_full(width, first).expand_as(first)
    gaps = (first.log10() - second.log10()).abs()
    return float((gaps * counts).sum() / counts.sum())


def radial_profile(half: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Mean amplitude per radial spatial frequency.

    Rings are 1/n cycles per pixel wide, with n the shorter side, and centred at 0, 1/n, 2/n … up to 1/2, the
    limit of both axes. The corners of the plane beyond are ignored.

    Args:
        half: (H, W//2 + 1), unshifted.
        width: W in pixels.

    Returns:
        Centres of the rings in cycles per pixel, and the mean amplitude of each ring over the full plane:
        (n//2 + 1,) each.
    """
    height = half.shape[0]
    shorter = min(height, width)
    rows = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]  # cycles per pixel
    columns = torch.fft.rfftfreq(width, dtype=torch.float64)
    ring = ((rows.square() + columns.square()).sqrt() * shorter).round().long()  # (H, W//2 + 1)
    inside = ring <= shorter // 2
    counts = columns_to_full(width, half).expand_as(half)[inside]
    empty = torch.zeros(shorter // 2 + 1, dtype=half.dtype)
    total = empty.index_add(0, ring[inside], half[inside] * counts)
    number = empty.index_add(0, ring[inside], counts)
    return torch.arange(shorter // 2 + 1) / shorter, total / number
