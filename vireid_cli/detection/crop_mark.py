"""Mark of a folder of crops: options, detector and sources; and its unfinished groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vireid_cli.detection.sources import FrameSource
from vireid_cli.errors import UsageError
from vireid_cli.files import read_mapping
from vireid_cli.types import Modality

RECORDS = "records.csv"
MARK = "crop.json"
PARTS = ".parts"


@dataclass(frozen=True, slots=True)
class CropOptions:
    """Options that change the crops; a folder holds crops of one set of options.

    Attributes:
        every: Step between frames.
        score: Least confidence, in [0, 1].
        overlap: Largest IoU of two people in a frame.
        min_height, min_width: Least size of a box in pixels.
        start: Time of the first frame; None leaves the column ``time`` empty.
        modality: Modality of the cameras; None leaves the column out.
    """

    every: int = 1
    score: float = 0.7
    overlap: float = 0.5
    min_height: int = 64
    min_width: int = 24
    start: datetime | None = None
    modality: Modality | None = None


def mark_of(sources: Sequence[FrameSource], options: CropOptions, identity: dict[str, Any]) -> dict[str, Any]:
    """JSON values that identify the crops: options, detector and sources."""
    values = asdict(options)
    values["start"] = options.start.isoformat() if options.start else None
    values["modality"] = options.modality.value if options.modality else None
    return {"options": values, "detector": identity, "sources": [_source_mark(source) for source in sources]}


def _source_mark(source: FrameSource) -> dict[str, Any]:
    states = [path.stat() for path in source.images or (source.path,)]
    return {
        "path": str(source.path.resolve()),
        "camid": source.camid,
        "fps": source.fps,
        "files": len(states),
        "bytes": sum(state.st_size for state in states),
        "modified": max(state.st_mtime_ns for state in states),
    }


def refuse_other_content(out: Path) -> None:
    """Refuse a folder with content that this package did not write."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is not a folder.", "Choose a new folder.")
    names = {path.name for path in out.iterdir()} - {"lock"} if out.is_dir() else set()
    unfinished = f".{MARK}."  # a killed process can leave a temporary file of the mark
    if MARK not in names and not all(name.startswith(unfinished) for name in names):
        raise UsageError(f"--out {out} has other content.", "Choose a new or empty folder.")


def is_complete(out: Path, mark: dict[str, Any]) -> bool:
    """Whether ``out`` is complete with these options; raises if its options or sources differ."""
    if not (out / MARK).exists():
        return False
    written = read_mapping(out / MARK, ("options", "detector", "sources", "complete"), "Choose a new folder.")
    differing = [key for key in mark if written[key] != mark[key]]
    if differing:
        raise UsageError(
            f"--out {out} holds crops with other {' and '.join(differing)} (see {MARK}).",
            "Choose a new folder, or repeat the original options to resume.",
        )
    return written["complete"] is True and (out / RECORDS).is_file()


def parts_of(out: Path, index: int) -> list[dict[str, Any]]:
    """Complete groups of a source, in order."""
    paths = sorted((out / PARTS).glob(f"{index:05d}-*.json"))
    return [read_mapping(path, ("frames", "bad", "rows"), "Delete it and run again.") for path in paths]
