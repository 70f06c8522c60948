"""Mean amplitude spectra of many images: how they are summed up, and how far two of them are apart."""

from __future__ import annotations

import torch
from torch import Tensor

from vireid_cli.frequency.fourier import amplitude, columns_to_full, spectrum


def summed_amplitude(images: Tensor) -> Tensor:
    """Σ |F| over images and channels: (B, C, H, W) → (H, W//2 + 1), float64; divide by their number."""
    return amplitude(spectrum(images)).double().sum(dim=(0, 1))


def log_gap(first: Tensor, second: Tensor, width: int) -> float:
    """How far two mean amplitude spectra are apart: mean |log₁₀ A₁ − log₁₀ A₂| over the full plane.

    In decades: 0 where both are equal, 1 where one is ten times the other at every frequency. Zero
    frequency counts like any other. The measure is ours; SEPG-Net shows the gap without a number.

    Args:
        first: (H, W//2 + 1), positive.
        second: (H, W//2 + 1), positive.
        width: W; a stored column stands for one or two of the full plane.
    """
    counts = columns_to_full(width, first).expand_as(first)
    apart = (first.log10() - second.log10()).abs()
    return float((apart * counts).sum() / counts.sum())


def radial_profile(half: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Mean amplitude by spatial frequency, whatever its direction.

    Rings are 1/n cycles a pixel wide, n the shorter side, with their middles at 0, 1/n, 2/n … up to 1/2,
    which both axes reach; the corners of the plane beyond are left out.

    Args:
        half: (H, W//2 + 1), unshifted.
        width: W.

    Returns:
        Middles of the rings in cycles a pixel, and the mean over each ring's part of the full plane:
        (n//2 + 1,) each.
    """
    height = half.shape[0]
    shorter = min(height, width)
    rows = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]  # cycles a pixel
    columns = torch.fft.rfftfreq(width, dtype=torch.float64)
    ring = ((rows.square() + columns.square()).sqrt() * shorter).round().long()  # (H, W//2 + 1)
    inside = ring <= shorter // 2
    counts = columns_to_full(width, half).expand_as(half)[inside]
    empty = torch.zeros(shorter // 2 + 1, dtype=half.dtype)
    total = empty.index_add(0, ring[inside], half[inside] * counts)
    number = empty.index_add(0, ring[inside], counts)
    return torch.arange(shorter // 2 + 1) / shorter, total / number
