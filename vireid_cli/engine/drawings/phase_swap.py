"""FDNM's first figure: amplitudes and phases of a person in both modalities, and what becomes without them.

Spectra come from the same ``frequency`` functions that the methods use.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vireid_cli.data.decode import resize
from vireid_cli.engine.drawings import Studio
from vireid_cli.engine.pictures import pair, read
from vireid_cli.engine.preparation import find_people
from vireid_cli.figures import spectra
from vireid_cli.frequency import fourier
from vireid_cli.types import Modality, Size

RUNS = (0, 0)


def draw(
    studio: Studio,
    *,
    dataset: str,
    size: Size,
    pid: int | None = None,
    images: tuple[Path, Path] | None = None,
) -> Path:
    """FDNM's first figure of one person, or of two image files.

    Args:
        studio: What it is drawn with.
        dataset: Where the person is taken from: its image files, prepared or not.
        size: (height, width) that the images are taken at.
        pid: The person; None: the first test identity with both modalities.
        images: A visible and an infrared file instead.

    Raises:
        UsageError: No such person, or one without both modalities.
        DataError: A file that can't be read.
    """
    if images is not None:
        pixels = [resize(read(path), size) for path in images]
        name, title = "phase-swap", " and ".join(str(path) for path in images)
    else:
        people = find_people(dataset, studio.data_dir)
        files, pid = pair(people, pid)
        pixels = [resize(read(file), size) for file in files]
        name, title = f"phase-swap-{dataset}-{pid}", f"{people.title}, pid {pid}"
    figure = spectra.phase_swap_figure(_phase_swap(pixels[0], pixels[1]), title)
    return studio.output.save(figure, Path("figures") / name)


def _phase_swap(visible: np.ndarray, infrared: np.ndarray) -> spectra.PhaseSwap:
    """Spectra of two images (H, W, 3) uint8, per colour channel."""
    images = {
        modality: torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255.0  # (3, H, W)
        for modality, pixels in ((Modality.VISIBLE, visible), (Modality.INFRARED, infrared))
    }
    columns = {m: _column(images[m], images[m.other]) for m in Modality}
    return spectra.PhaseSwap(columns[Modality.VISIBLE], columns[Modality.INFRARED])


def _column(image: Tensor, other: Tensor) -> spectra.SpectrumColumn:
    """One image and what becomes of it; amplitude and phase of its luminance, the rest per channel."""
    luminance = (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)  # (H, W)
    plane = fourier.spectrum(luminance)
    width = image.shape[-1]
    mean = fourier.amplitude(fourier.spectrum(image)).mean().item()
    return spectra.SpectrumColumn(
        image=_pixels(image),
        amplitude=spectra.mirrored(fourier.amplitude(plane).numpy(), width),
        phase=spectra.mirrored(fourier.phase(plane).numpy(), width, odd=True),
        swapped=_pixels(fourier.swap_amplitude(image, other)),
        phase_only=_pixels(fourier.phase_only(image, mean)),
        amplitude_only=_pixels(fourier.amplitude_only(image)),
    )


def _pixels(image: Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()
