"""Images for figures: a person's files in both modalities, and the pixels of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vireid_cli.data.decode import BadImage, decode
from vireid_cli.engine.preparation import People
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import Modality


def pair(people: People, pid: int | None) -> tuple[list[Path], int]:
    """Files of a visible and an infrared image of one person, and the person's number.

    Args:
        people: Whose images.
        pid: The person; None: the first test identity with both modalities.

    Raises:
        UsageError: No such person, or one without both modalities.
    """
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


def read(path: Path) -> np.ndarray:
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
