"""Decoding of the images of a part on several threads, while the part before it is embedded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vireid_cli.data.decode import BadImage, load
from vireid_cli.data.fill import CHUNK
from vireid_cli.data.formats import inspect
from vireid_cli.data.grey import channel_spread, modality_codes
from vireid_cli.data.image_list import UNDECIDED
from vireid_cli.data.resize import resize
from vireid_cli.engine.embed_images.plan import EmbedPlan
from vireid_cli.engine.model import Model
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


@dataclass(frozen=True, slots=True)
class ReadImage:
    """One decoded image, or the reason why it can't be read."""

    pixels: np.ndarray | None
    code: int = UNDECIDED
    spread: float = 0.0
    reason: str = ""


def decode_parts(plan: EmbedPlan, parts: Iterable[int], workers: int) -> Iterator[DecodedPart]:
    """Decode parts in order; at most two are in memory.

    Args:
        plan: Plan of the parts.
        parts: Indices of the parts.
        workers: Number of threads.
    """
    with _threads(workers) as pool:
        pending: deque[tuple[int, list[Future[list[ReadImage]]]]] = deque()
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


def _submit(pool: ThreadPoolExecutor, plan: EmbedPlan, part: int) -> list[Future[list[ReadImage]]]:
    rows = plan.rows_of(part)
    chunks = (range(first, min(first + CHUNK, rows.stop)) for first in range(rows.start, rows.stop, CHUNK))
    return [pool.submit(_read_chunk, plan, chunk) for chunk in chunks]


def _collect(plan: EmbedPlan, part: int, futures: list[Future[list[ReadImage]]]) -> DecodedPart:
    images = [image for future in futures for image in future.result()]
    good = [image.pixels for image in images if image.pixels is not None]
    pixels = np.stack(good) if good else np.empty((0, *plan.model.size, 3), np.uint8)
    kept = [image for image in images if image.pixels is not None]
    return DecodedPart(
        part,
        pixels,
        np.array([image.code for image in kept], dtype=np.uint8),
        np.array([image.spread for image in kept], dtype=np.float32),
        {i: image.reason for i, image in enumerate(images) if image.pixels is None},
    )


def _read_chunk(plan: EmbedPlan, rows: range) -> list[ReadImage]:
    """Read images; runs in a thread."""
    codes = plan.images.rows.modalities[rows.start : rows.stop].tolist()
    return [
        read_image(plan.model, plan.images.file(row), code, plan.tolerance)
        for row, code in zip(rows, codes, strict=True)
    ]


def read_image(model: Model, path: Path, code: int, tolerance: float) -> ReadImage:
    """Load and resize one image as ``vireid prepare`` does, and decide its modality if it is undecided.

    Args:
        model: Its size, resize rule and decoder.
        path: The image file.
        code: ``Modality.code``, or ``UNDECIDED``.
        tolerance: Largest channel spread of an infrared image.
    """
    given = None if code == UNDECIDED else Modality.of(code)
    decoder = model.decoder
    try:
        data = load(path)
        header = inspect(data)
        pixels = resize(decoder.decode(data, given, header), model.size, model.resize)
        spread = channel_spread(pixels[None])
        if given is None:
            code = int(modality_codes(spread, tolerance)[0])
            ends = decoder.range_of(Modality.of(code))
            if header.bits == 16 and ends != decoder.range_of(None):  # decoded by the other range
                pixels = resize(decoder.decode(data, Modality.of(code), header), model.size, model.resize)
    except BadImage as error:
        return ReadImage(None, reason=str(error))
    return ReadImage(pixels, code, float(spread[0]))
