"""A user's own folder of images.

Layout::

    <root>/{train,query,gallery}/{visible,infrared}/<pid>/[c<camid>_]*.{jpg,jpeg,png,bmp,tif,tiff}

The name of a person's folder is a number. Without ``c<camid>_``, visible images have camera 1 and infrared
images camera 2. People in ``train`` must not occur in ``query`` or ``gallery``. Alternatively, list the
images in ``records.csv`` at the root (``path,pid,camid,modality,split``).
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
    """Read the layout under ``root``; ``train`` alone, or ``query`` and ``gallery`` alone, are sufficient.

    Raises:
        UsageError: ``root`` does not exist.
        DataError: None of the three folders exists, there is no image, or a person occurs in training and
            test.
    """
    present = [split for split in SPLITS if (root / split).is_dir()]
    if not present:
        layout.Root("folder", TITLE, SPLITS, HOW_TO_GET).check(root)
    walk = layout.Walk()
    for split in present:
        _walk(root, split, walk)
    records = walk.table(root, "train/visible/<pid>/*.jpg and the like")
    layout.refuse_overlap(
        records, root, "A person belongs to training or to the test: move its folders to one side."
    )
    notes = (*walk.notes(), *layout.missing_modalities(records))
    return Scan(records, ScanReport(layout.count(records), notes, read_provenance(root)), None)


def _walk(root: Path, split: str, walk: layout.Walk) -> None:
    """Collect the images of one split."""
    for side in sorted((root / split).iterdir()):
        if not side.is_dir():
            walk.ignore(side)
            continue
        if side.name not in tuple(Modality):
            raise DataError(
                f"{side}: folder name must be 'visible' or 'infrared'",
                HOW_TO_GET,
            )
        for person in sorted(side.iterdir()):
            if not person.is_dir():
                walk.ignore(person)
                continue
            pid = walk.person(f"{split}/{side.name}", person.name)
            if pid is not None:
                _collect(person, f"{split}/{side.name}", pid, Modality(side.name), split, walk)


def _collect(person: Path, parent: str, pid: int, modality: Modality, split: str, walk: layout.Walk) -> None:
    for path in sorted(person.iterdir()):
        if not layout.is_image(path):
            walk.ignore(path)
            continue
        relative = f"{parent}/{person.name}/{path.name}"
        camera = _CAMERA.match(path.name)
        camid = parse_id(camera[1]) if camera else modality.code + 1
        if camid is None:
            walk.unmatched.append(f"{relative} (camera {id_problem(path.name[1:].partition('_')[0])})")
        else:
            walk.records.append(Record(relative, pid, camid, modality, split))
