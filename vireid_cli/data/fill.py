"""Decoding of all images of a size: a pool of threads decodes, one writer writes.

Decoding, resizing and hashing release the interpreter lock. The number of decoded chunks in memory is at most
twice the number of threads, so memory does not grow with the dataset.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from vireid_cli.data.decode import BadImage, Decoder, load
from vireid_cli.data.formats import inspect
from vireid_cli.data.pixel_writer import PixelWriter
from vireid_cli.data.pixels import KnownRows, PixelFiles, digest, source_digest
from vireid_cli.data.resize import resize
from vireid_cli.processors import cores
from vireid_cli.types import RESIZE, Modality, Progress, RecordTable, Resize, Size

CHUNK = 16
"""Number of images per task of a thread."""


@dataclass(slots=True)
class Work:
    """Counts of one pass over the rows.

    Attributes:
        resumed: Number of intact rows of an interrupted preparation.
        copied: Number of rows copied from an earlier preparation.
        decoded: Number of decoded rows.
        bad: Reason by row of unreadable images.
    """

    resumed: int = 0
    copied: int = 0
    decoded: int = 0
    bad: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Image:
    """An image to decode."""

    row: int
    path: Path
    modality: Modality


@dataclass(frozen=True, slots=True)
class _Row:
    """A row to write; an unreadable image has no pixels and a reason."""

    row: int
    pixels: np.ndarray | None
    pixel_hash: bytes = b""
    source_hash: bytes = b""
    copied: bool = False
    reason: str = ""


@contextmanager
def decoders(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of decoding threads; limits OpenCV and torch to one thread each during the block."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(
        workers, thread_name_prefix="decode", initializer=torch.set_num_threads, initargs=(1,)
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def decode_files(
    paths: list[Path], size: Size, rule: Resize = RESIZE, workers: int | None = None
) -> np.ndarray:
    """Decode and resize image files on several threads: (N, height, width, 3) uint8 RGB.

    Raises:
        BadImage: An image can't be read.
    """
    pixels, decoder = np.empty((len(paths), *size, 3), dtype=np.uint8), Decoder()

    def work(chunk: np.ndarray) -> None:
        """Decode and resize the images of some rows."""
        for row in chunk.tolist():
            pixels[row] = resize(decoder.decode(load(paths[row])), size, rule)

    with decoders(workers or cores()) as pool:
        list(pool.map(work, np.array_split(np.arange(len(paths)), max(1, len(paths) // CHUNK))))
    return pixels


def fill(
    writer: PixelWriter,
    records: RecordTable,
    root: Path,
    decoder: Decoder,
    workers: int,
    progress: Progress | None,
) -> Work:
    """Write all unfinished rows; unreadable images are collected, not raised.

    Args:
        writer: Writer of the pixel files.
        records: Records of the rows.
        root: Root of the image files.
        decoder: Decoder of the image files.
        workers: Number of threads.
        progress: Callback with (finished rows, all rows), called after each chunk.
    """
    work, count = Work(), writer.count
    known = KnownRows.of(writer.files)
    pending: deque[Future[list[_Row]]] = deque()
    with decoders(workers) as pool:
        done = _finished(writer, pool)
        work.resumed = int(done.sum())
        todo = np.flatnonzero(~done)
        report = progress or (lambda *_: None)
        report(work.resumed, count)
        for chunk in np.split(todo, range(CHUNK, len(todo), CHUNK)):
            images = [_Image(row, root / records.paths[row], records.modality(row)) for row in chunk.tolist()]
            pending.append(pool.submit(_read_rows, images, writer.files, known, decoder))
            if len(pending) > 2 * workers:
                _write(writer, pending.popleft().result(), work)
                report(work.resumed + work.decoded + work.copied + len(work.bad), count)
        while pending:
            _write(writer, pending.popleft().result(), work)
        writer.reused = work.resumed + work.copied > 0
        report(count, count)
    return work


def _finished(writer: PixelWriter, pool: ThreadPoolExecutor) -> np.ndarray:
    """(N,) bool: written rows with pixels that match their hash."""
    done = np.zeros(writer.count, dtype=bool)
    written = writer.written()
    for intact in pool.map(writer.intact, np.array_split(written, max(1, len(written) // 256))):
        done[intact] = True
    return done


def _read_rows(images: list[_Image], files: PixelFiles, known: KnownRows, decoder: Decoder) -> list[_Row]:
    """Read and hash images, then copy known pixels or decode; runs in a thread."""
    return [_read_row(image, files, known, decoder) for image in images]


def _read_row(image: _Image, files: PixelFiles, known: KnownRows, decoder: Decoder) -> _Row:
    try:
        data = load(image.path)
        header = inspect(data)
        source_hash = source_digest(data, files.resize, decoder.mark(header, image.modality))
        pixels = known.find(source_hash)
        copied = pixels is not None
        if pixels is None:
            pixels = resize(decoder.decode(data, image.modality, header), files.size, files.resize)
        return _Row(image.row, pixels, digest(pixels), source_hash, copied)
    except BadImage as error:
        return _Row(image.row, None, reason=str(error))


def _write(writer: PixelWriter, rows: list[_Row], work: Work) -> None:
    for row in rows:
        if row.pixels is None:
            work.bad[row.row] = row.reason
            continue
        writer.write(row.row, row.pixels, row.pixel_hash, row.source_hash)
        work.copied += row.copied
        work.decoded += not row.copied
