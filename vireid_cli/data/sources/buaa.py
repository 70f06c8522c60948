"""BUAA-VisNir: faces of 150 people, visible and near infrared.

Layout::

    <root>/VIS/<person>/*.bmp      <root>/NIR/<person>/*.bmp      a person's folder is a number

Other layouts need a list (``records.csv``). Papers train on 50 people and test on 100, with one visible image
per person in the gallery and all infrared images as probes (from memory; no list was published). If
``faces/*.txt`` is absent, this source writes its own split: of the people with both modalities, in order, the
first third is for training; the gallery has the first visible image of each other person, by name.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vireid_cli.data import faces, layout
from vireid_cli.data.dataset_root import Root
from vireid_cli.data.sources import Scan
from vireid_cli.types import Modality, Record

TITLE = "BUAA-VisNir"
FOLDER = "BUAA-VisNir"
PROTOCOL = "faces"
HOW_TO_GET = (
    "Real: free for research on request from Beihang University (BUAA), unpacked so that the folder holds "
    "VIS and NIR; copies in other layouts by a list: <root>/records.csv (path,pid,camid,modality,split)."
)
ROOT = Root("buaa", TITLE, ("VIS", "NIR"), HOW_TO_GET)
SIDES = {"VIS": Modality.VISIBLE, "NIR": Modality.INFRARED}


def scan(root: Path) -> Scan:
    """Read the layout under ``root`` with its protocol files; writes them if they are absent.

    Raises:
        UsageError: ``root`` does not exist, or is one level too high or too low.
        DataError: A folder is missing, there is no image, or the protocol files are invalid or can't be
            written.
    """
    ROOT.check(root)
    return faces.scan_faces(root, _modality_of, lambda: _walk(root), _draw)


def _modality_of(path: str) -> Modality | None:
    return SIDES.get(path.split("/")[0])


def _walk(root: Path) -> layout.Walk:
    """Collect all images."""
    walk = layout.Walk()
    for side, modality in SIDES.items():
        for path in sorted((root / side).rglob("*")):
            if path.is_dir():
                continue
            relative = path.relative_to(root).as_posix()
            parts = relative.split("/")  # side / person / image
            if not layout.is_image(path):
                walk.ignore(path)
            elif len(parts) != 3:
                walk.unmatched.append(f"{relative} (not {side}/<person>/<image>)")
            elif (pid := walk.person(side, parts[1])) is not None:
                walk.records.append(Record(relative, pid, modality.code + 1, modality, ""))
    return walk


def _draw(records: list[Record]) -> list[Record]:
    """Select the images of the protocol and assign their splits."""
    by_modality = [{record.pid for record in records if record.modality is modality} for modality in Modality]
    pids = sorted(by_modality[0] & by_modality[1])
    trained, shown, chosen = set(pids[: len(pids) // 3]), set[int](), []
    for record in sorted(records, key=lambda record: record.path):
        if record.pid not in pids:
            continue
        if record.pid in trained:
            chosen.append(replace(record, split="train"))
        elif record.modality is Modality.INFRARED:
            chosen.append(replace(record, split="query"))
        elif record.pid not in shown:
            shown.add(record.pid)
            chosen.append(replace(record, split="gallery"))
    return chosen
