"""Figures of occluders, and of people without and with an occluder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vireid_cli.data.identity import People, find_people
from vireid_cli.engine.occlusion import ensure_library
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.images import read_row
from vireid_cli.engine.subjects.output import Output
from vireid_cli.figures.sheet import contact_sheet
from vireid_cli.figures.style import MODALITY_COLOUR
from vireid_cli.occlusion.compose import Composer, file_stream
from vireid_cli.occlusion.policy import Policy, pool_of, scene_of
from vireid_cli.types import Modality, Record

RUNS = (0, 0)
Grouping = Literal["camera", "category", "modality"]
MOST = 3000
"""Largest number of images tried for a sheet; some categories are rare."""


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """An image without and with an occluder.

    Attributes:
        record: Record of the image.
        place: Camera, ``cam 3``; the modality if the dataset has one camera per modality.
        before: (h, w, 3) uint8 RGB without occluder.
        after: (h, w, 3) uint8 RGB with the occluder.
        category: Category of the occluder.
        target: Drawn share of the image to cover, ε.
        achieved: Covered share of the image, ε.
    """

    record: Record
    place: str
    before: np.ndarray
    after: np.ndarray
    category: str
    target: float
    achieved: float


def library_images(folder: Path | None, session: Session) -> tuple[list[np.ndarray], list[str]]:
    """Return all occluders of a library on grey, (h, w, 3) float RGB, and their labels."""
    library = ensure_library(folder, session)
    images = []
    for cutout in library.cutouts:
        alpha = cutout[..., 3:] / np.float32(255)
        images.append((cutout[..., :3] * alpha / 255 + (1 - alpha) * 0.92).astype(np.float32))
    return images, [
        f"{occluder.name}\n{occluder.scene} · {occluder.size}\n{occluder.pool}"
        for occluder in library.occluders
    ]


def pairs_of(
    people: People, base: str, composer: Composer, by: Grouping, count: int, seed: int
) -> dict[str, list[BeforeAfter]]:
    """Return groups of up to ``count`` pairs, sorted by the group's name.

    A group by camera or modality has each category at most once. A group by category has each camera at most
    once, and half of its pairs are infrared if ``MOST`` images suffice.

    Args:
        people: The dataset.
        base: Name of the dataset.
        composer: Draws the occluders.
        by: Grouping.
        count: Pairs per group.
        seed: Seed of the order of images and of the occluders.
    """
    records = people.records.in_trial(1) if people.records.trials else people.records
    cameras = records.has_cameras
    groups: dict[str, list[BeforeAfter]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for row in np.random.default_rng(seed).permutation(len(records))[:MOST]:
        record = records.row(int(row))
        side = str(record.modality)
        place = f"cam {record.camid}" if cameras else side
        fixed = {"camera": place, "modality": side, "category": ""}[by]
        if len(groups.get(fixed, [])) == count:
            continue
        pair = _pair(base, read_row(people, int(row)), record, place, composer, seed)
        marks: tuple[str, ...]
        if by == "category":
            share = count // 2 if record.modality is Modality.INFRARED else -(-count // 2)
            group, full = pair.category, counts[pair.category, side] == share
            marks = place, side
        else:
            group, full, marks = fixed, False, (pair.category,)
        if full or counts[group, marks[0]]:
            continue
        counts.update((group, mark) for mark in marks)
        groups.setdefault(group, []).append(pair)
    return dict(sorted(groups.items()))


def _pair(
    base: str, pixels: np.ndarray, record: Record, place: str, composer: Composer, seed: int
) -> BeforeAfter:
    """Occlude one image with the same draws as ``prepare occluded``."""
    rng = file_stream(seed, base, record.split, record.path)
    scene = scene_of(base, record.camid)
    covered, line = composer.occlude(pixels, record.modality, scene, pool_of(record.split), rng)
    return BeforeAfter(record, place, pixels, covered, line["category"], line["epsilon"], line["achieved"])


def draw(
    dataset: str,
    session: Session,
    output: Output,
    *,
    by: Grouping = "camera",
    rows: int = 5,
    seed: int = 0,
    library: Path | None = None,
    library_sheet: bool = False,
) -> Path:
    """Draw a sheet of the library, or of people before and after occlusion, one line of pairs per group.

    Args:
        dataset: Name of the dataset, prepared or not.
        session: Device, reporter and folders.
        output: File, format and resolution.
        by: Grouping of the pairs.
        rows: Pairs per group.
        seed: Seed of images and occluders.
        library: Folder of the library; None: the built-in one.
        library_sheet: Draw the occluders of the library instead.

    Raises:
        UsageError: The dataset or the library does not exist.
    """
    if library_sheet:
        occluders = library_images(library, session)
        return output.save(contact_sheet(*occluders, 10, "Occluders"), Path("figures") / "occluders")
    images: list[np.ndarray] = []
    labels: list[str] = []
    frames: list[str | None] = []
    people = find_people(dataset, session.data_dir)
    composer = Composer(ensure_library(library, session), Policy())
    for pairs in pairs_of(people, dataset, composer, by, rows, seed).values():
        for pair in pairs:
            images += [pair.before, pair.after]
            labels += [
                pair.place,
                f"{pair.category}\nε {pair.target:.2f} → {pair.achieved:.2f}",
            ]
            frames += [MODALITY_COLOUR[pair.record.modality]] * 2
        missing = 2 * (rows - len(pairs))
        images += [np.full((2, 1, 3), 255, np.uint8)] * missing  # white images fill the group's line
        labels += [""] * missing
        frames += [None] * missing
    grouped = by if people.records.has_cameras or by != "camera" else "modality"
    title = f"{people.title}: before and after, by {grouped}"
    about = "ε: covered share of the image, drawn → reached"
    figure = contact_sheet(images, labels, 2 * rows, title, frames, about)
    return output.save(figure, Path("figures") / f"occlusion-{dataset}-by-{by}")
