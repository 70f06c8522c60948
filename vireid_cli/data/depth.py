"""The range of 16-bit images: one for all images of a modality, measured in a pass over the whole dataset.

A thermal camera's counts fill a small part of 16 bits; divided by 256 they would become a handful of grey
levels. The rule ``auto``:

- Samples that are 8-bit values in disguise (all multiples of 256, or of 257) keep the whole range.
- Else LOW and HIGH are the 0.1 % and 99.9 % percentiles (nearest rank) of all samples of the modality's
  16-bit images. The values 0 and 65535, which mark missing and saturated pixels, are left out of both.
- If LOW to HIGH covers half of the 16 bits or more, the images have the whole range (``full``).

``full`` divides by 256; ``LOW:HIGH`` sets the range by hand, for both modalities.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from vireid_cli import reading
from vireid_cli.data.decode import FULL, BadImage, Decoder, Range, load, samples
from vireid_cli.data.formats import inspect, png, tiff
from vireid_cli.data.ids import parse_id
from vireid_cli.errors import UsageError, VireidError
from vireid_cli.types import Modality, Progress, RecordTable

AUTO, WHOLE = "auto", "full"
LOWEST, HIGHEST = 0.001, 0.999
"""Percentiles that ``auto`` scales from and to."""

_VALUES = FULL[1] + 1
_CHUNK = 64


def parse_depth(text: str) -> Range | None:
    """The range that a rule names; None for ``auto``.

    Args:
        text: ``auto``, ``full`` or ``LOW:HIGH`` with 0 ≤ LOW < HIGH ≤ 65535.

    Raises:
        UsageError: It is none of these.
    """
    if text == AUTO:
        return None
    if text == WHOLE:
        return FULL
    low, _, high = (parse_id(part) for part in text.partition(":"))
    if low is None or high is None or not low < high <= FULL[1]:
        raise UsageError(
            f"--depth {text}: expected auto, full or LOW:HIGH with 0 ≤ LOW < HIGH ≤ {FULL[1]}.",
            "For example --depth 7000:9000: a sample of 7000 becomes black, one of 9000 white.",
        )
    return low, high


def choose_decoder(
    records: RecordTable,
    root: Path,
    depth: str,
    upright: bool,
    pool: ThreadPoolExecutor,
    progress: Progress | None = None,
) -> Decoder:
    """The decoder of a dataset: looks for 16-bit images and, for ``auto``, measures their ranges.

    Args:
        records: The images.
        root: Their root.
        depth: ``auto``, ``full`` or ``LOW:HIGH``.
        upright: Whether EXIF orientation is obeyed.
        pool: Reads files.
        progress: Called with (16-bit images measured, 16-bit images).

    Raises:
        UsageError: ``depth`` is of another form.
    """
    fixed = parse_depth(depth)
    paths = [root / path for path in records.paths.tolist()]
    parts = [paths[first : first + _CHUNK] for first in range(0, len(paths), _CHUNK)]
    deep = np.fromiter((one for part in pool.map(_deep, parts) for one in part), bool, len(paths))
    ranges: dict[str, Range | None] = {}
    done, total = 0, int(deep.sum())
    for modality in Modality:
        rows = np.flatnonzero(deep & (records.modalities == modality.code))
        ranges[modality.value] = fixed if len(rows) else None
        if len(rows) and fixed is None:
            counts = np.zeros(_VALUES, np.int64)
            for one in _counted([paths[row] for row in rows], pool):
                counts += one
                done += 1
                if progress:
                    progress(done, total)
            ranges[modality.value] = range_of_counts(counts)
    return Decoder(upright, depth, **ranges)


def decoder_of_files(paths: Sequence[Path]) -> Decoder:
    """The decoder of single image files: EXIF orientation obeyed, one range over all of 16 bits."""
    deep = [path for path in paths if is_deep(path)]
    ends = range_of_counts(sum(map(count_samples, deep), np.zeros(_VALUES, np.int64))) if deep else None
    return Decoder(True, AUTO, ends, ends)


def _counted(paths: list[Path], pool: ThreadPoolExecutor) -> Iterator[np.ndarray]:
    """The histogram of each file; few wait at a time, however many files there are."""
    rest = iter(paths)
    while some := list(islice(rest, _CHUNK)):
        yield from pool.map(count_samples, some)


def _deep(paths: list[Path]) -> list[bool]:
    return [is_deep(path) for path in paths]


def is_deep(path: Path) -> bool:
    """Whether a file is an image of 16 bits; False where it can't be read, which decoding will report."""
    try:
        with reading.open_regular(path) as file:
            head = file.read(png.HEAD)
            if head[:4] in tiff.MARKS:
                return inspect(head + file.read()).bits == 16
            return png.is_deep(head)
    except (VireidError, OSError, BadImage):
        return False


def count_samples(path: Path) -> np.ndarray:
    """(65536,) int64: how often each value occurs in a 16-bit image; zeros where it can't be read."""
    try:
        data = load(path)
        header = inspect(data)
        sampled = samples(data, header)
    except BadImage:
        return np.zeros(_VALUES, np.int64)
    return (
        np.bincount(sampled.ravel(), minlength=_VALUES) if header.bits == 16 else np.zeros(_VALUES, np.int64)
    )


def range_of_counts(counts: np.ndarray) -> Range:
    """The range by the rule ``auto`` (see the module).

    Args:
        counts: (65536,) int64, how often each value occurs.
    """
    values = np.flatnonzero(counts)
    if not (values % 256).any() or not (values % 257).any():
        return FULL
    inner = counts.copy()
    inner[[0, FULL[1]]] = 0
    ranks = np.cumsum(inner)
    low, high = (
        int(np.searchsorted(ranks, max(1, np.ceil(share * ranks[-1])))) for share in (LOWEST, HIGHEST)
    )
    if low == high:
        low, high = int(values[0]), int(values[-1])
    return FULL if high - low >= _VALUES // 2 or low == high else (low, high)


def depth_notes(decoder: Decoder) -> Iterator[str]:
    """A sentence on the 16-bit images of each modality that has some."""
    origin = "0.1 % and 99.9 % of all their samples" if decoder.depth == AUTO else f"--depth {decoder.depth}"
    for modality, ends in ((Modality.VISIBLE, decoder.visible), (Modality.INFRARED, decoder.infrared)):
        if ends == FULL:
            yield f"{modality} images of 16 bits: divided by 256"
        elif ends is not None:
            yield (
                f"{modality} images of 16 bits: values {ends[0]} to {ends[1]} ({origin}) become grey levels "
                "0 to 255; --depth full divides by 256, --depth LOW:HIGH sets the range"
            )
