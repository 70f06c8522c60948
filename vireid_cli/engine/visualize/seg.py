"""SEG images of people, and how near their mean amplitude spectra come to those of infrared images.

SEG images come from ``frequency.seg`` as the method takes them; what the paper leaves open can be chosen as
in a recipe's ``method.options.seg``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from vireid_cli.data.identity import People, find_people
from vireid_cli.data.resize import resize
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.images import chosen_people, pair, people_with_both, read_row
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.subjects.spectra import as_pixels, as_tensor
from vireid_cli.errors import UsageError
from vireid_cli.figures import seg
from vireid_cli.figures.spectra import mirrored
from vireid_cli.frequency.profile import log_gap, radial_profile, summed_amplitude
from vireid_cli.frequency.seg import Amplitude, PhaseSource, grey_image, seg_image
from vireid_cli.types import RESIZE, SIZE, Modality, Size

RUNS = (0, 0)

Make = Callable[..., Tensor]
"""(B, 3, H, W) pixels → their SEG images."""

_CHUNK = 16  # images transformed at once


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
    """People's visible, grey, phase-only and SEG image beside an infrared one, and mean spectra.

    Args:
        dataset: Its image files, prepared or not.
        session: Device, listener, folders.
        output: File, format, resolution.
        size: (height, width) that the images are taken at.
        ids: People shown: the first test identities with both modalities.
        images: Images of each modality that the mean spectra are of, at most; drawn at random among
            people with both.
        seed: Of that draw.
        pids: People shown instead.
        amplitude: See ``frequency.seg.seg_image``, as for those below.
        phase_source: Phase of each colour channel or of the grey image.
        weight: Factor on the phase image.

    Raises:
        UsageError: No data, an unknown person, or too few with both modalities.
        DataError: An image can't be read.
    """
    people = find_people(dataset, session.data_dir)
    make = partial(seg_image, amplitude=amplitude, phase_source=phase_source, weight=weight)
    rows = [_row(people, pid, size, make) for pid in chosen_people(people, pids, ids)]
    spectra = _spectra(session, people, size, images, seed, make)
    for kind in seg.KINDS:
        session.reporter.info(f"gap to infrared, {kind}: {spectra.gap_of(kind):.4f} decades")
    title = f"{people.title}: SEG images"
    reading = f"\nSEG: amplitude {amplitude}, phase of {phase_source}, weight {weight:g}."
    spectra = replace(spectra, note=spectra.note + reading)
    return output.save(seg.seg_figure(rows, spectra, title), Path("figures") / f"seg-{dataset}")


def _row(people: People, pid: int, size: Size, make: Make) -> seg.SegRow:
    visible, infrared = pair(people, pid)
    pixels = as_tensor(visible.pixels(size))[None]  # (1, 3, H, W)
    grey = grey_image(pixels)
    images = {
        "visible": pixels,
        "grey": grey,
        "phase_only": make(pixels, clip=False) - grey,
        "seg": make(pixels),
        "infrared": as_tensor(infrared.pixels(size))[None],
    }
    cameras = " and ".join(dict.fromkeys(image.detail for image in (visible, infrared) if image.detail))
    label = f"pid {pid} · {cameras}" if cameras else f"pid {pid}"
    return seg.SegRow(label, **{name: as_pixels(image[0]) for name, image in images.items()})


def _spectra(session: Session, people: People, size: Size, images: int, seed: int, make: Make) -> seg.Spectra:
    """Mean spectra of all kinds, over the same visible images for visible, grey and SEG.

    Raises:
        UsageError: Infrared images of one person only: there are no halves to compare.
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
            f"{people.title}: infrared images of one person were drawn; the gap needs two people.",
            "Take more images: --images 256",
        )
    first = np.isin(table.pids[infrared], shown[: len(shown) // 2])
    groups = {"visible": visible, "first half": infrared[first], "second half": infrared[~first]}
    means = _mean_amplitudes(session, people, size, groups, make)
    means["infrared"] = first.mean() * means["first half"] + (1 - first.mean()) * means["second half"]
    frequencies, _ = radial_profile(means["infrared"], size[1])
    return seg.Spectra(
        {kind: _mean_spectrum(means[kind], means["infrared"], size) for kind in seg.KINDS},
        frequencies.numpy(),
        log_gap(means["first half"], means["second half"], size[1]),
        f"{len(visible)} visible and {len(infrared)} infrared images drawn among {len(both)} people, "
        f"{size[0]}×{size[1]}, seed {seed}; grey and SEG are made of the visible ones.",
    )


def _mean_amplitudes(
    session: Session, people: People, size: Size, groups: Mapping[str, np.ndarray], make: Make
) -> dict[str, Tensor]:
    """Mean amplitude, (H, W//2 + 1), of each group of rows; of ``visible`` also when grey and SEG."""
    progress = session.reporter.progress("mean spectra")
    total, done = sum(len(rows) for rows in groups.values()), 0
    sums: dict[str, Tensor] = {}
    for name, rows in groups.items():
        for start in range(0, len(rows), _CHUNK):
            some = rows[start : start + _CHUNK].tolist()
            pixels = as_tensor(np.stack([resize(read_row(people, row), size, RESIZE) for row in some]))
            kinds = {name: pixels}
            if name == "visible":
                kinds |= {"grey": grey_image(pixels), "SEG": make(pixels)}
            for kind, made in kinds.items():
                mean = summed_amplitude(made) / (3 * len(rows))
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
