"""A user's own folder of images.

Layout::

    <root>/{train,query,gallery}/{visible,infrared}/<person>/[c<camid>_]*.{jpg,jpeg,png,bmp,tif,tiff}
    <root>/{visible,infrared}/<person>/[c<camid>_]*.{jpg,jpeg,png,bmp,tif,tiff}

The name of a person's folder is a number or a word with at least one letter; words are numbered, and the
store keeps the numbers. Without ``c<camid>_``, visible images have camera 1 and infrared images camera 2.
People in ``train`` must not occur in ``query`` or ``gallery``. In the second layout a share of the people is
for training and the others for the test (``identity_split``). Alternatively, list the images in
``records.csv`` at the root (``path,pid,camid,modality,split``).
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from vireid_cli.counts import counted
from vireid_cli.data import layout
from vireid_cli.data.dataset_root import Root
from vireid_cli.data.identity_split import IdentitySplit
from vireid_cli.data.ids import id_problem, is_text, parse_id
from vireid_cli.data.provenance import read_provenance
from vireid_cli.data.sources import Scan, ScanReport
from vireid_cli.dataset_names import OWN
from vireid_cli.errors import DataError, UsageError
from vireid_cli.printable import shell_line
from vireid_cli.types import Modality, Record

TITLE = "a folder of one's own"
FOLDER = "folder"
PROTOCOL = "folder"
HOW_TO_GET = (
    "Expected: <root>/{train,query,gallery}/{visible,infrared}/<person>/[c<camid>_]*.jpg, or only "
    "<root>/{visible,infrared}/<person>/, or a list <root>/records.csv (path,pid,camid,modality,split); name "
    "the root with --root."
)
SPLITS = ("train", "query", "gallery")
WHOLE = "all"
"""Split of the images before the identities are divided."""

_CAMERA = re.compile(r"c([0-9]+)_")


def is_flat(root: Path) -> bool:
    """Whether a tree has folders of both modalities at its root, and none of the three splits."""
    return not any((root / split).is_dir() for split in SPLITS) and all((root / m).is_dir() for m in Modality)


def scan(root: Path) -> Scan:
    """Read the layout under ``root``; ``train`` alone, or ``query`` and ``gallery`` alone, are sufficient.

    The people of a tree without splits are divided by the default rule.

    Raises:
        UsageError: ``root`` does not exist.
        DataError: The folders of the layout are missing, there is no image, or a person occurs in training
            and test.
    """
    return scan_with_split(root, IdentitySplit() if is_flat(root) else None)


def scan_with_split(root: Path, split: IdentitySplit | None) -> Scan:
    """Read the layout under ``root``, and divide the people of a tree without splits.

    Args:
        root: Root of the images.
        split: Rule of the division; None for a tree with splits.

    Raises:
        UsageError: ``root`` does not exist, or ``split`` is given for a tree with splits.
        DataError: As ``scan``.
    """
    flat = is_flat(root)
    if flat:
        _refuse_one_split(root)
    if split is not None and not flat:
        raise UsageError(
            f"--split has no effect on {root}: its folders already divide the people.",
            "Remove --split and --seed; they apply to a root with the folders visible and infrared only.",
        )
    parts = [("", WHOLE)] if flat else [(name, name) for name in SPLITS if (root / name).is_dir()]
    if not parts:
        Root(OWN, TITLE, SPLITS, HOW_TO_GET).check(root)
    walk = layout.Walk()
    sides = list(_sides(root, parts, walk))
    people = number_words(folder.name for side, *_ in sides for folder in side.iterdir() if folder.is_dir())
    for side, parent, modality, part in sides:
        _walk(side, parent, modality, part, people, walk)
    if people:
        shown = layout.first([f"{name} is {number}" for name, number in people.items()], layout.SHOWN)
        walk.remarks.append(f"{counted(len(people), 'name')} of people, numbered: {shown}")
    if split is not None and flat:
        _divide(walk, split, people)
    records = walk.table(root, "train/visible/<person>/*.jpg and the like")
    layout.refuse_overlap(
        records, root, "A person belongs to training or to the test: move its folders to one side."
    )
    notes = (*walk.notes(), *layout.missing_modalities(records))
    report = ScanReport(layout.count(records), notes, read_provenance(root))
    return Scan(records, report, None, people, split)


def _refuse_one_split(root: Path) -> None:
    """Refuse ``train``, ``query`` or ``gallery`` of a tree as the root of a tree without splits."""
    place = root.resolve()
    others = [name for name in SPLITS if name != place.name and (place.parent / name).is_dir()]
    if place.name in SPLITS and others:
        raise UsageError(
            f"{root} is inside the dataset: the root is {place.parent}",
            f"Set the root: --root {shell_line([str(place.parent)])}",
        )


def is_word(name: str) -> bool:
    """Whether a folder's name is that of a person: UTF-8 with a letter, not ``.``, ``_`` or ``@`` first."""
    return is_text(name) and any(map(str.isalpha, name)) and not name.startswith((".", "_", "@"))


def number_words(names: Iterable[str]) -> dict[str, int]:
    """Number the words among the names of folders in alphabetical order.

    Args:
        names: Names of folders; numbers among them keep their value, which no word gets.

    Returns:
        Number by word, from 1. Different Unicode forms of one word have one number.
    """
    known = set(names)
    taken = {number for name in known if (number := parse_id(name)) is not None}
    free = (number for number in itertools.count(1) if number not in taken)
    words = sorted({unicodedata.normalize("NFC", name) for name in known if is_word(name)})
    return dict(zip(words, free, strict=False))


def _sides(
    root: Path, parts: list[tuple[str, str]], walk: layout.Walk
) -> Iterator[tuple[Path, str, Modality, str]]:
    """Yield the folders of modalities with their path below the root, their modality and their split."""
    for folder, split in parts:
        for side in sorted((root / folder).iterdir()):
            if not side.is_dir():
                walk.ignore(side)
            elif side.name in tuple(Modality):
                yield side, f"{folder}/{side.name}".lstrip("/"), Modality(side.name), split
            elif folder:
                raise DataError(f"{side}: folder name must be 'visible' or 'infrared'", HOW_TO_GET)
            else:
                walk.unmatched.append(f"{side.name} (neither visible nor infrared)")


def _walk(
    side: Path, parent: str, modality: Modality, split: str, people: dict[str, int], walk: layout.Walk
) -> None:
    """Collect the images of one modality."""
    for person in sorted(side.iterdir()):
        if not person.is_dir():
            walk.ignore(person)
            continue
        number = people.get(unicodedata.normalize("NFC", person.name))
        pid = walk.person(parent, person.name, None if number is None else str(number))
        if pid is not None:
            _collect(person, parent, pid, modality, split, walk)


def _collect(person: Path, parent: str, pid: int, modality: Modality, split: str, walk: layout.Walk) -> None:
    for path in sorted(person.iterdir()):
        if not layout.is_image(path):
            walk.ignore(path, f"{parent}/{person.name}")
            continue
        relative = f"{parent}/{person.name}/{path.name}"
        camera = _CAMERA.match(path.name)
        camid = parse_id(camera[1]) if camera else modality.code + 1
        if camid is None:
            walk.unmatched.append(f"{relative} (camera {id_problem(path.name[1:].partition('_')[0])})")
        else:
            walk.records.append(Record(relative, pid, camid, modality, split))


def _divide(walk: layout.Walk, split: IdentitySplit, people: dict[str, int]) -> None:
    """Assign each person of a tree without splits to training or test, and note the numbers."""
    words = {number: name for name, number in people.items()}
    present = {record.pid for record in walk.records}
    training = split.training({pid: words.get(pid, str(pid)) for pid in present})
    walk.records[:] = [
        replace(record, split="train" if record.pid in training else "test") for record in walk.records
    ]
    walk.remarks.append(
        f"no folders train, query and gallery: {split.text} divides the people, {len(training)} for training "
        f"and {len(present) - len(training)} for the test"
    )
