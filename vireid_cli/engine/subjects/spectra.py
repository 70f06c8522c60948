"""Arrays of an image's spectrum for figures, from the same ``frequency`` functions that the methods use."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vireid_cli.engine.subjects.images import Picture
from vireid_cli.figures import style
from vireid_cli.figures.spectra import SpectrumColumn, mirrored
from vireid_cli.frequency import fourier
from vireid_cli.frequency.seg import grey_image
from vireid_cli.types import Size


def spectrum_column(picture: Picture, size: Size, other: Picture | None = None) -> SpectrumColumn:
    """One image and what becomes of it; amplitude and phase of its luminance, the rest per channel.

    Args:
        picture: The image.
        size: (height, width) that it is taken at.
        other: Whose amplitude the swapped image has; None: nothing is swapped.

    Raises:
        UsageError: There is no such file.
        DataError: It can't be read.
    """
    image = as_tensor(picture.pixels(size))  # (3, H, W)
    plane = fourier.spectrum(grey_image(image[None])[0, 0])
    mean = fourier.amplitude(fourier.spectrum(image)).mean().item()
    swapped = None if other is None else fourier.swap_amplitude(image, as_tensor(other.pixels(size)))
    return SpectrumColumn(
        name=picture.name,
        detail=picture.detail,
        colour=style.INK if picture.modality is None else style.MODALITY_COLOUR[picture.modality],
        image=as_pixels(image),
        amplitude=mirrored(fourier.amplitude(plane).numpy(), size[1]),
        phase=mirrored(fourier.phase(plane).numpy(), size[1], odd=True),
        phase_only=as_pixels(fourier.phase_only(image, mean)),
        amplitude_only=as_pixels(fourier.amplitude_only(image)),
        swapped=None if swapped is None else as_pixels(swapped),
    )


def as_tensor(pixels: np.ndarray) -> Tensor:
    """(…, H, W, 3) uint8 → (…, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, -3).float() / 255.0


def as_pixels(image: Tensor) -> np.ndarray:
    """(…, 3, H, W) → (…, H, W, 3)."""
    return image.movedim(-3, -1).numpy()
