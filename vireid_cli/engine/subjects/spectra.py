"""Arrays of an image's spectrum for figures, computed by the ``frequency`` functions of the methods."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vireid_cli.engine.subjects.images import ImageFile
from vireid_cli.figures import style
from vireid_cli.figures.spectra import SpectrumColumn, mirrored
from vireid_cli.frequency import fourier
from vireid_cli.frequency.seg import grey_image
from vireid_cli.types import Size


def spectrum_column(file: ImageFile, size: Size, other: ImageFile | None = None) -> SpectrumColumn:
    """Compute amplitude and phase of an image's luminance, and its reconstructions per channel.

    Args:
        file: The image.
        size: (height, width) in pixels to which the image is resized.
        other: Image that supplies the amplitude of the swapped image; None: no swapped image.

    Raises:
        UsageError: A file does not exist.
        DataError: A file can't be read.
    """
    image = as_tensor(file.pixels(size))  # (3, H, W)
    plane = fourier.spectrum(grey_image(image[None])[0, 0])
    mean = fourier.amplitude(fourier.spectrum(image)).mean().item()
    swapped = None if other is None else fourier.swap_amplitude(image, as_tensor(other.pixels(size)))
    return SpectrumColumn(
        name=file.name,
        detail=file.detail,
        colour=style.INK if file.modality is None else style.MODALITY_COLOUR[file.modality],
        image=as_pixels(image),
        amplitude=mirrored(fourier.amplitude(plane).numpy(), size[1]),
        phase=mirrored(fourier.phase(plane).numpy(), size[1], odd=True),
        phase_only=as_pixels(fourier.phase_only(image, mean)),
        amplitude_only=as_pixels(fourier.amplitude_only(image)),
        swapped=None if swapped is None else as_pixels(swapped),
    )


def as_tensor(pixels: np.ndarray) -> Tensor:
    """Convert pixels to a tensor: (…, H, W, 3) uint8 → (…, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, -3).float() / 255.0


def as_pixels(image: Tensor) -> np.ndarray:
    """Convert a tensor to pixels: (…, 3, H, W) → (…, H, W, 3) in the same range."""
    return image.movedim(-3, -1).numpy()
