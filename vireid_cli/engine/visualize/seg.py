"""SEG images of people, and the gap between their mean amplitude spectra and those of infrared images.

SEG images are computed by ``frequency.seg``, as in the method; the options are those of
``method.options.seg`` in recipes, for choices that the paper leaves open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from vireid_cli.counts import counted, size_name
from vireid_cli.data.identity import People, find_people
from vireid_cli.data.resize import resize
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.images import pair, people_with_both, read_row, select_people
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.subjects.spectra import as_pixels, as_tensor
from vireid_cli.errors import UsageError
from vireid_cli.figures import seg
from vireid_cli.figures.spectra import mirrored
from vireid_cli.frequency.profile import log_gap, radial_profile, summed_amplitude
from vireid_cli.frequency.seg import Amplitude, PhaseSource, grey_image, seg_image
from vireid_cli.types import RESIZE, SIZE, Modality, Size

RUNS = (0, 0)

SegFunction = Callable[..., Tensor]
"""Computes SEG images: (B, 3, H, W) pixels → (B, 3, H, W)."""

_CHUNK = 16  # images per transform


def draw(
    dataset: str,
    session: Session,
    output: Output,
    *,
    size: Size = SIZE,
    ids: int = 4,
    images: int = 256,
    seed: int = 0,
    pids: Sequence[int] = (),
    amplitude: Amplitude = "mean",
    phase_source: PhaseSource = "rgb",
    weight: float = 1.0,
) -> Path:
    """Draw visible, grey, phase-only, SEG and infrared images of people, and mean spectra.

    Args:
        dataset: Name of the dataset, prepared or not.
        session: Device, reporter and folders.
        output: File, format and resolution.
        size: (height, width) in pixels to which the images are resized.
        ids: Number of people, the first test identities with both modalities.
        images: Largest number of images per modality for the mean spectra, drawn among people with both.
        seed: Seed of this draw.
        pids: Persons to show instead.
        amplitude: See ``frequency.seg.seg_image``, also for the options below.
        phase_source: Phase of each colour channel or of the grey image.
        weight: Factor of the phase image.

    Raises:
        UsageError: The dataset is missing, a person is unknown, or too few people have both modalities.
        DataError: An image can't be read.
    """
    people = find_people(dataset, session.data_dir)
    to_seg = partial(seg_image, amplitude=amplitude, phase_source=phase_source, weight=weight)
    rows = [_row(people, pid, size, to_seg) for pid in select_people(people, pids, ids)]
    spectra = _spectra(session, people, size, images, seed, to_seg)
    for kind in seg.KINDS:
        session.reporter.info(f"gap to infrared, {kind}: {spectra.gap_of(kind):.4f} decades")
    title = f"{people.title}: SEG images"
    settings = f"\nSEG: amplitude {amplitude}, phase of {phase_source}, weight {weight:g}."
    spectra = replace(spectra, note=spectra.note + settings)
    return output.save(seg.seg_figure(rows, spectra, title), Path("figures") / f"seg-{dataset}")


def _row(people: People, pid: int, size: Size, to_seg: SegFunction) -> seg.SegRow:
    visible, infrared = pair(people, pid)
    pixels = as_tensor(visible.pixels(size))[None]  # (1, 3, H, W)
    grey = grey_image(pixels)
    images = {
        "visible": pixels,
        "grey": grey,
        "phase_only": to_seg(pixels, clip=False) - grey,
        "seg": to_seg(pixels),
        "infrared": as_tensor(infrared.pixels(size))[None],
    }
    cameras = " and ".join(dict.fromkeys(image.detail for image in (visible, infrared) if image.detail))
    label = f"pid {pid} · {cameras}" if cameras else f"pid {pid}"
    return seg.SegRow(label, **{name: as_pixels(image[0]) for name, image in images.items()})


def _spectra(
    session: Session, people: People, size: Size, images: int, seed: int, to_seg: SegFunction
) -> seg.Spectra:
    """Compute mean spectra of all kinds; visible, grey and SEG use the same visible images.

    Raises:
        UsageError: All drawn infrared images are of one person, so the gap between halves is undefined.
    """
    random = np.random.default_rng(seed)
    table, both = people.records, np.sort(people_with_both(people))
    among = np.isin(table.pids, both)
    visible, infrared = (
        random.permutation(np.flatnonzero(among & (table.modalities == m.code)))[:images] for m in Modality
    )
    shown = random.permutation(np.unique(table.pids[infrared]))
    if len(shown) < 2:
        raise UsageError(
            f"{people.title}: all drawn infrared images are of one person; the gap needs two people.",
            "Use more images: --images 256",
        )
    first = np.isin(table.pids[infrared], shown[: len(shown) // 2])
    groups = {"visible": visible, "first half": infrared[first], "second half": infrared[~first]}
    means = _mean_amplitudes(session, people, size, groups, to_seg)
    means["infrared"] = first.mean() * means["first half"] + (1 - first.mean()) * means["second half"]
    frequencies, _ = radial_profile(means["infrared"], size[1])
    return seg.Spectra(
        {kind: _mean_spectrum(means[kind], means["infrared"], size) for kind in seg.KINDS},
        frequencies.numpy(),
        log_gap(means["first half"], means["second half"], size[1]),
        f"{len(visible)} visible and {len(infrared)} infrared images drawn among "
        f"{counted(len(both), 'person')}, "
        f"{size_name(size)}, seed {seed}; grey and SEG are computed from the visible ones.",
    )


def _mean_amplitudes(
    session: Session, people: People, size: Size, groups: Mapping[str, np.ndarray], to_seg: SegFunction
) -> dict[str, Tensor]:
    """Return the mean amplitude, (H, W//2 + 1), of each group of rows, and of ``visible`` as grey and SEG."""
    progress = session.reporter.progress("mean spectra")
    total, done = sum(len(rows) for rows in groups.values()), 0
    sums: dict[str, Tensor] = {}
    for name, rows in groups.items():
        for start in range(0, len(rows), _CHUNK):
            some = rows[start : start + _CHUNK].tolist()
            pixels = as_tensor(np.stack([resize(read_row(people, row), size, RESIZE) for row in some]))
            kinds = {name: pixels}
            if name == "visible":
                kinds |= {"grey": grey_image(pixels), "SEG": to_seg(pixels)}
            for kind, batch in kinds.items():
                mean = summed_amplitude(batch) / (3 * len(rows))
                sums[kind] = sums[kind] + mean if kind in sums else mean
            done += len(some)
            progress(done, total)
    return sums


def _mean_spectrum(half: Tensor, infrared: Tensor, size: Size) -> seg.MeanSpectrum:
    return seg.MeanSpectrum(
        mirrored(half.numpy(), size[1]),
        radial_profile(half, size[1])[1].numpy(),
        log_gap(half, infrared, size[1]),
    )
