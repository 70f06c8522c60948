"""Figures of images: gather the arrays from image files, hand them to the drawing functions.

Spectra come from the same ``frequency`` functions that the methods use. What is drawn, and how, is the
figures' business.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vireid_cli.data.decode import BadImage, decode, resize
from vireid_cli.engine.output import Output
from vireid_cli.engine.preparation import People, find_people
from vireid_cli.errors import DataError, UsageError
from vireid_cli.figures import sheet, spectra, style
from vireid_cli.frequency import fourier
from vireid_cli.types import Modality, Size


def phase_swap(
    dataset: str,
    size: Size,
    data_dir: Path,
    output: Output,
    *,
    pid: int | None = None,
    images: tuple[Path, Path] | None = None,
) -> Path:
    """FDNM's first figure of one person, or of two image files.

    Args:
        dataset: Where the person is taken from: its image files, prepared or not.
        size: (height, width) that the images are taken at.
        data_dir: Data directory.
        output: Where to.
        pid: The person; None: the first test identity with both modalities.
        images: A visible and an infrared file instead.

    Raises:
        UsageError: No such person, or one without both modalities.
        DataError: A file that can't be read.
    """
    if images is not None:
        pixels = [resize(_read(path), size) for path in images]
        name, title = "phase-swap", " and ".join(str(path) for path in images)
    else:
        people = find_people(dataset, data_dir)
        files, pid = _pair(people, pid)
        pixels = [resize(_read(file), size) for file in files]
        name, title = f"phase-swap-{dataset}-{pid}", f"{people.title}, pid {pid}"
    figure = spectra.phase_swap_figure(_phase_swap(pixels[0], pixels[1]), title)
    return output.save(figure, Path("figures") / name)


def contact_sheet(
    dataset: str, images: int, seed: int, data_dir: Path, output: Output, columns: int = 12
) -> Path:
    """People of a dataset, one image a camera: by identity, then by camera.

    Args:
        dataset: Its image files, prepared or not.
        images: How many at most.
        seed: Of the choice among people, those seen by most cameras first, and among their images.
        data_dir: Data directory.
        output: Where to.
        columns: Images in a row.

    Raises:
        UsageError: No data.
        DataError: An image can't be read.
    """
    people = find_people(dataset, data_dir)
    table = people.records
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(table))
    pairs = np.stack([table.pids[shuffled], table.camids[shuffled]], axis=1)
    first = shuffled[np.unique(pairs, axis=0, return_index=True)[1]]  # one row a person and camera
    seen = np.bincount(table.pids[first])
    order = np.lexsort(
        (table.camids[first], random.permutation(len(seen))[table.pids[first]], -seen[table.pids[first]])
    )
    rows = first[order][:images]
    pixels = [_read(people.root / str(table.paths[row])) / np.float32(255) for row in rows]
    labels = [f"pid {table.pids[row]} · cam {table.camids[row]}" for row in rows]
    frames = [style.MODALITY_COLOUR[Modality.of(table.modalities[row])] for row in rows]
    figure = sheet.contact_sheet(pixels, labels, columns, people.title, frames)
    return output.save(figure, Path("figures") / f"sheet-{dataset}")


def _pair(people: People, pid: int | None) -> tuple[list[Path], int]:
    """Files of a visible and an infrared image of one person."""
    table = people.records
    sides = {m: set(table.pids[table.modalities == m.code].tolist()) for m in Modality}
    both = sides[Modality.VISIBLE] & sides[Modality.INFRARED]
    if pid is None:
        tested = (table.in_trial(1) if table.trials else table).tested
        test = set(table.pids[tested].tolist()) & both
        pid = min(test or both)
    if pid not in both:
        known = pid in sides[Modality.VISIBLE] | sides[Modality.INFRARED]
        what = "has images of one modality only" if known else "is not in it"
        some = ", ".join(str(p) for p in sorted(both)[:10])
        raise UsageError(f"{people.title}: pid {pid} {what}.", f"With both modalities: {some} …")
    rows = [np.flatnonzero((table.pids == pid) & (table.modalities == m.code))[0] for m in Modality]
    return [people.root / str(table.paths[row]) for row in rows], pid


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


def _read(path: Path) -> np.ndarray:
    """Pixels of an image file, (h, w, 3) uint8 RGB.

    Raises:
        UsageError: There is no such file.
        DataError: It can't be read.
    """
    try:
        return decode(path.read_bytes())
    except FileNotFoundError as error:
        raise UsageError(f"There is no image {path}.") from error
    except (OSError, BadImage) as error:
        raise DataError(f"{path} can't be read: {error}") from error
