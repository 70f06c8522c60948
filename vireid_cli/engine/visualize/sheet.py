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
"""Of a label on one line; longer ones would run into their neighbours."""


def draw(
    dataset: str, session: Session, output: Output, *, images: int = 40, seed: int = 0, columns: int = 12
) -> Path:
    """People of a dataset, one image a camera and modality: by identity, then by camera.

    Args:
        dataset: Its image files, prepared or not.
        session: Device, listener, folders.
        output: File, format, resolution.
        images: How many at most.
        seed: Of the choice among people, those seen by most cameras first, and among their images.
        columns: Images in a row.

    Raises:
        UsageError: No data.
        DataError: An image can't be read.
    """
    people = find_people(dataset, session.data_dir)
    table = people.records
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(table))
    views = np.stack([table.pids[shuffled], table.camids[shuffled], table.modalities[shuffled]], axis=1)
    first = shuffled[np.unique(views, axis=0, return_index=True)[1]]  # one row a person and view
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
