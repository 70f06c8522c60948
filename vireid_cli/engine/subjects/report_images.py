"""Images of a report, each once, encoded as small files within a common budget."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from vireid_cli.counts import counted
from vireid_cli.data.resize import resize_all
from vireid_cli.data.store import Store
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.evaluations import rows_of
from vireid_cli.errors import DataError
from vireid_cli.processors import cores
from vireid_cli.types import Size

BUDGET = 6_500_000
"""Largest size in bytes of all images of a page. Base64 adds a third; the whole page stays below 15 MB."""

PIXELS = 60_000_000
"""Largest number of pixels of all images of a page: one core encodes them in about three seconds."""

EFFORT = 2
"""Effort of WebP's encoder, 0 to 6. Takes half the time of the default 4 (which OpenCV can't change); files
are 7 % larger, and the error is 0.2 dB higher."""

LADDER = ((256, 80), (224, 76), (192, 72), (160, 68), (144, 62), (128, 55), (112, 50), (96, 42), (80, 35))
"""(height in pixels, WebP quality); the first pair that fits both budgets is used."""

MOST_IMAGES = 9_000
"""Largest number of images of a page; more would be too small to recognise."""

_SAMPLE = 64
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Album:
    """Paths of a page's images.

    Attributes:
        paths: (N,) unicode, unique and ascending.
    """

    paths: np.ndarray

    @staticmethod
    def of(parts: Sequence[np.ndarray]) -> Album:
        """Collect the paths of several arrays."""
        return Album(np.unique(np.concatenate(parts)))

    def indices(self, paths: np.ndarray) -> np.ndarray:
        """Return the index of each path in ``self.paths``, (n,)."""
        return np.searchsorted(self.paths, paths)


@dataclass(frozen=True, slots=True)
class EncodedImages:
    """Images encoded as WebP.

    Attributes:
        files: Content of each file.
        size: (height, width) of all images in pixels.
        quality: WebP quality, 0 to 100.
    """

    files: tuple[bytes, ...]
    size: Size
    quality: int


def encode(album: Album, session: Session, store: Store, size: Size, budget: int = BUDGET) -> EncodedImages:
    """Encode the album's images as WebP, as large as the budget allows.

    Args:
        album: Paths of the images.
        session: Its reporter receives the progress.
        store: Store of the images.
        size: (height, width) of the prepared pixels.
        budget: Largest size of all files in bytes.

    Raises:
        DataError: The store no longer contains an image, or the smallest images exceed the budget.
    """
    rows = rows_of(store, album.paths.tolist())
    sample = store.batch(size, rows[np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(int)])
    for height, quality in LADDER:
        step = scaled(size, min(height, size[0]))
        if step[0] * step[1] * len(rows) > PIXELS and height > LADDER[-1][0]:
            continue
        mean = sum(len(file) for file in webp_files(sample, step, quality)) / len(sample)
        if 1.05 * mean * len(rows) > budget:
            continue
        files: list[bytes] = []
        for first in range(0, len(rows), _BLOCK):
            files += webp_files(store.batch(size, rows[first : first + _BLOCK]), step, quality)
            session.reporter.advance("images", len(files), len(rows))
        if sum(map(len, files)) <= budget:
            return EncodedImages(tuple(files), step, quality)
    raise DataError(f"{counted(len(rows), 'image')} do not fit into {budget:,} bytes.", "Name fewer runs.")


def scaled(size: Size, height: int) -> Size:
    """Return the size with this height and the same aspect ratio."""
    return height, max(1, round(size[1] * height / size[0]))


def webp_files(pixels: np.ndarray, size: Size, quality: int) -> list[bytes]:
    """Resize (n, H, W, 3) uint8 RGB and encode each image as WebP."""
    with ThreadPoolExecutor(min(4, cores())) as pool:
        return list(pool.map(lambda image: _webp(image, quality), resize_all(pixels, size)))


def _webp(image: np.ndarray, quality: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=quality, method=EFFORT)
    return buffer.getvalue()
