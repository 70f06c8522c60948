"""Crops of people from videos and frames: images by camera, and ``records.csv``, ready for ``vireid embed``.

The frames of a source are processed in groups. The crops of a group are written first, then the group's rows
as one file. An interrupted run therefore resumes after its last complete group, and the result has the same
bytes as an uninterrupted one.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vireid_cli import files
from vireid_cli.counts import counted
from vireid_cli.detection.crop_mark import (
    MARK,
    PARTS,
    RECORDS,
    CropOptions,
    is_complete,
    mark_of,
    parts_of,
    refuse_other_content,
)
from vireid_cli.detection.people import Detections, PeopleDetector
from vireid_cli.detection.sources import Frame, FrameSource, read_frames
from vireid_cli.errors import DataError
from vireid_cli.files import read_mapping, refuse_unwritable, write_bytes, write_json
from vireid_cli.lock import locked
from vireid_cli.types import Progress

GROUP = 64
"""Number of frames in a group, the unit of resuming."""

QUALITY = 95
"""JPEG quality of crops."""


@dataclass(frozen=True, slots=True)
class CropRow:
    """One crop: a line of ``records.csv``.

    Attributes:
        path: Path of the crop relative to the file, with forward slashes.
        camid: Camera number.
        time: ISO 8601 time of the frame; empty without a start time or frame rate.
        seconds: Seconds since the source's first frame; empty without a frame rate.
        box_left, box_top, box_right, box_bottom: Box in the frame, in pixels; right and bottom are exclusive.
        score: Confidence in [0, 1].
        source: Path of the video or of the image, relative to the input.
        frame: Number of the frame in its source, from 0.
    """

    path: str
    camid: int
    time: str
    seconds: str
    box_left: int
    box_top: int
    box_right: int
    box_bottom: int
    score: float
    source: str
    frame: int


@dataclass(frozen=True, slots=True)
class CroppedPeople:
    """Result of a run.

    Attributes:
        records: Path of ``records.csv``.
        crops: Number of crops.
        frames: Number of frames that were processed, in this run or before.
        resumed: Number of frames that an earlier run had processed.
        bad: Unreadable frames as (file, frame, reason).
    """

    records: Path
    crops: int
    frames: int
    resumed: int
    bad: list[tuple[str, int, str]]


def crop_people(
    sources: Sequence[FrameSource],
    out: Path,
    detector: PeopleDetector,
    options: CropOptions,
    identity: dict[str, Any],
    *,
    batch: int = 4,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> CroppedPeople:
    """Write a crop of each person in the sources, and ``records.csv``.

    Args:
        sources: Videos and folders of images.
        out: Folder to write; new, empty, or of an interrupted run with the same options.
        detector: Detects people; it applies ``options.score`` and ``options.overlap``.
        options: Options of the crops.
        identity: JSON values that identify the detector.
        batch: Number of frames that are detected together.
        skip_bad: Whether to skip unreadable frames instead of raising.
        progress: Callback with (done, total) frames; the total is an estimate for videos.

    Raises:
        UsageError: ``out`` holds something else, or crops of other options or sources.
        DataError: A frame or video can't be read, or writing failed.
    """
    refuse_unwritable(out)
    refuse_other_content(out)
    with locked(out):
        mark = mark_of(sources, options, identity)
        if is_complete(out, mark):
            return _summary(out)
        write_json(out / MARK, mark | {"complete": False})
        total = sum(-(-source.frames // options.every) for source in sources)
        done = resumed = 0
        for index, source in enumerate(sources):
            finished = parts_of(out, index)
            seen = frozenset(number for part in finished for number in part["frames"])
            resumed += len(seen)
            done += len(seen)
            frames = read_frames(source, options.every, seen)
            for number, group in enumerate(_groups(frames, GROUP), len(finished)):
                part = _crop_group(group, source, out / _folder(index, source), detector, options, batch)
                if part["bad"] and not skip_bad:
                    raise _unreadable(source, part["bad"])
                write_json(out / PARTS / f"{index:05d}-{number:07d}.json", part)
                done += len(group)
                if progress is not None:
                    progress(done, max(done, total))
        return _finish(out, mark, len(sources), options, resumed)


def _crop_group(
    frames: list[Frame],
    source: FrameSource,
    folder: Path,
    detector: PeopleDetector,
    options: CropOptions,
    batch: int,
) -> dict[str, Any]:
    """Write the crops of a group of frames; return its rows, frame numbers and unreadable frames."""
    whole = [frame for frame in frames if frame.pixels is not None]
    rows: list[dict[str, Any]] = []
    for start in range(0, len(whole), batch):
        some = whole[start : start + batch]
        detected = detector([frame.pixels for frame in some if frame.pixels is not None])
        for frame, people in zip(some, detected, strict=True):
            rows += [asdict(row) for row in _crop_frame(frame, people, source, folder, options)]
    return {
        "frames": [frame.number for frame in frames],
        "bad": [[frame.name, frame.number, frame.problem] for frame in frames if frame.pixels is None],
        "rows": rows,
    }


def _crop_frame(
    frame: Frame, people: Detections, source: FrameSource, folder: Path, options: CropOptions
) -> Iterator[CropRow]:
    """Write the crops of one frame, best first."""
    assert frame.pixels is not None
    height, width = frame.pixels.shape[:2]
    low = np.floor(people.boxes[:, :2]).clip(0, (width, height))
    high = np.ceil(people.boxes[:, 2:]).clip(0, (width, height))
    kept = Detections(np.concatenate([low, high], axis=1), people.scores).large(
        max(1, options.min_height), max(1, options.min_width)
    )
    seconds = None if source.fps is None else frame.number / source.fps
    time = ""
    if options.start is not None and seconds is not None:
        time = (options.start + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    name = source.name if not source.images else f"{source.name}/{frame.name}"
    for number, (box, score) in enumerate(zip(kept.boxes.astype(int).tolist(), kept.scores, strict=True)):
        path = folder / f"{frame.number:07d}-{number:02d}.jpg"
        left, top, right, bottom = box
        write_bytes(path, _jpeg(frame.pixels[top:bottom, left:right]))
        yield CropRow(
            path=path.relative_to(folder.parents[1]).as_posix(),
            camid=source.camid,
            time=time,
            seconds="" if seconds is None else f"{seconds:.3f}",
            box_left=left,
            box_top=top,
            box_right=right,
            box_bottom=bottom,
            score=round(float(score), 4),
            source=name,
            frame=frame.number,
        )


def _jpeg(pixels: np.ndarray) -> bytes:
    """Encode (h, w, 3) uint8 RGB without chroma subsampling."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, content = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), flags)
    return content.tobytes()


def _groups(frames: Iterator[Frame], size: int) -> Iterator[list[Frame]]:
    while group := list(islice(frames, size)):
        yield group


def _folder(index: int, source: FrameSource) -> Path:
    """Folder of a source's crops: camera, then the source's number and name."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", source.name).strip("._") or "source"
    return Path(f"cam{source.camid}", f"{index:03d}-{plain[-80:]}")


def _finish(
    out: Path, mark: dict[str, Any], sources: int, options: CropOptions, resumed: int
) -> CroppedPeople:
    """Join the groups to ``records.csv``, then delete them."""
    parts = [part for index in range(sources) for part in parts_of(out, index)]
    rows = [row for part in parts for row in part["rows"]]
    names = [field.name for field in fields(CropRow)]
    extra = {} if options.modality is None else {"modality": options.modality.value}
    text = io.StringIO()
    writer = csv.DictWriter(text, [*names, *extra], lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | extra for row in rows)
    files.write_text(out / RECORDS, text.getvalue())
    bad = [tuple(entry) for part in parts for entry in part["bad"]]
    frames = sum(len(part["frames"]) for part in parts)
    counts = {"crops": len(rows), "frames": frames, "bad": bad}
    write_json(out / MARK, mark | counts | {"complete": True})
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return CroppedPeople(out / RECORDS, len(rows), frames, resumed, bad)


def _summary(out: Path) -> CroppedPeople:
    """Result of a complete folder."""
    content = read_mapping(out / MARK, ("crops", "frames", "bad"), "Choose a new folder.")
    bad = [(str(name), int(number), str(reason)) for name, number, reason in content["bad"]]
    return CroppedPeople(out / RECORDS, content["crops"], content["frames"], content["frames"], bad)


def _unreadable(source: FrameSource, bad: list[list[Any]]) -> DataError:
    shown = "\n".join(f"  {name}, frame {number}: {reason}" for name, number, reason in bad[:20])
    more = f"\n  and {len(bad) - 20} more" if len(bad) > 20 else ""
    return DataError(
        f"{source.path}: {counted(len(bad), 'frame')} can't be read:\n{shown}{more}",
        "Replace these frames, or skip them with --skip-bad.",
    )
