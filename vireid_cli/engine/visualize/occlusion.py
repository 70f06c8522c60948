"""Figures of the occlusion room: the occluders themselves, and people without and with one."""

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
from vireid_cli.occlusion.library import Pool
from vireid_cli.occlusion.policy import Policy, scene_of
from vireid_cli.types import Modality, Record

RUNS = (0, 0)
Grouping = Literal["camera", "category", "modality"]
MOST = 3000
"""Images that are looked at for a sheet by category: some categories are rare."""


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """One person without and with an occluder.

    Attributes:
        record: Of the image.
        place: Its camera, ``cam 3``; its modality where the dataset has one camera a modality.
        before: (h, w, 3) uint8 RGB.
        after: The same with the occluder.
        category: Of the occluder.
        wanted: ε that was drawn.
        achieved: ε that was reached.
    """

    record: Record
    place: str
    before: np.ndarray
    after: np.ndarray
    category: str
    wanted: float
    achieved: float


def sheet_of_library(folder: Path | None, session: Session) -> tuple[list[np.ndarray], list[str]]:
    """Every occluder on grey, float RGB, and its label."""
    library = ensure_library(folder, session)
    images = []
    for cutout in library.cutouts:
        alpha = cutout[..., 3:] / np.float32(255)
        images.append((cutout[..., :3] * alpha / 255 + (1 - alpha) * 0.92).astype(np.float32))
    return images, [
        f"{thing.name}\n{thing.scene} · {thing.size}\n{thing.pool}" for thing in library.occluders
    ]


def pairs_of(
    people: People, base: str, composer: Composer, by: Grouping, wanted: int, seed: int
) -> dict[str, list[BeforeAfter]]:
    """Pairs in groups of up to ``wanted``, the groups sorted by name.

    By camera and by modality each category comes once a group. By category each camera comes once and half
    of the pairs are infrared, as far as ``MOST`` images give that.
    """
    records = people.records.in_trial(1) if people.records.trials else people.records
    cameras = records.has_cameras
    groups: dict[str, list[BeforeAfter]] = {}
    taken: Counter[tuple[str, str]] = Counter()
    for row in np.random.default_rng(seed).permutation(len(records))[:MOST]:
        record = records.row(int(row))
        side = str(record.modality)
        place = f"cam {record.camid}" if cameras else side
        known = {"camera": place, "modality": side, "category": ""}[by]
        if len(groups.get(known, [])) == wanted:
            continue
        pair = _pair(base, read_row(people, int(row)), record, place, composer, seed)
        marks: tuple[str, ...]
        if by == "category":
            share = wanted // 2 if record.modality is Modality.INFRARED else -(-wanted // 2)
            group, full = pair.category, taken[pair.category, side] == share
            marks = place, side
        else:
            group, full, marks = known, False, (pair.category,)
        if full or taken[group, marks[0]]:
            continue
        taken.update((group, mark) for mark in marks)
        groups.setdefault(group, []).append(pair)
    return dict(sorted(groups.items()))


def _pair(
    base: str, pixels: np.ndarray, record: Record, place: str, composer: Composer, seed: int
) -> BeforeAfter:
    """One person without and with an occluder, as ``prepare occluded`` would put it there."""
    rng = file_stream(seed, base, record.split, record.path)
    scene = scene_of(base, record.camid)
    pool: Pool = "test" if record.split == "test" else "train"
    covered, line = composer.occlude(pixels, record.modality, scene, pool, rng)
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
    """Draw the sheet of the library, or of people before and after: a line of ``rows`` pairs a group.

    Raises:
        UsageError: The dataset or the library is not there.
    """
    if library_sheet:
        things = sheet_of_library(library, session)
        return output.save(contact_sheet(*things, 10, "Occluders"), Path("figures") / "occluders")
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
                f"{pair.category}\nε {pair.wanted:.2f} → {pair.achieved:.2f}",
            ]
            frames += [MODALITY_COLOUR[pair.record.modality]] * 2
        missing = 2 * (rows - len(pairs))
        images += [np.full((2, 1, 3), 255, np.uint8)] * missing  # white: the group's line ends early
        labels += [""] * missing
        frames += [None] * missing
    grouped = by if people.records.has_cameras or by != "camera" else "modality"
    title = f"{people.title}: before and after, by {grouped}"
    about = "ε: covered share of the image, drawn → reached"
    drawn = contact_sheet(images, labels, 2 * rows, title, frames, about)
    return output.save(drawn, Path("figures") / f"occlusion-{dataset}-by-{by}")
