"""Images for figures: selection of people and of their files, and the pixels of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vireid_cli.counts import counted
from vireid_cli.data.decode import BadImage, Decoder, load
from vireid_cli.data.depth import decoder_of_files
from vireid_cli.data.identity import People
from vireid_cli.data.resize import resize
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import RESIZE, Modality, RecordTable, Resize, Size


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file with its caption.

    Attributes:
        path: The file.
        name: Caption: its modality, or ``first``, ``second`` …
        detail: Camera or path; empty if the dataset has one camera per modality.
        modality: Modality; None: unknown.
        decoder: Decodes the file.
    """

    path: Path
    name: str
    detail: str
    modality: Modality | None = None
    decoder: Decoder = field(default_factory=Decoder)

    def pixels(self, size: Size | None = None, rule: Resize = RESIZE) -> np.ndarray:
        """Read the pixels, (H, W, 3) uint8 RGB, resized to ``size`` if given. Raises as ``read``."""
        pixels = read(self.path, self.decoder, self.modality)
        return pixels if size is None else resize(pixels, size, rule)


def people_with_both(people: People, trial: int = 1) -> np.ndarray:
    """Return the persons with images of both modalities: test identities first, each part ascending.

    Args:
        people: The dataset.
        trial: Trial of the test identities, for datasets with several splits.

    Raises:
        UsageError: No person has images of both modalities.
    """
    table = people.records
    sides = [np.unique(table.pids[table.modalities == m.code]) for m in Modality]
    both = np.intersect1d(sides[0], sides[1])
    if not len(both):
        counts = ", ".join(f"{len(side)} {m.value}" for m, side in zip(Modality, sides, strict=True))
        raise UsageError(
            f"{people.title}: nobody has images of both modalities (people: {counts}).",
            "Choose another dataset, or name image files.",
        )
    return _test_first(people, both, trial)


def person_with_two(people: People, modality: Modality) -> int:
    """Return the first person with two images of one modality, test identities first.

    Raises:
        UsageError: No person has two images.
    """
    table = people.records
    pids, images = np.unique(table.pids[table.modalities == modality.code], return_counts=True)
    if not (images > 1).any():
        raise UsageError(
            f"{people.title}: nobody has two {modality.value} images (people with one: {len(pids)}).",
            "Choose another --modality or dataset, or name image files.",
        )
    return int(_test_first(people, pids[images > 1])[0])


def _test_first(people: People, pids: np.ndarray, trial: int = 1) -> np.ndarray:
    """Order ``pids`` (P,): the test identities of a trial before the others."""
    table = people.records
    tested = (table.in_trial(trial) if table.trials else table).tested
    test = np.isin(pids, table.pids[tested])
    return np.concatenate([pids[test], pids[~test]])


def select_people(people: People, pids: Sequence[int], count: int, trial: int = 1) -> list[int]:
    """Return ``pids``, or the first ``count`` people with both modalities, test identities first.

    Args:
        people: The dataset.
        pids: Persons to select; empty: select by ``count``.
        count: Number of people.
        trial: Trial of the test identities, for datasets with several splits.

    Raises:
        UsageError: Nobody has both modalities, a person is unknown or has one modality only, or fewer than
            ``count`` people have both.
    """
    both = people_with_both(people, trial)
    for pid in pids:
        if pid not in both:
            exists = pid in people.records.pids
            problem = "has images of one modality only" if exists else "does not exist"
            some = ", ".join(str(p) for p in both[:10]) + (" …" if len(both) > 10 else "")
            raise UsageError(f"{people.title}: pid {pid} {problem}.", f"With both modalities: {some}")
    if not pids and len(both) < count:
        raise UsageError(
            f"{people.title}: {counted(len(both), 'person')} with images of both modalities, not {count}.",
            f"Show fewer: --ids {len(both)}",
        )
    return [int(pid) for pid in pids] or [int(pid) for pid in both[:count]]


def pair(people: People, pid: int, modality: Modality | None = None) -> tuple[ImageFile, ImageFile]:
    """Return a visible and an infrared image of one person, or two images of one modality.

    Args:
        people: The dataset.
        pid: The person.
        modality: Modality of both images, from two cameras if possible; None: one image of each modality.

    Raises:
        UsageError: The person does not exist or has too few images.
    """
    table = people.records
    if modality is None:
        rows = [_rows(table, pid, one)[0] for one in Modality]
    else:
        own = _rows(table, pid, modality)
        if pid not in table.pids:
            raise UsageError(
                f"{people.title}: pid {pid} does not exist.",
                f"A person with two {modality.value} images: --pid {person_with_two(people, modality)}",
            )
        if len(own) < 2:
            raise UsageError(
                f"{people.title}: pid {pid} has {len(own)} {modality.value} image, not two.",
                "Choose another person with --pid, or remove --modality.",
            )
        other_camera = own[table.camids[own] != table.camids[own[0]]]
        rows = [own[0], other_camera[0] if len(other_camera) else own[1]]
    first, second = (_image_file(people, int(row)) for row in rows)
    if modality is not None:
        first, second = (replace(one, name=f"{one.name} {i}") for i, one in enumerate((first, second), 1))
    return first, second


def image_files(files: Sequence[Path], modalities: Sequence[Modality | None]) -> list[ImageFile]:
    """Return up to six files with captions: the modality if known, else ``first``, ``second`` …

    The decoder obeys EXIF orientation, and scales 16-bit files by a common range measured over all of them.

    Args:
        files: One to six paths.
        modalities: The modality of each file; None: unknown.
    """
    decoder = decoder_of_files(files)
    words = ("first", "second", "third", "fourth", "fifth", "sixth") if len(files) > 1 else ("image",)
    return [
        ImageFile(file, modality.value if modality else word, str(file), modality, decoder)
        for file, modality, word in zip(files, modalities, words, strict=False)
    ]


def _rows(table: RecordTable, pid: int, modality: Modality) -> np.ndarray:
    return np.flatnonzero((table.pids == pid) & (table.modalities == modality.code))


def _image_file(people: People, row: int) -> ImageFile:
    table = people.records
    modality = table.modality(row)
    camera = f"cam {table.camids[row]}" if table.has_cameras else ""
    return ImageFile(people.root / str(table.paths[row]), modality.value, camera, modality, people.decoder)


def read_row(people: People, row: int) -> np.ndarray:
    """Read the image of a row, (h, w, 3) uint8 RGB. Raises as ``read``."""
    table = people.records
    return read(people.root / str(table.paths[row]), people.decoder, table.modality(row))


def read(path: Path, decoder: Decoder, modality: Modality | None) -> np.ndarray:
    """Read an image file, (h, w, 3) uint8 RGB.

    Args:
        path: The file.
        decoder: Decodes the file.
        modality: Modality of the image; None: unknown.

    Raises:
        UsageError: The file does not exist.
        DataError: The file can't be read.
    """
    try:
        return decoder.decode(load(path), modality)
    except BadImage as error:
        if not path.exists():
            raise UsageError(f"There is no image {path}.") from error
        raise DataError(f"{path} can't be read: {error}") from error
