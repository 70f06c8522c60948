"""The amplitude and the phase of feature maps as vectors that a cosine can compare (for FDNM's figures 2, 6).

The paper draws both components and doesn't say how a spectrum becomes a vector; the reading is ours. No
frequency is averaged away: a mean over frequencies of phasors is the phase-only map at its first pixel,
and the mean over positions is the zero frequency alone (docs/methods.md#pooling). Instead the inner
product of two vectors is the sum over all channels and all frequencies of the full plane, and ``folded``
makes them short.
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
        (N, C·h·(w//2 + 1)); its square length is the energy of the map (Parseval).
    """
    sizes = fourier.amplitude(fourier.spectrum(maps))
    return (sizes * _weights(maps)).flatten(1)


def phase_component(maps: Tensor) -> Tensor:
    """Phases of every channel and frequency as (cos φ, sin φ), which know no wrap.

    The cosine of two such vectors is the mean of cos Δφ over the bins of the full plane, where all have a
    phase; bins without one (see ``fourier.phasor``) are 0.

    Args:
        maps: (N, C, h, w).

    Returns:
        (N, 2·C·h·(w//2 + 1)).
    """
    cosine, sine = fourier.phasor(fourier.spectrum(maps))
    weights = _weights(maps)
    return torch.cat([(cosine * weights).flatten(1), (sine * weights).flatten(1)], dim=1)


def folded(vectors: Tensor, length: int, seed: int = 0) -> Tensor:
    """Long vectors as short ones with nearly the same inner products.

    The coordinates are shuffled, given random signs and added up: of an inner product of unit vectors the
    expectation is the same, the deviation at most √(2 / ``length``).

    Args:
        vectors: (N, D).
        length: Of the short ones; vectors of at most this length stay as they are.
        seed: Of the shuffle and the signs, which depend on D and on nothing else besides.

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
    """Square root of how often a column of the half spectrum stands in the full plane, (w//2 + 1,)."""
    return fourier.columns_to_full(maps.shape[-1], fourier.real(maps)).sqrt()
