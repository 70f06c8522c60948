"""Amplitude and phase of feature maps as vectors for cosine similarity (FDNM's figures 2 and 6).

The paper plots both components without defining the vectors, so the definition is ours. It does not average
frequencies: the mean of phasors over frequencies is the first pixel of the phase-only map, and the mean
over positions is the zero frequency alone (docs/methods.md#pooling). Instead, the inner product of two
vectors sums over all channels and all frequencies of the full plane, and ``folded`` shortens the vectors.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_cli.frequency import fourier


def amplitude_component(maps: Tensor) -> Tensor:
    """Amplitudes of every channel and frequency.

    Args:
        maps: (N, C, h, w).

    Returns:
        (N, C·h·(w//2 + 1)); the squared length is the energy of the map (Parseval).
    """
    sizes = fourier.amplitude(fourier.spectrum(maps))
    return (sizes * _weights(maps)).flatten(1)


def phase_component(maps: Tensor) -> Tensor:
    """Phases of every channel and frequency as (cos φ, sin φ), which do not wrap at ±π.

    If every bin has a phase, the cosine of two such vectors is the mean of cos Δφ over the full plane. Bins
    without a phase (see ``fourier.phasor``) are 0.

    Args:
        maps: (N, C, h, w).

    Returns:
        (N, 2·C·h·(w//2 + 1)).
    """
    cosine, sine = fourier.phasor(fourier.spectrum(maps))
    weights = _weights(maps)
    return torch.cat([(cosine * weights).flatten(1), (sine * weights).flatten(1)], dim=1)


def folded(vectors: Tensor, length: int, seed: int = 0) -> Tensor:
    """Project vectors to a shorter length with nearly the same inner products.

    Coordinates are shuffled, multiplied by random signs and summed in groups. The inner product of unit
    vectors keeps its expectation; its standard deviation is at most √(2 / ``length``).

    Args:
        vectors: (N, D).
        length: Size of the result. Vectors of at most this length are returned unchanged.
        seed: Seed of the shuffle and the signs, which depend on the seed and D only.

    Returns:
        (N, min(D, length)).
    """
    width = vectors.shape[1]
    if width <= length:
        return vectors
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(width, generator=random).to(vectors.device)
    signs = 1.0 - 2.0 * torch.randint(0, 2, (width,), generator=random).to(vectors)
    mixed = F.pad(vectors[:, order] * signs, (0, -width % length))
    return mixed.view(len(vectors), -1, length).sum(dim=1)


def _weights(maps: Tensor) -> Tensor:
    """Square root of the multiplicity of each half-spectrum column in the full plane, (w//2 + 1,)."""
    return fourier.columns_to_full(maps.shape[-1], fourier.real(maps)).sqrt()
