"""Images for figures: which people, which of their files, and the pixels of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vireid_cli.data.decode import BadImage, Decoder, load
from vireid_cli.data.depth import decoder_of_files
from vireid_cli.data.identity import People
from vireid_cli.data.resize import resize
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import RESIZE, Modality, RecordTable, Resize, Size


@dataclass(frozen=True, slots=True)
class Picture:
    """One image file and what it is called in a figure.

    Attributes:
        path: The file.
        name: A word for captions: its modality, or ``first`` …
        detail: Its camera, or the file; empty where cameras say no more than the modality.
        modality: None where it is not known.
        decoder: How the file becomes pixels.
    """

    path: Path
    name: str
    detail: str
    modality: Modality | None = None
    decoder: Decoder = field(default_factory=Decoder)

    def pixels(self, size: Size | None = None, rule: Resize = RESIZE) -> np.ndarray:
        """(H, W, 3) uint8 RGB, resized to ``size``; see ``read`` for what it raises."""
        pixels = read(self.path, self.decoder, self.modality)
        return pixels if size is None else resize(pixels, size, rule)


def people_with_both(people: People, trial: int = 1) -> np.ndarray:
    """Person numbers with images of both modalities: test identities first, ascending.

    Args:
        people: Whose images.
        trial: Whose test identities, where the dataset is split anew in each.

    Raises:
        UsageError: There is nobody.
    """
    table = people.records
    sides = [np.unique(table.pids[table.modalities == m.code]) for m in Modality]
    both = np.intersect1d(sides[0], sides[1])
    if not len(both):
        found = ", ".join(f"{len(side)} {m.value}" for m, side in zip(Modality, sides, strict=True))
        raise UsageError(
            f"{people.title}: nobody has images of both modalities (people: {found}).",
            "Choose another dataset, or name image files.",
        )
    return _test_first(people, both, trial)


def person_with_two(people: People, modality: Modality) -> int:
    """The first person with two images of one modality, test identities first.

    Raises:
        UsageError: There is nobody.
    """
    table = people.records
    found, images = np.unique(table.pids[table.modalities == modality.code], return_counts=True)
    if not (images > 1).any():
        raise UsageError(
            f"{people.title}: nobody has two {modality.value} images (people with one: {len(found)}).",
            "Choose another --modality or dataset, or name image files.",
        )
    return int(_test_first(people, found[images > 1])[0])


def _test_first(people: People, pids: np.ndarray, trial: int = 1) -> np.ndarray:
    """``pids`` (P,), the test identities of a trial before the others."""
    table = people.records
    tested = (table.in_trial(trial) if table.trials else table).tested
    test = np.isin(pids, table.pids[tested])
    return np.concatenate([pids[test], pids[~test]])


def chosen_people(people: People, pids: Sequence[int], count: int, trial: int = 1) -> list[int]:
    """The people named, else the first ``count`` that have both modalities, test identities first.

    Raises:
        UsageError: Nobody has both modalities, one named is unknown or has one modality only, or fewer
            than ``count`` have both.
    """
    both = people_with_both(people, trial)
    for pid in pids:
        if pid not in both:
            known = pid in people.records.pids
            what = "has images of one modality only" if known else "is not in it"
            some = ", ".join(str(p) for p in both[:10]) + (" …" if len(both) > 10 else "")
            raise UsageError(f"{people.title}: pid {pid} {what}.", f"With both modalities: {some}")
    if not pids and len(both) < count:
        raise UsageError(
            f"{people.title}: {len(both)} people have images of both modalities, not {count}.",
            f"Ask for fewer: --ids {len(both)}",
        )
    return [int(pid) for pid in pids] or [int(pid) for pid in both[:count]]


def pair(people: People, pid: int, modality: Modality | None = None) -> tuple[Picture, Picture]:
    """A visible and an infrared image of one person, or two images of one modality.

    Args:
        people: Whose images.
        pid: The person.
        modality: Both images are of this one, of two cameras if there are; None: one of each.

    Raises:
        UsageError: No such person, or too few images of it.
    """
    table = people.records
    if modality is None:
        rows = [_rows(table, pid, one)[0] for one in Modality]
    else:
        found = _rows(table, pid, modality)
        if pid not in table.pids:
            raise UsageError(
                f"{people.title}: pid {pid} is not in it.",
                f"One of it with two {modality.value} images: --pid {person_with_two(people, modality)}",
            )
        if len(found) < 2:
            raise UsageError(
                f"{people.title}: pid {pid} has {len(found)} {modality.value} image, not two.",
                "Choose another person with --pid, or leave --modality out.",
            )
        elsewhere = found[table.camids[found] != table.camids[found[0]]]
        rows = [found[0], elsewhere[0] if len(elsewhere) else found[1]]
    first, second = (_picture(people, int(row)) for row in rows)
    if modality is not None:
        first, second = (replace(one, name=f"{one.name} {i}") for i, one in enumerate((first, second), 1))
    return first, second


def of_files(files: Sequence[Path], modalities: Sequence[Modality | None]) -> list[Picture]:
    """Pictures of up to six image files, called by their modality where it is known, else by their number.

    EXIF orientation is obeyed; 16-bit files share one range, measured over all of them.
    """
    decoder = decoder_of_files(files)
    words = ("first", "second", "third", "fourth", "fifth", "sixth") if len(files) > 1 else ("image",)
    return [
        Picture(file, modality.value if modality else word, str(file), modality, decoder)
        for file, modality, word in zip(files, modalities, words, strict=False)
    ]


def _rows(table: RecordTable, pid: int, modality: Modality) -> np.ndarray:
    return np.flatnonzero((table.pids == pid) & (table.modalities == modality.code))


def _picture(people: People, row: int) -> Picture:
    table = people.records
    modality = table.modality(row)
    camera = f"cam {table.camids[row]}" if table.has_cameras else ""
    return Picture(people.root / str(table.paths[row]), modality.value, camera, modality, people.decoder)


def read_row(people: People, row: int) -> np.ndarray:
    """Pixels of the image at a row, (h, w, 3) uint8 RGB; see ``read`` for the errors."""
    table = people.records
    return read(people.root / str(table.paths[row]), people.decoder, table.modality(row))


def read(path: Path, decoder: Decoder, modality: Modality | None) -> np.ndarray:
    """Pixels of an image file, (h, w, 3) uint8 RGB.

    Args:
        path: The file.
        decoder: How it becomes pixels.
        modality: Of the image; None: not known.

    Raises:
        UsageError: There is no such file.
        DataError: It can't be read.
    """
    try:
        return decoder.decode(load(path), modality)
    except BadImage as error:
        if not path.exists():
            raise UsageError(f"There is no image {path}.") from error
        raise DataError(f"{path} can't be read: {error}") from error
