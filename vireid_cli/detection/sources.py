"""Videos and folders of frames, with camera numbers from names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vireid_cli import reading
from vireid_cli.data.decode import Decoder, load
from vireid_cli.data.formats.header import BadImage
from vireid_cli.data.ids import is_text
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import IMAGE_ENDINGS

VIDEO_ENDINGS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")
"""Extensions of videos, in lower case."""

_CAMERA = re.compile(r"(?:^|[^a-z])(?:cam|camera|c)[ _-]?([0-9]{1,6})(?![0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FrameSource:
    """A video, or the images of one folder in natural order of their names.

    Attributes:
        path: The video or the folder.
        name: Path relative to the input, with forward slashes; the input's own name for the input itself.
        camid: Camera number.
        images: Image files of a folder; empty for a video.
        fps: Frames per second; None if unknown.
        frames: Number of frames; for videos the container's estimate, which may be 0.
    """

    path: Path
    name: str
    camid: int
    images: tuple[Path, ...]
    fps: float | None
    frames: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        number: Position in the source, from 0.
        name: Name of the source's file.
        pixels: (H, W, 3) uint8 RGB; None for an unreadable frame.
        problem: Reason why the frame is unreadable.
    """

    number: int
    name: str
    pixels: np.ndarray | None
    problem: str = ""


def camera_of(path: Path) -> int | None:
    """Camera number in the last part of a path that has one: ``cam3/a.mp4``, ``c3_08h.mp4`` → 3.

    >>> camera_of(Path("site/Camera-12/2026.mp4"))
    12
    """
    for part in reversed(path.parts):
        if match := _CAMERA.search(part):
            return int(match[1])
    return None


def list_sources(
    root: Path, camid: int | None, fps: float | None, out: Path | None = None
) -> list[FrameSource]:
    """List the sources of an input: a video, or all videos and folders of images below a folder.

    Args:
        root: A video or a folder.
        camid: Camera number of all sources; None: from the names.
        fps: Frames per second; None: those of each video, unknown for images.
        out: Folder of the crops; if it is below ``root``, its images are not frames.

    Raises:
        UsageError: The input is missing or empty, a name has no camera number, or two sources share a name.
        DataError: A video can't be opened.
    """
    if not root.exists():
        raise UsageError(f"{root} does not exist.", "Set the path of a video or of a folder of frames.")
    files = [root] if root.is_file() else _walk(root, out)
    videos = [path for path in files if path.suffix.lower() in VIDEO_ENDINGS or path == root]
    folders: dict[Path, list[Path]] = {}
    for path in files:
        if path.suffix.lower() in IMAGE_ENDINGS and path != root:
            folders.setdefault(path.parent, []).append(path)
    if not videos and not folders:
        raise UsageError(
            f"{root} has neither videos nor images.",
            f"Videos: {', '.join(VIDEO_ENDINGS)}; images: {', '.join(IMAGE_ENDINGS)}.",
        )
    sources = [_video(path, _name(path, root), _camid(path, root, camid), fps) for path in videos]
    for folder, images in sorted(folders.items()):
        ordered = tuple(sorted(images, key=lambda path: _natural(path.name)))
        number = _camid(folder, root, camid)
        sources.append(FrameSource(folder, _name(folder, root), number, ordered, fps, len(ordered)))
    _refuse_equal_names(sources)
    return sources


def read_frames(source: FrameSource, every: int, skipped: frozenset[int] = frozenset()) -> Iterator[Frame]:
    """Read every n-th frame of a source.

    Videos are read from the start without seeking, which is inexact for some codecs; frames that are not
    needed are not converted to pixels.

    Args:
        source: FrameSource to read.
        every: Step between frames.
        skipped: Numbers of frames to leave out.

    Raises:
        DataError: The video can't be opened.
    """
    if source.images:
        for number in range(0, len(source.images), every):
            if number not in skipped:
                yield _image(number, source.images[number])
        return
    capture = _open(source.path)
    try:
        number = 0
        while capture.grab():
            if number % every == 0 and number not in skipped:
                whole, pixels = capture.retrieve()
                decoded = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if whole else None
                yield Frame(number, source.path.name, decoded, "" if whole else "it can't be decoded")
            number += 1
    finally:
        capture.release()


def _image(number: int, path: Path) -> Frame:
    try:
        return Frame(number, path.name, Decoder(upright=True).decode(load(path)))
    except BadImage as error:
        return Frame(number, path.name, None, str(error))


def _walk(root: Path, out: Path | None) -> list[Path]:
    """All files below a folder, without ``out``, with an extension of videos or images, sorted."""
    known, crops = (*VIDEO_ENDINGS, *IMAGE_ENDINGS), out.resolve() if out else None
    listed: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if Path(folder, name).resolve() != crops]
        listed += [
            Path(folder, name) for name in names if name.lower().endswith(known) and not name.startswith(".")
        ]
    return [path for path in sorted(listed) if path.is_file()]


def _video(path: Path, name: str, camid: int, fps: float | None) -> FrameSource:
    capture = _open(path)
    try:
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        capture.release()
    known = rate if 0.0 < rate < 1e5 else None
    return FrameSource(path, name, camid, (), fps or known, max(0, count))


def _open(path: Path) -> cv2.VideoCapture:
    reading.open_regular(path).close()
    # FFmpeg only: other backends read names as image sequences or devices
    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise DataError(f"{path} can't be opened as a video.", "Convert it to MP4 with H.264, or to frames.")
    return capture


def _camid(path: Path, root: Path, given: int | None) -> int:
    if given is not None:
        return given
    inside = path.relative_to(root.parent) if path != root else Path(root.name)
    camid = camera_of(inside)
    if camid is None:
        camid = camera_of(Path(root.resolve().name))
    if camid is None:
        raise UsageError(f"The name {path} has no camera number.", "Set --camid, or rename it to cam1….")
    return camid


def _name(path: Path, root: Path) -> str:
    name = path.resolve().name if path == root else path.relative_to(root).as_posix()
    if not is_text(name):
        raise UsageError(f"The name of {path} is not UTF-8.", "Rename it.")
    return name


def _refuse_equal_names(sources: list[FrameSource]) -> None:
    """Refuse a folder of the input's own name in an input with images: the rows of both name the same frames.

    Raises:
        UsageError: Two sources share a name.
    """
    paths: dict[str, Path] = {}
    for source in sources:
        other = paths.setdefault(source.name, source.path)
        if other != source.path:
            raise UsageError(
                f"{other} and {source.path} have the same name in records.csv: {source.name}.",
                f"Rename {source.path}.",
            )


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key with numbers by value: frame_2 before frame_10."""
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(part), part) if part.isdigit() and part.isascii() else (0, 0, part) for part in parts]
