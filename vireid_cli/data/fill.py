"""Fill the rows of a size: a pool of threads decodes, one writer writes, bad images are collected.

The decoder, the resizer and the hash release the interpreter's lock. At most twice as many chunks as
there are threads wait to be written, so memory does not grow with the dataset.
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
from vireid_cli.data.pixels import KnownRows, Making, PixelFiles, digest, source_digest
from vireid_cli.data.resize import resize
from vireid_cli.processors import cores
from vireid_cli.types import RESIZE, Modality, Progress, RecordTable, Resize, Size

"""Called with (rows done, rows in all)."""

CHUNK = 16
"""Images that a thread takes at once."""


@dataclass(slots=True)
class Work:
    """Tally of one pass over the rows.

    Attributes:
        resumed: Rows finished before and found intact.
        copied: Rows whose source file was known.
        decoded: Rows decoded.
        bad: Row → why its image can't be read.
    """

    resumed: int = 0
    copied: int = 0
    decoded: int = 0
    bad: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Image:
    """One image to decode: its row, its file and its modality."""

    row: int
    path: Path
    modality: Modality


@dataclass(frozen=True, slots=True)
class _Row:
    """One finished row on its way to disk; ``pixels`` is None for a bad image, ``why`` says why."""

    row: int
    pixels: np.ndarray | None
    pixel_hash: bytes = b""
    source_hash: bytes = b""
    copied: bool = False
    why: str = ""


@contextmanager
def decoders(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads whose libraries use one thread each: the pool is the parallelism."""
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
    """Decode and resize image files with all processors: (N, height, width, 3) uint8 RGB, in memory.

    Raises:
        BadImage: One can't be read.
    """
    pixels, decoder = np.empty((len(paths), *size, 3), dtype=np.uint8), Decoder()

    def work(chunk: np.ndarray) -> None:
        for row in chunk.tolist():
            pixels[row] = resize(decoder.decode(load(paths[row])), size, rule)

    with decoders(workers or cores()) as pool:
        list(pool.map(work, np.array_split(np.arange(len(paths)), max(1, len(paths) // CHUNK))))
    return pixels


def fill(
    made: Making,
    records: RecordTable,
    root: Path,
    decoder: Decoder,
    workers: int,
    progress: Progress | None,
) -> Work:
    """Write every row that is not finished yet; bad images are collected, not raised.

    Args:
        made: The size in the making.
        records: One a row.
        root: Where their files are.
        decoder: How files become pixels.
        workers: Threads.
        progress: Called after each chunk.
    """
    work, count = Work(), made.count
    known = KnownRows.of(made.files)
    pending: deque[Future[list[_Row]]] = deque()
    with decoders(workers) as pool:
        done = _finished(made, pool)
        work.resumed = int(done.sum())
        todo = np.flatnonzero(~done)
        tell = progress or (lambda *_: None)
        tell(work.resumed, count)
        for chunk in np.split(todo, range(CHUNK, len(todo), CHUNK)):
            images = [_Image(row, root / records.paths[row], records.modality(row)) for row in chunk.tolist()]
            pending.append(pool.submit(_make_rows, images, made.files, known, decoder))
            if len(pending) > 2 * workers:
                _write(made, pending.popleft().result(), work)
                tell(work.resumed + work.decoded + work.copied + len(work.bad), count)
        while pending:
            _write(made, pending.popleft().result(), work)
        tell(count, count)
    return work


def _finished(made: Making, pool: ThreadPoolExecutor) -> np.ndarray:
    """(N,) bool: rows written before and found intact."""
    done = np.zeros(made.count, dtype=bool)
    written = made.written()
    for intact in pool.map(made.intact, np.array_split(written, max(1, len(written) // 256))):
        done[intact] = True
    return done


def _make_rows(images: list[_Image], files: PixelFiles, known: KnownRows, decoder: Decoder) -> list[_Row]:
    """Read, hash, and copy or decode some images; runs in a thread."""
    return [_make_row(image, files, known, decoder) for image in images]


def _make_row(image: _Image, files: PixelFiles, known: KnownRows, decoder: Decoder) -> _Row:
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
        return _Row(image.row, None, why=str(error))


def _write(made: Making, rows: list[_Row], work: Work) -> None:
    for row in rows:
        if row.pixels is None:
            work.bad[row.row] = row.why
            continue
        made.write(row.row, row.pixels, row.pixel_hash, row.source_hash)
        work.copied += row.copied
        work.decoded += not row.copied
