"""Decoding of the images of a part on several threads, while the part before it is embedded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np

from vireid_cli.data.decode import BadImage, load
from vireid_cli.data.fill import CHUNK
from vireid_cli.data.image_list import UNDECIDED
from vireid_cli.engine.embed_images.plan import EmbedPlan
from vireid_cli.engine.model import ReadImage
from vireid_cli.types import Modality


@dataclass(frozen=True, slots=True)
class DecodedPart:
    """Pixels of the readable images of a part.

    Attributes:
        part: Index of the part.
        pixels: (n, H, W, 3) uint8.
        codes: (n,) uint8, modality of each image.
        spread: (n,) float32, channel spread of each image; see ``data.grey``.
        bad: Reason by place in the part, of images that can't be read.
    """

    part: int
    pixels: np.ndarray
    codes: np.ndarray
    spread: np.ndarray
    bad: dict[int, str]


_Read = ReadImage | str
"""An image, or the reason why it can't be read."""


def decode_parts(plan: EmbedPlan, parts: Iterable[int], workers: int) -> Iterator[DecodedPart]:
    """Decode parts in order; at most two are in memory.

    Args:
        plan: Plan of the parts.
        parts: Indices of the parts.
        workers: Number of threads.
    """
    with _threads(workers) as pool:
        pending: deque[tuple[int, list[Future[list[_Read]]]]] = deque()
        for part in parts:
            pending.append((part, _submit(pool, plan, part)))
            if len(pending) > 1:
                yield _collect(plan, *pending.popleft())
        while pending:
            yield _collect(plan, *pending.popleft())


@contextmanager
def _threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of threads; OpenCV uses one thread each. torch keeps its threads for the network."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(before)


def _submit(pool: ThreadPoolExecutor, plan: EmbedPlan, part: int) -> list[Future[list[_Read]]]:
    rows = plan.rows_of(part)
    chunks = (range(first, min(first + CHUNK, rows.stop)) for first in range(rows.start, rows.stop, CHUNK))
    return [pool.submit(_read_chunk, plan, chunk) for chunk in chunks]


def _collect(plan: EmbedPlan, part: int, futures: list[Future[list[_Read]]]) -> DecodedPart:
    images = [image for future in futures for image in future.result()]
    readable = [image for image in images if not isinstance(image, str)]
    pixels = [image.pixels for image in readable]
    return DecodedPart(
        part,
        np.stack(pixels) if pixels else np.empty((0, *plan.model.size, 3), np.uint8),
        np.array([image.modality.code for image in readable], dtype=np.uint8),
        np.array([image.spread for image in readable], dtype=np.float32),
        {place: image for place, image in enumerate(images) if isinstance(image, str)},
    )


def _read_chunk(plan: EmbedPlan, rows: range) -> list[_Read]:
    """Read images; runs in a thread."""
    codes = plan.images.rows.modalities[rows.start : rows.stop].tolist()
    return [_read(plan, row, code) for row, code in zip(rows, codes, strict=True)]


def _read(plan: EmbedPlan, row: int, code: int) -> _Read:
    """Read one image, and decide its modality if it is undecided."""
    given = None if code == UNDECIDED else Modality.of(code)
    try:
        return plan.model.read(load(plan.images.file(row)), given, plan.tolerance)
    except BadImage as error:
        return str(error)
