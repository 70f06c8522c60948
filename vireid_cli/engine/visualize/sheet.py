"""A contact sheet of a dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vireid_cli.data.identity import find_people
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.images import read_row
from vireid_cli.engine.subjects.output import Output
from vireid_cli.figures import sheet, style
from vireid_cli.types import Modality

RUNS = (0, 0)
MOST_LETTERS = 18
"""Longest label on one line; longer ones would overlap."""


def draw(
    dataset: str, session: Session, output: Output, *, images: int = 40, seed: int = 0, columns: int = 12
) -> Path:
    """Draw people of a dataset, one image per camera and modality, ordered by identity, then by camera.

    Args:
        dataset: Name of the dataset, prepared or not.
        session: Device, reporter and folders.
        output: File, format and resolution.
        images: Largest number of images.
        seed: Seed of the selection of people (those in most cameras first) and of their images.
        columns: Images per row.

    Raises:
        UsageError: The dataset is missing.
        DataError: An image can't be read.
    """
    people = find_people(dataset, session.data_dir)
    table = people.records
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(table))
    views = np.stack([table.pids[shuffled], table.camids[shuffled], table.modalities[shuffled]], axis=1)
    first = shuffled[np.unique(views, axis=0, return_index=True)[1]]  # one row per person and view
    _, person, seen = np.unique(table.pids[first], return_inverse=True, return_counts=True)
    order = np.lexsort(
        (
            table.modalities[first],
            table.camids[first],
            random.permutation(len(seen))[person],
            -seen[person],
        )
    )
    rows = first[order][:images]
    pixels = [read_row(people, int(row)) for row in rows]
    sides = [Modality.of(table.modalities[row]) for row in rows]
    seen_by = [f"cam {table.camids[row]}" for row in rows] if table.has_cameras else sides
    labels = [f"pid {table.pids[row]} · {by}" for row, by in zip(rows, seen_by, strict=True)]
    if max(map(len, labels), default=0) > MOST_LETTERS:
        labels = [f"pid\n{table.pids[row]}\n{by}" for row, by in zip(rows, seen_by, strict=True)]
    frames = [style.MODALITY_COLOUR[side] for side in sides]
    figure = sheet.contact_sheet(pixels, labels, columns, people.title, frames)
    return output.save(figure, Path("figures") / f"sheet-{dataset}")
