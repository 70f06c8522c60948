"""Value range of 16-bit images: one range per modality, measured over the whole dataset.

The values of a thermal camera cover a small part of 16 bits; divided by 256 they would become a few grey
levels. The rule ``auto``:

- If all samples are multiples of 256 or of 257, they are 8-bit values, and the range is the full one.
- Otherwise LOW and HIGH are the 0.1 % and 99.9 % percentiles (nearest rank) of all samples of the modality's
  16-bit images. The values 0 and 65535, which mark missing and saturated pixels, are excluded.
- If LOW to HIGH covers at least half of the 16 bits, the range is the full one.

``full`` divides by 256; ``LOW:HIGH`` is a fixed range for both modalities.
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
from vireid_cli.data.ids import parse_id, shorten
from vireid_cli.errors import UsageError, VireidError
from vireid_cli.types import Modality, Progress, RecordTable

AUTO, WHOLE = "auto", "full"
LOWEST, HIGHEST = 0.001, 0.999
"""Percentiles of the range in the rule ``auto``."""

_VALUES = FULL[1] + 1
_CHUNK = 64


def parse_depth(text: str) -> Range | None:
    """Parse a depth rule to its range; None for ``auto``.

    Args:
        text: ``auto``, ``full`` or ``LOW:HIGH`` with 0 ≤ LOW < HIGH ≤ 65535.

    Raises:
        UsageError: The text is not a depth rule.
    """
    if text == AUTO:
        return None
    if text == WHOLE:
        return FULL
    low, _, high = (parse_id(part) for part in text.partition(":"))
    if low is None or high is None or not low < high <= FULL[1]:
        raise UsageError(
            f"--depth {shorten(text)}: expected auto, full or LOW:HIGH with 0 ≤ LOW < HIGH ≤ {FULL[1]}.",
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
    """Build the decoder of a dataset: detects 16-bit images and, for ``auto``, measures their ranges.

    Args:
        records: The images.
        root: Root of their paths.
        depth: ``auto``, ``full`` or ``LOW:HIGH``.
        upright: Whether to apply the EXIF orientation.
        pool: Threads that read files.
        progress: Callback with (measured 16-bit images, all 16-bit images).

    Raises:
        UsageError: ``depth`` is not a depth rule.
    """
    fixed = parse_depth(depth)
    paths = [root / path for path in records.paths.tolist()]
    parts = [paths[first : first + _CHUNK] for first in range(0, len(paths), _CHUNK)]
    deep = np.fromiter((one for part in pool.map(_are_16_bit, parts) for one in part), bool, len(paths))
    ranges: dict[str, Range | None] = {}
    done, total = 0, int(deep.sum())
    for modality in Modality:
        rows = np.flatnonzero(deep & (records.modalities == modality.code))
        ranges[modality.value] = fixed if len(rows) else None
        if len(rows) and fixed is None:
            counts = np.zeros(_VALUES, np.int64)
            for one in _histograms([paths[row] for row in rows], pool):
                counts += one
                done += 1
                if progress:
                    progress(done, total)
            ranges[modality.value] = range_of_counts(counts)
    return Decoder(upright, depth, **ranges)


def decoder_of_files(paths: Sequence[Path]) -> Decoder:
    """Build the decoder of single image files: applies EXIF orientation, one range for all 16-bit images."""
    deep = [path for path in paths if is_16_bit(path)]
    ends = range_of_counts(sum(map(count_samples, deep), np.zeros(_VALUES, np.int64))) if deep else None
    return Decoder(True, AUTO, ends, ends)


def _histograms(paths: list[Path], pool: ThreadPoolExecutor) -> Iterator[np.ndarray]:
    """Yield the histogram of each file; at most ``_CHUNK`` are in memory."""
    rest = iter(paths)
    while chunk := list(islice(rest, _CHUNK)):
        yield from pool.map(count_samples, chunk)


def _are_16_bit(paths: list[Path]) -> list[bool]:
    return [is_16_bit(path) for path in paths]


def is_16_bit(path: Path) -> bool:
    """Whether a file is a 16-bit image; False for unreadable files, which decoding reports later."""
    try:
        with reading.open_regular(path) as file:
            head = file.read(png.HEAD)
            if head[:4] in tiff.MARKS:
                return inspect(head + file.read()).bits == 16
            return png.is_16_bit(head)
    except (VireidError, OSError, BadImage):
        return False


def count_samples(path: Path) -> np.ndarray:
    """Histogram of a 16-bit image, (65536,) int64; zeros for 8-bit and unreadable images."""
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
    """Compute the range by the rule ``auto``; see the module's docstring.

    Args:
        counts: (65536,) int64, histogram of all samples.
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
    """Yield a note about the 16-bit images of each modality that has them."""
    origin = "0.1 % and 99.9 % of all their samples" if decoder.depth == AUTO else f"--depth {decoder.depth}"
    for modality, ends in ((Modality.VISIBLE, decoder.visible), (Modality.INFRARED, decoder.infrared)):
        if ends == FULL:
            yield f"{modality} images of 16 bits: divided by 256"
        elif ends is not None:
            yield (
                f"{modality} images of 16 bits: values {ends[0]} to {ends[1]} ({origin}) become grey levels "
                "0 to 255; --depth full divides by 256, --depth LOW:HIGH sets the range"
            )
