"""Galleries drawn at random: rows grouped by person and camera, and seeded draws from the groups."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from vireid_cli.types import RecordTable

Folders = dict[tuple[int, int], np.ndarray]
"""Rows of the record table by (pid, camid), sorted by path; pids ascending."""


def sorted_rows(table: RecordTable, rows: np.ndarray) -> np.ndarray:
    """Sort rows by pid, then camera, then path."""
    return rows[np.lexsort((table.paths[rows], table.camids[rows], table.pids[rows]))]


def folders_of(table: RecordTable, rows: np.ndarray) -> Folders:
    """Group rows by (pid, camid), each sorted by path; pids ascending."""
    rows = sorted_rows(table, rows)
    if len(rows) == 0:
        return {}
    keys = np.stack([table.pids[rows], table.camids[rows]], axis=1)
    cuts = np.flatnonzero((keys[1:] != keys[:-1]).any(axis=1)) + 1
    starts = np.concatenate(([0], cuts))
    names = [(int(pid), int(camid)) for pid, camid in keys[starts]]
    return dict(zip(names, np.split(rows, cuts), strict=True))


def draw_seeded(folders: Folders, cameras: Sequence[int], trial: int, shots: int) -> np.ndarray:
    """Draw the gallery of one trial from one random stream: for each id, for each camera.

    Reproduces published code, so it is a sequential loop.

    Args:
        folders: Rows by (pid, camid), from ``folders_of``.
        cameras: Cameras in the protocol's order; missing folders do not consume random numbers.
        trial: Seed of the stream.
        shots: 1 for ``random.choice``; more for ``random.sample`` of min(shots, n).

    Returns:
        Rows of the record table, in gallery order.
    """
    stream = random.Random(trial)
    drawn: list[int] = []
    for pid in sorted({pid for pid, _ in folders}):
        for camid in cameras:
            files = folders.get((pid, camid))
            if files is None:
                continue
            rows = files.tolist()
            drawn += [stream.choice(rows)] if shots == 1 else stream.sample(rows, min(shots, len(rows)))
    return np.array(drawn, dtype=np.int64)
