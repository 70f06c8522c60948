"""SYSU-MM01: six cameras, visible (1, 2, 4, 5) and near infrared (3, 6), 491 usable identities.

Layout::

    SYSU-MM01/cam1 … cam6/<4-digit id>/<4-digit frame>.jpg
    SYSU-MM01/exp/{train,val,test}_id.txt or .mat      one line, comma separated; `available_id` optional
    rand_perm_cam.mat                                  official gallery draw; at the root or in exp/

Only identities of the three lists become records; 22 of the 513 folders are unusable. Counts: Wu et al.,
ICCV 2017, recomputed from the official permutation file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vireid_cli.counts import counted
from vireid_cli.data import layout, listing
from vireid_cli.data.dataset_root import Root
from vireid_cli.data.ids import read_matrix_ids, read_text_ids
from vireid_cli.data.provenance import read_provenance
from vireid_cli.data.sources import Count, Scan, ScanReport
from vireid_cli.errors import DataError
from vireid_cli.types import Modality, Record, RecordTable

TITLE = "SYSU-MM01"
FOLDER = "SYSU-MM01"
PROTOCOL = "sysu"
HOW_TO_GET = (
    "Real: free for research under a signed agreement (https://github.com/wuancong/SYSU-MM01), "
    "unpacked so that the folder holds cam1 … cam6 and exp. "
    "Or render one: vireid prepare synthetic"
)

ROOT = Root("sysu", TITLE, tuple(f"cam{camid}" for camid in range(1, 7)), HOW_TO_GET)
CAMERAS = (1, 2, 3, 4, 5, 6)
INFRARED_CAMERAS = (3, 6)
SPLITS = ("train", "val", "test")
PERMUTATION = "rand_perm_cam.mat"

EXPECTED_IMAGES: dict[str, tuple[int, ...]] = {
    "train": (4721, 5753, 5929, 4821, 4989, 4000),
    "val": (0, 0, 1980, 990, 984, 0),
    "test": (1374, 1565, 1883, 1918, 1918, 1920),
}
"""Number of images in the real dataset by split and camera 1..6."""

COUNTS = Path(__file__).with_name("sysu_counts.csv")
"""File with the number of images by identity and camera, counted from the shapes in the official permutation
file. It contains no image, name or order of the dataset; see its first lines."""

EXPECTED_IDENTITIES = {"train": 296, "val": 99, "test": 96}

TRAINING_IDENTITIES = EXPECTED_IDENTITIES["train"] + EXPECTED_IDENTITIES["val"]
"""Number of training identities in papers: those of the lists train and val."""

TEST_PIDS = (
    6, 10, 17, 21, 24, 25, 27, 28, 31, 34, 36, 37, 40, 41, 42, 43, 44, 45, 49, 50, 51, 54, 63, 69, 75, 80, 81,
    82, 83, 84, 85, 86, 87, 88, 89, 90, 93, 102, 104, 105, 106, 108, 112, 116, 117, 122, 125, 129, 130, 134,
    138, 139, 150, 152, 162, 166, 167, 170, 172, 176, 185, 190, 192, 202, 204, 207, 210, 215, 223, 229, 232,
    237, 252, 253, 257, 259, 263, 266, 269, 272, 273, 274, 275, 282, 285, 291, 300, 301, 302, 303, 307, 312,
    315, 318, 331, 333,
)  # fmt: skip
"""Identities of the official test list."""

UNUSABLE_PIDS = (
    9, 23, 26, 32, 33, 38, 39, 46, 47, 48, 57, 67, 94, 96, 97, 146, 242, 347, 485, 500, 511, 529,
)  # fmt: skip
"""Identities with a folder that are in no list."""

_IMAGE = re.compile(r"[0-9]{4}\.jpg", re.IGNORECASE)
_IDENTITY = re.compile(r"[0-9]{4}|[1-9][0-9]{4}")
"""Names of identity folders. A rendered tree of more than 9,999 people has five digits beyond that."""


@dataclass(slots=True)
class _SysuWalk(layout.Walk):
    """Files and folders of a walk over the camera folders.

    Attributes:
        unlisted: Identities with a folder that are in no list.
    """

    unlisted: set[int] = field(default_factory=set)


def modality_of(camid: int) -> Modality:
    """Modality of a camera: infrared for 3 and 6, visible for the others."""
    return Modality.INFRARED if camid in INFRARED_CAMERAS else Modality.VISIBLE


def scan(root: Path) -> Scan:
    """Read the layout under ``root`` and compare it with the published counts.

    A rendered tree (``vireid-rendered.json`` at the root) is not compared.

    Raises:
        UsageError: ``root`` does not exist, or is one level too high or too low.
        DataError: A camera folder or an identity list is missing, an identity is in two lists, or
            there is no image.
    """
    ROOT.check(root)
    provenance = read_provenance(root)
    split_of, notes = read_splits(root / "exp")
    walk = _walk(root, split_of)
    records = walk.table(root, "images of listed identities, cam1/<4-digit id>/<4-digit frame>.jpg")
    permutation = next((p for p in (root / PERMUTATION, root / "exp" / PERMUTATION) if p.is_file()), None)
    notes += list(_notes(walk, records, split_of, real=not provenance.rendered))
    if permutation is None:
        notes.append(f"{PERMUTATION} is absent (root or exp/): the 'official' gallery draw is not available")
    counts = _counts(records, real=not provenance.rendered)
    return Scan(records, ScanReport(counts, tuple(notes), provenance), permutation)


def read_splits(folder: Path) -> tuple[dict[int, str], list[str]]:
    """Read the identity lists.

    Args:
        folder: The dataset's folder ``exp``.

    Returns:
        The split of each listed identity, and notes about the lists.

    Raises:
        DataError: The folder or a list is missing or can't be read, or lists overlap.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is missing: it contains the official identity lists",
            "Expected files: train_id.txt, val_id.txt and test_id.txt (or the same as .mat).",
        )
    split_of: dict[int, str] = {}
    notes = []
    for split in SPLITS:
        pids = read_ids(folder, f"{split}_id")
        notes += listing.repeated_numbers(f"{split}_id", pids)
        twice = sorted(pid for pid in pids if pid in split_of)
        if twice:
            raise DataError(
                f"{folder}: identities of {split}_id are in {split_of[twice[0]]}_id too: "
                f"{layout.first_ids(twice)}",
                "The three lists must not overlap; copy exp/ from the official archive again.",
            )
        split_of.update(dict.fromkeys(pids, split))
    if any((folder / f"available_id{ending}").is_file() for ending in (".txt", ".mat")):
        available = read_ids(folder, "available_id")
        notes += listing.repeated_numbers("available_id", available)
        unavailable = sorted(set(split_of) - set(available))
        if unavailable:
            notes.append(
                f"identities listed in a split but not in available_id: {layout.first_ids(unavailable)}"
            )
    return split_of, notes


def read_ids(folder: Path, name: str) -> list[int]:
    """Read the identities of ``<folder>/<name>.txt`` (comma separated) or ``<name>.mat``, in file order.

    Raises:
        DataError: Neither file exists, or the file is empty or not a list of numbers.
    """
    text, matrix = folder / f"{name}.txt", folder / f"{name}.mat"
    if text.exists():
        path, read = text, read_text_ids
    elif matrix.exists():
        path, read = matrix, read_matrix_ids
    else:
        raise DataError(
            f"{text} is missing, and so is {matrix.name}",
            "It is part of the official archive: one line, identity numbers separated by commas.",
        )
    try:
        pids = read(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is not a list of identity numbers: {error}", "Copy it from the official archive again."
        ) from error
    if not pids:
        raise DataError(f"{path} lists no identity", "Copy it from the official archive again.")
    return pids


def _walk(root: Path, split_of: dict[int, str]) -> _SysuWalk:
    """Collect the images of all cameras by file names, without opening a file."""
    walk = _SysuWalk()
    for camid in CAMERAS:
        for folder in (root / f"cam{camid}").iterdir():
            if not _IDENTITY.fullmatch(folder.name):
                walk.unmatched.append(f"cam{camid}/{folder.name}") if folder.is_dir() else walk.ignore(folder)
            elif int(folder.name) not in split_of:
                walk.unlisted.add(int(folder.name))
            elif folder.is_dir():
                _collect(walk, folder, camid, split_of[int(folder.name)])
    return walk


def _collect(walk: _SysuWalk, folder: Path, camid: int, split: str) -> None:
    """Collect the images of one identity folder; count its other files."""
    modality, pid = modality_of(camid), int(folder.name)
    for path in folder.iterdir():
        if _IMAGE.fullmatch(path.name):
            relative = f"cam{camid}/{folder.name}/{path.name}"
            walk.records.append(Record(relative, pid, camid, modality, split))
        elif layout.is_image(path):
            walk.unmatched.append(f"cam{camid}/{folder.name}/{path.name} (not <4-digit frame>.jpg)")
        else:
            walk.ignore(path, f"cam{camid}/{folder.name}")


def _notes(walk: _SysuWalk, records: RecordTable, split_of: dict[int, str], *, real: bool) -> Iterator[str]:
    """Yield notes about ignored, missing and unexpected files and identities."""
    yield from walk.notes()
    if walk.unlisted:
        count, names = layout.identities(walk.unlisted), layout.first_ids(walk.unlisted)
        yield f"{count} in no list, folders ignored: {names}"
    present = set(records.pids.tolist())
    absent = sorted(set(split_of) - present)
    if absent:
        yield f"{layout.identities(absent)} listed but without any image: {layout.first_ids(absent)}"
    yield from layout.missing_modalities(records)
    for split, expected in EXPECTED_IDENTITIES.items() if real else ():
        listed = sum(value == split for value in split_of.values())
        if listed != expected:
            yield f"{split}_id lists {counted(listed, 'identity')}, {expected} expected"
    differing = differences(records) if real else []
    if differing:
        yield (
            f"{counted(len(differing), 'count')} unlike the published table: {layout.first(differing)} "
            "(all of them: vireid prepare sysu --verify)"
        )


def training_pids() -> np.ndarray:
    """Identities of the official lists train and val, (395,) ascending; reads no file of the dataset."""
    people = np.loadtxt(COUNTS, dtype=np.int64, delimiter=",")[:, 0]
    return np.setdiff1d(people, (*TEST_PIDS, *UNUSABLE_PIDS))


def differences(records: RecordTable) -> list[str]:
    """Compare the number of images of each listed identity in each camera with the published table.

    Returns:
        One line per difference, sorted by identity, then camera; a last one for other cameras.
    """
    others = ~np.isin(records.camids, CAMERAS)
    if others.any():
        unknown = ", ".join(map(str, np.unique(records.camids[others]).tolist()))
        line = f"camera {unknown}: {counted(int(others.sum()), 'image')} found, none expected"
        return [*differences(records.take(np.flatnonzero(~others))), line]
    published = np.loadtxt(COUNTS, dtype=np.int64, delimiter=",")
    listed, person = np.unique(records.pids, return_inverse=True)
    expected = np.zeros((len(listed), len(CAMERAS)), dtype=np.int64)
    _, row, known = np.intersect1d(listed, published[:, 0], assume_unique=True, return_indices=True)
    expected[row] = published[known, 1:]
    images = np.bincount(person * len(CAMERAS) + records.camids - 1, minlength=expected.size)
    images = images.reshape(expected.shape)
    rows, cameras = np.nonzero(images != expected)
    return [
        f"id {listed[row]} camera {camera + 1}: {images[row, camera]} found, {expected[row, camera]} expected"
        for row, camera in zip(rows, cameras, strict=True)
    ]


def _counts(records: RecordTable, *, real: bool) -> tuple[Count, ...]:
    """Count images and identities by split and camera."""
    rows = []
    for split in SPLITS:
        for camid in CAMERAS:
            here = (records.splits == split) & (records.camids == camid)
            rows.append(
                Count(
                    camid,
                    split,
                    modality_of(camid),
                    int(here.sum()),
                    len(np.unique(records.pids[here])),
                    EXPECTED_IMAGES[split][camid - 1] if real else None,
                )
            )
    return tuple(rows)
