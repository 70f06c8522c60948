"""Oulu-CASIA NIR-VIS: faces of people with six expressions, visible and near infrared.

Layout::

    <root>/{NI,VL}/{Strong,Weak,Dark}/P001/<Expression>/NNN.jpeg      NI near infrared, VL visible light

The protocol of papers (from memory: 40 people, half of them for training, 8 frames per expression) was never
published as a list. If ``faces/*.txt`` is absent, this source writes its own split: strong light only; of the
people with both modalities, in order, the first half is for training; 8 frames per expression and modality,
evenly spaced in the sequence; visible images of the other people are the gallery, infrared ones the probes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from vireid_cli.data import faces, layout
from vireid_cli.data.dataset_root import Root
from vireid_cli.data.sources import Scan
from vireid_cli.types import Modality, Record

TITLE = "Oulu-CASIA NIR-VIS"
FOLDER = "Oulu-CASIA"
PROTOCOL = "faces"
HOW_TO_GET = (
    "Real: free for research on request from the University of Oulu (CMVS), unpacked so that the folder "
    "holds NI and VL; copies in other layouts by a list: <root>/records.csv (path,pid,camid,modality,split)."
)
ROOT = Root("oulu", TITLE, ("NI", "VL"), HOW_TO_GET)
SIDES = {"VL": Modality.VISIBLE, "NI": Modality.INFRARED}
LIGHT = "Strong"
FRAMES = 8

_PERSON = re.compile(r"P([0-9]+)", re.IGNORECASE)


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
    """Collect all images of all lights."""
    walk = layout.Walk()
    for side, modality in SIDES.items():
        for path in sorted((root / side).rglob("*")):
            if path.is_dir():
                continue
            relative = path.relative_to(root).as_posix()
            parts = relative.split("/")  # side / light / person / expression / frame
            person = _PERSON.fullmatch(parts[2]) if len(parts) == 5 else None
            if not layout.is_image(path):
                walk.ignore(path)
            elif person is None:
                walk.unmatched.append(f"{relative} (not {side}/<light>/P<number>/<expression>/<frame>)")
            elif (pid := walk.person(f"{side}/{parts[1]}", parts[2], person[1])) is not None:
                walk.records.append(Record(relative, pid, modality.code + 1, modality, ""))
    return walk


def _draw(records: list[Record]) -> list[Record]:
    """Select the images of the protocol and assign their splits."""
    sequences: dict[tuple[int, Modality, str], list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.path):
        _, light, _, expression, _ = record.path.split("/")
        if light == LIGHT:
            sequences[record.pid, record.modality, expression].append(record)
    by_modality = [{pid for pid, side, _ in sequences if side is modality} for modality in Modality]
    pids = sorted(by_modality[0] & by_modality[1])
    trained = set(pids[: len(pids) // 2])
    chosen = []
    for (pid, modality, _), frames in sequences.items():
        if pid not in pids:
            continue
        places = np.linspace(0, len(frames) - 1, num=min(FRAMES, len(frames)))
        tested = "gallery" if modality is Modality.VISIBLE else "query"
        split = "train" if pid in trained else tested
        chosen += [replace(frames[int(place)], split=split) for place in places]
    return chosen
