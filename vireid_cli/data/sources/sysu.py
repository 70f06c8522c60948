"""SYSU-MM01: six cameras, visible (1, 2, 4, 5) and near infrared (3, 6), 491 usable identities.

Layout::

    SYSU-MM01/cam1 … cam6/<4-digit id>/<4-digit frame>.jpg
    SYSU-MM01/exp/{train,val,test}_id.txt or .mat      one line, comma separated; `available_id` optional
    rand_perm_cam.mat                                  official gallery draw; at the root or in exp/

Only identities of the three lists are records: 22 of the 513 folders are not usable. Counts: Wu et
al., ICCV 2017, recomputed from the official permutation file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vireid_cli import reading
from vireid_cli.data import layout
from vireid_cli.data.ids import ids_of_array, parse_ids
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

ROOT = layout.Root("sysu", TITLE, tuple(f"cam{camid}" for camid in range(1, 7)), HOW_TO_GET)
CAMERAS = (1, 2, 3, 4, 5, 6)
INFRARED_CAMERAS = (3, 6)
SPLITS = ("train", "val", "test")
PERMUTATION = "rand_perm_cam.mat"

EXPECTED_IMAGES: dict[str, tuple[int, ...]] = {
    "train": (4721, 5753, 5929, 4821, 4989, 4000),
    "val": (0, 0, 1980, 990, 984, 0),
    "test": (1374, 1565, 1883, 1918, 1918, 1920),
}
"""Images of the real dataset by split and camera 1..6."""

COUNTS = Path(__file__).with_name("sysu_counts.csv")
"""Images of the real dataset by identity and camera: numbers, counted from the shapes in the official
permutation file; no image, name or order of the dataset is in it. See its first lines."""

EXPECTED_IDENTITIES = {"train": 296, "val": 99, "test": 96}

TRAINING_IDENTITIES = EXPECTED_IDENTITIES["train"] + EXPECTED_IDENTITIES["val"]
"""Identities that papers train on: lists train and val together."""

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
"""Identities that have a folder and are in no list."""

_IMAGE = re.compile(r"[0-9]{4}\.jpg", re.IGNORECASE)
_IDENTITY = re.compile(r"[0-9]{4}|[1-9][0-9]{4}")
"""Names of identity folders. A rendered tree of more than 9,999 people has five digits beyond that."""


@dataclass(slots=True)
class _Found(layout.Found):
    """What a walk over the camera folders met.

    Attributes:
        unlisted: Identities that have a folder and are in no list.
    """

    unlisted: set[int] = field(default_factory=set)


def modality_of(camid: int) -> Modality:
    """Modality that a camera records: 3 and 6 infrared, the others visible."""
    return Modality.INFRARED if camid in INFRARED_CAMERAS else Modality.VISIBLE


def scan(root: Path) -> Scan:
    """Read the layout under ``root`` and compare it with the published counts.

    A rendered tree (``vireid-rendered.json`` at the root) has no published counts.

    Raises:
        UsageError: ``root`` does not exist, or is one level too high or too low.
        DataError: A camera folder or an identity list is missing, an identity is in two lists, or
            there is no image.
    """
    ROOT.check(root)
    provenance = read_provenance(root)
    split_of, notes = read_splits(root / "exp")
    found = _walk(root, split_of)
    records = found.table(root, "images of listed identities, cam1/<4-digit id>/<4-digit frame>.jpg")
    permutation = next((p for p in (root / PERMUTATION, root / "exp" / PERMUTATION) if p.is_file()), None)
    notes += list(_notes(found, records, split_of, real=not provenance.rendered))
    if permutation is None:
        notes.append(f"{PERMUTATION} is absent (root or exp/): the 'official' gallery draw is not available")
    counts = _counts(records, real=not provenance.rendered)
    return Scan(records, ScanReport(counts, tuple(notes), provenance), permutation)


def read_splits(folder: Path) -> tuple[dict[int, str], list[str]]:
    """Split of each listed identity, and notes.

    Args:
        folder: The dataset's ``exp``.

    Raises:
        DataError: The folder or a list is missing or can't be read, or lists overlap.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is missing: it holds the official identity lists",
            "Expected there: train_id.txt, val_id.txt and test_id.txt (or the same as .mat).",
        )
    split_of: dict[int, str] = {}
    for split in SPLITS:
        pids = read_ids(folder, f"{split}_id")
        twice = sorted(pid for pid in pids if pid in split_of)
        if twice:
            raise DataError(
                f"{folder}: identities of {split}_id are in {split_of[twice[0]]}_id too: "
                f"{layout.some(twice)}",
                "The three lists must not overlap; copy exp/ from the official archive again.",
            )
        split_of.update(dict.fromkeys(pids, split))
    notes = []
    if any((folder / f"available_id{ending}").is_file() for ending in (".txt", ".mat")):
        unavailable = sorted(set(split_of) - set(read_ids(folder, "available_id")))
        if unavailable:
            notes.append(f"identities listed in a split but not in available_id: {layout.some(unavailable)}")
    return split_of, notes


def read_ids(folder: Path, name: str) -> list[int]:
    """Identities of ``<folder>/<name>.txt`` (comma separated), else of ``<name>.mat``, in file order.

    Raises:
        DataError: Neither exists, or the one that exists is not a list of numbers, or is empty.
    """
    text, matrix = folder / f"{name}.txt", folder / f"{name}.mat"
    if text.exists():
        path, read = text, _ids_of_text
    elif matrix.exists():
        path, read = matrix, _ids_of_matrix
    else:
        raise DataError(
            f"{text} is missing (nor is there {matrix.name})",
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


def _ids_of_text(path: Path) -> list[int]:
    return parse_ids(part for part in re.split(r"[,\s]+", reading.read_text(path)) if part)


def _ids_of_matrix(path: Path) -> list[int]:
    from scipy.io import loadmat

    with reading.open_regular(path) as file:
        try:
            variables = loadmat(file)
        except Exception as error:  # a damaged file raises whatever its bytes happen to hit
            raise ValueError(str(error)) from error
    for name, value in variables.items():
        if not name.startswith("__") and np.issubdtype(np.asarray(value).dtype, np.number):
            return ids_of_array(value)
    raise ValueError("no numeric variable in it")


def _walk(root: Path, split_of: dict[int, str]) -> _Found:
    """Visit each camera's identity folders once, by name only: no file is opened here."""
    found = _Found()
    for camid in CAMERAS:
        for folder in (root / f"cam{camid}").iterdir():
            if not _IDENTITY.fullmatch(folder.name):
                found.odd.append(f"cam{camid}/{folder.name}") if folder.is_dir() else found.ignore(folder)
            elif int(folder.name) not in split_of:
                found.unlisted.add(int(folder.name))
            elif folder.is_dir():
                _collect(found, folder, camid, split_of[int(folder.name)])
    return found


def _collect(found: _Found, folder: Path, camid: int, split: str) -> None:
    """Add the images of one identity folder; count what else lies there."""
    modality, pid = modality_of(camid), int(folder.name)
    for path in folder.iterdir():
        if _IMAGE.fullmatch(path.name):
            relative = f"cam{camid}/{folder.name}/{path.name}"
            found.records.append(Record(relative, pid, camid, modality, split))
        elif layout.is_image(path):
            found.odd.append(f"cam{camid}/{folder.name}/{path.name} (not <4-digit frame>.jpg)")
        else:
            found.ignore(path)


def _notes(found: _Found, records: RecordTable, split_of: dict[int, str], *, real: bool) -> Iterator[str]:
    """Sentences on everything that is not as one would expect."""
    yield from found.notes()
    if found.unlisted:
        yield f"{layout.people(found.unlisted)} in no list, folders ignored: {layout.some(found.unlisted)}"
    present = set(records.pids.tolist())
    absent = sorted(set(split_of) - present)
    if absent:
        yield f"{layout.people(absent)} listed but without any image: {layout.some(absent)}"
    yield from layout.lacking(records)
    for split, expected in EXPECTED_IDENTITIES.items() if real else ():
        listed = sum(value == split for value in split_of.values())
        if listed != expected:
            yield f"{split}_id lists {listed} identities, {expected} expected"
    differing = differences(records) if real else []
    if differing:
        yield (
            f"{len(differing)} counts differ from the published table: {layout.first(differing)} "
            "(all of them: vireid prepare sysu --verify)"
        )


def training_pids() -> np.ndarray:
    """Identities of the official lists train and val, (395,) ascending; no file of the dataset is read."""
    people = np.loadtxt(COUNTS, dtype=np.int64, delimiter=",")[:, 0]
    return np.setdiff1d(people, (*TEST_PIDS, *UNUSABLE_PIDS))


def differences(records: RecordTable) -> list[str]:
    """Compare the number of images of each listed identity in each camera with the published table.

    Returns:
        A line for each that differs, by identity, then camera.
    """
    published = np.loadtxt(COUNTS, dtype=np.int64, delimiter=",")
    listed, person = np.unique(records.pids, return_inverse=True)
    expected = np.zeros((len(listed), len(CAMERAS)), dtype=np.int64)
    _, row, known = np.intersect1d(listed, published[:, 0], assume_unique=True, return_indices=True)
    expected[row] = published[known, 1:]
    found = np.bincount(person * len(CAMERAS) + records.camids - 1, minlength=expected.size)
    found = found.reshape(expected.shape)
    rows, cameras = np.nonzero(found != expected)
    return [
        f"id {listed[row]} camera {camera + 1}: {found[row, camera]} found, {expected[row, camera]} expected"
        for row, camera in zip(rows, cameras, strict=True)
    ]


def _counts(records: RecordTable, *, real: bool) -> tuple[Count, ...]:
    """Images and identities by split and camera."""
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
