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
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vireid_cli.data.provenance import read_provenance
from vireid_cli.data.sources import Count, Report, Scan
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import Modality, Record, RecordTable

TITLE = "SYSU-MM01"
FOLDER = "SYSU-MM01"
HOW_TO_GET = (
    "Real: free for research under a signed agreement (https://github.com/wuancong/SYSU-MM01), "
    "unpacked so that the folder holds cam1 … cam6 and exp."
)

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

EXPECTED_IDENTITIES = {"train": 296, "val": 99, "test": 96}

_IMAGE = re.compile(r"\d{4}\.jpg", re.IGNORECASE)
_IDENTITY = re.compile(r"\d{4}")


@dataclass(slots=True)
class _Found:
    """What a walk over the camera folders met besides records.

    Attributes:
        records: Images of listed identities.
        stray: Files that are not images, by name or ending.
        unlisted: Identities that have a folder and are in no list.
        odd_folders: Folders inside a camera whose name is not four digits.
    """

    records: list[Record] = field(default_factory=list)
    stray: Counter[str] = field(default_factory=Counter)
    unlisted: set[int] = field(default_factory=set)
    odd_folders: list[str] = field(default_factory=list)


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
    check_root(root)
    provenance = read_provenance(root)
    split_of, notes = read_splits(root / "exp")
    found = _walk(root, split_of)
    if not found.records:
        raise DataError(
            f"{root}: no image of a listed identity (expected cam1/<4-digit id>/<4-digit frame>.jpg)",
            f"{sum(found.stray.values())} other files were found. Check that the archive was unpacked whole.",
        )
    records = RecordTable.of(sorted(found.records, key=lambda record: record.path))
    permutation = next((p for p in (root / PERMUTATION, root / "exp" / PERMUTATION) if p.is_file()), None)
    notes += list(_notes(found, records, split_of, real=not provenance.rendered))
    if permutation is None:
        notes.append(f"{PERMUTATION} is absent (root or exp/): the 'official' gallery draw is not available")
    counts = _counts(records, real=not provenance.rendered)
    return Scan(records, Report(counts, tuple(notes), provenance), permutation)


def check_root(root: Path) -> None:
    """Refuse a root that is not the folder holding cam1 … cam6 and exp, and say where that one is.

    Raises:
        UsageError: ``root`` is missing, or one or two levels off.
        DataError: Some camera folders are missing.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder", HOW_TO_GET)
    missing = [f"cam{camid}" for camid in CAMERAS if not (root / f"cam{camid}").is_dir()]
    if not missing:
        return
    if len(missing) < len(CAMERAS):
        raise DataError(
            f"{root}: camera folders missing: {', '.join(missing)} (expected cam1 … cam6)",
            "Unpack the dataset again; each of the six folders belongs directly under the root.",
        )
    resolved = root.resolve()
    for parent in (resolved.parent, resolved.parent.parent):
        if _holds_cameras(parent):
            raise UsageError(
                f"{root} is inside the dataset, one level or more too low: the root is {parent}",
                f"vireid prepare sysu --root {parent}",
            )
    for child in sorted(path for path in root.iterdir() if path.is_dir()):
        if _holds_cameras(child):
            raise UsageError(
                f"{root} is one level too high: the dataset is in {child}",
                f"vireid prepare sysu --root {child}",
            )
    raise DataError(
        f"{root} does not hold SYSU-MM01: no folder cam1 … cam6 (found: {_listing(root)})", HOW_TO_GET
    )


def _holds_cameras(folder: Path) -> bool:
    return sum((folder / f"cam{camid}").is_dir() for camid in CAMERAS) >= 3


def _listing(folder: Path, limit: int = 6) -> str:
    """The first names in a folder, as a hint at what was given instead."""
    names = sorted(path.name for path in folder.iterdir())
    return (
        ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
        or "nothing"
    )


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
                f"{folder}: identities of {split}_id are in {split_of[twice[0]]}_id too: {_some(twice)}",
                "The three lists must not overlap; copy exp/ from the official archive again.",
            )
        split_of.update(dict.fromkeys(pids, split))
    notes = []
    if any((folder / f"available_id{ending}").is_file() for ending in (".txt", ".mat")):
        unavailable = sorted(set(split_of) - set(read_ids(folder, "available_id")))
        if unavailable:
            notes.append(f"identities listed in a split but not in available_id: {_some(unavailable)}")
    return split_of, notes


def read_ids(folder: Path, name: str) -> list[int]:
    """Identities of ``<folder>/<name>.txt`` (comma separated), else of ``<name>.mat``, in file order.

    Raises:
        DataError: Neither exists, or the one that exists is not a list of numbers, or is empty.
    """
    text, matrix = folder / f"{name}.txt", folder / f"{name}.mat"
    if text.is_file():
        path, read = text, _ids_of_text
    elif matrix.is_file():
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
    return [int(part) for part in re.split(r"[,\s]+", path.read_text(encoding="utf-8-sig").strip()) if part]


def _ids_of_matrix(path: Path) -> list[int]:
    from scipy.io import loadmat

    try:
        variables = loadmat(str(path))
    except Exception as error:  # a damaged file raises whatever its bytes happen to hit
        raise ValueError(str(error)) from error
    for name, value in variables.items():
        if not name.startswith("__") and np.issubdtype(np.asarray(value).dtype, np.number):
            return [int(pid) for pid in np.asarray(value).ravel()]
    raise ValueError("no numeric variable in it")


def _walk(root: Path, split_of: dict[int, str]) -> _Found:
    """Visit each camera's identity folders once, by name only: no file is opened here."""
    found = _Found()
    for camid in CAMERAS:
        for folder in (root / f"cam{camid}").iterdir():
            if not _IDENTITY.fullmatch(folder.name):
                _note_odd(found, folder)
            elif int(folder.name) not in split_of:
                found.unlisted.add(int(folder.name))
            elif folder.is_dir():
                _collect(found, folder, camid, split_of[int(folder.name)])
    return found


def _note_odd(found: _Found, path: Path) -> None:
    if path.is_dir():
        found.odd_folders.append(f"{path.parent.name}/{path.name}")
    else:
        found.stray[path.name] += 1


def _collect(found: _Found, folder: Path, camid: int, split: str) -> None:
    """Add the images of one identity folder; count what else lies there."""
    modality, pid = modality_of(camid), int(folder.name)
    for path in folder.iterdir():
        if _IMAGE.fullmatch(path.name):
            relative = f"cam{camid}/{folder.name}/{path.name}"
            found.records.append(Record(relative, pid, camid, modality, split))
        else:
            found.stray[path.name if path.name.startswith(".") or not path.suffix else f"*{path.suffix}"] += 1


def _notes(found: _Found, records: RecordTable, split_of: dict[int, str], *, real: bool) -> Iterator[str]:
    """Sentences on everything that is not as one would expect."""
    if found.stray:
        kinds = ", ".join(f"{count} × {name}" for name, count in sorted(found.stray.items())[:8])
        yield (
            f"{sum(found.stray.values())} stray files ignored ({kinds}); other evaluators may draw them "
            "into a seeded gallery"
        )
    if found.odd_folders:
        yield f"folders not named by a 4-digit identity, ignored: {', '.join(sorted(found.odd_folders)[:8])}"
    if found.unlisted:
        yield f"{_people(found.unlisted)} in no list, folders ignored: {_some(found.unlisted)}"
    present = set(records.pids.tolist())
    absent = sorted(set(split_of) - present)
    if absent:
        yield f"{_people(absent)} listed but without any image: {_some(absent)}"
    for modality in Modality:
        having = set(records.pids[records.modalities == modality.code].tolist())
        lacking = sorted(present - having)
        if lacking:
            yield f"{_people(lacking)} without {modality} images: {_some(lacking)}"
    for split, expected in EXPECTED_IDENTITIES.items() if real else ():
        listed = sum(value == split for value in split_of.values())
        if listed != expected:
            yield f"{split}_id lists {listed} identities, {expected} expected"


def _people(pids: set[int] | list[int]) -> str:
    return f"{len(pids)} {'identity' if len(pids) == 1 else 'identities'}"


def _some(pids: set[int] | list[int], limit: int = 12) -> str:
    """The first few numbers of a collection, sorted, and how many more there are."""
    ordered = sorted(pids)
    more = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return ", ".join(map(str, ordered[:limit])) + more


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
