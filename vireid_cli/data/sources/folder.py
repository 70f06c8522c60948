"""A folder of one's own.

Layout::

    <root>/{train,query,gallery}/{visible,infrared}/<pid>/[c<camid>_]*.{jpg,jpeg,png,bmp,tif,tiff}

A person is a number. Without ``c<camid>_`` visible images are camera 1 and infrared ones camera 2. People of
``train`` may not occur in ``query`` or ``gallery``. A list works too: ``records.csv`` at the root
(``path,pid,camid,modality,split``).
"""

from __future__ import annotations

import re
from pathlib import Path

from vireid_cli.data import layout
from vireid_cli.data.ids import id_problem, parse_id
from vireid_cli.data.provenance import read_provenance
from vireid_cli.data.sources import Scan, ScanReport
from vireid_cli.errors import DataError
from vireid_cli.types import Modality, Record

TITLE = "a folder of one's own"
FOLDER = "folder"
PROTOCOL = "folder"
HOW_TO_GET = (
    "Expected: <root>/{train,query,gallery}/{visible,infrared}/<pid>/[c<camid>_]*.jpg, or a list "
    "<root>/records.csv (path,pid,camid,modality,split); name it with --root."
)
SPLITS = ("train", "query", "gallery")

_CAMERA = re.compile(r"c([0-9]+)_")


def scan(root: Path) -> Scan:
    """Read the layout under ``root``; ``train`` alone, or ``query`` and ``gallery`` alone, will do.

    Raises:
        UsageError: ``root`` does not exist.
        DataError: None of the three folders is there, there is no image, or a person is trained on and
            tested on.
    """
    present = [split for split in SPLITS if (root / split).is_dir()]
    if not present:
        layout.Root("folder", TITLE, SPLITS, HOW_TO_GET).check(root)
    found = layout.Found()
    for split in present:
        _walk(root, split, found)
    records = found.table(root, "train/visible/<pid>/*.jpg and the like")
    layout.refuse_overlap(
        records, root, "Each person is either trained on or tested on: move its folders to one side."
    )
    notes = (*found.notes(), *layout.lacking(records))
    return Scan(records, ScanReport(layout.count(records), notes, read_provenance(root)), None)


def _walk(root: Path, split: str, found: layout.Found) -> None:
    """Visit one split's folders by name."""
    for side in sorted((root / split).iterdir()):
        if not side.is_dir():
            found.ignore(side)
            continue
        if side.name not in tuple(Modality):
            raise DataError(
                f"{side} is neither 'visible' nor 'infrared': it can't be told what its images are",
                HOW_TO_GET,
            )
        for person in sorted(side.iterdir()):
            if not person.is_dir():
                found.ignore(person)
                continue
            pid = found.person(f"{split}/{side.name}", person.name)
            if pid is not None:
                _collect(person, f"{split}/{side.name}", pid, Modality(side.name), split, found)


def _collect(person: Path, where: str, pid: int, modality: Modality, split: str, found: layout.Found) -> None:
    for path in sorted(person.iterdir()):
        if not layout.is_image(path):
            found.ignore(path)
            continue
        relative = f"{where}/{person.name}/{path.name}"
        camera = _CAMERA.match(path.name)
        camid = parse_id(camera[1]) if camera else modality.code + 1
        if camid is None:
            found.odd.append(f"{relative} (camera {id_problem(path.name[1:].partition('_')[0])})")
        else:
            found.records.append(Record(relative, pid, camid, modality, split))
