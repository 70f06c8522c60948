"""Images of a report: which ones, each once, as small files that together stay within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from vireid_cli.data.resize import resize_all
from vireid_cli.data.store import Store
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.evaluations import rows_of
from vireid_cli.errors import DataError
from vireid_cli.processors import cores
from vireid_cli.types import Size

BUDGET = 6_500_000
"""Bytes of all images of a page; 4/3 of it in base64: with everything else well under 15 MB."""

PIXELS = 60_000_000
"""Pixels of all images of a page: about three seconds of one core's encoding."""

EFFORT = 2
"""How hard WebP's encoder tries, 0 to 6. Half the time of its usual 4 (which OpenCV can't change), for files
7 % larger and 0.2 dB further from the image."""

LADDER = ((256, 80), (224, 76), (192, 72), (160, 68), (144, 62), (128, 55), (112, 50), (96, 42), (80, 35))
"""(height in pixels, WebP quality): the first with which the images fit both budgets is taken."""

MOST_IMAGES = 9_000
"""Images of a page: more would be too small to be recognised."""

_SAMPLE = 64
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Album:
    """The paths of a page's images, ascending, each once.

    Attributes:
        paths: (N,) unicode.
    """

    paths: np.ndarray

    @staticmethod
    def of(parts: Sequence[np.ndarray]) -> Album:
        """All paths of several columns."""
        return Album(np.unique(np.concatenate(parts)))

    def places(self, paths: np.ndarray) -> np.ndarray:
        """Which of the images each path is, (n,)."""
        return np.searchsorted(self.paths, paths)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Encoded images, WebP.

    Attributes:
        files: One an image.
        size: (height, width) of all of them.
        quality: WebP's.
    """

    files: tuple[bytes, ...]
    size: Size
    quality: int


def encoded(album: Album, session: Session, store: Store, size: Size, budget: int = BUDGET) -> Pictures:
    """The album's images as WebP files, as large as the budget allows.

    Args:
        album: Whose images.
        session: Its listener is told of the progress.
        store: Where they are taken from.
        size: (height, width) that is prepared.
        budget: Bytes of all files.

    Raises:
        DataError: An image is not in the store any more, or the smallest images do not fit.
    """
    rows = rows_of(store, album.paths.tolist())
    sample = store.batch(size, rows[np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(int)])
    for height, quality in LADDER:
        step = fitted(size, min(height, size[0]))
        if step[0] * step[1] * len(rows) > PIXELS and height > LADDER[-1][0]:
            continue
        mean = sum(len(file) for file in _files(sample, step, quality)) / len(sample)
        if 1.05 * mean * len(rows) > budget:
            continue
        files: list[bytes] = []
        for first in range(0, len(rows), _BLOCK):
            files += _files(store.batch(size, rows[first : first + _BLOCK]), step, quality)
            session.reporter.advance("images", len(files), len(rows))
        if sum(map(len, files)) <= budget:
            return Pictures(tuple(files), step, quality)
    raise DataError(f"{len(rows)} images do not fit into {budget:,} bytes.", "Name fewer runs.")


def fitted(size: Size, height: int) -> Size:
    """The size of that height with the same proportions."""
    return height, max(1, round(size[1] * height / size[0]))


def _files(pixels: np.ndarray, size: Size, quality: int) -> list[bytes]:
    """WebP files of (n, H, W, 3) uint8 RGB at another size."""
    with ThreadPoolExecutor(min(4, cores())) as pool:
        return list(pool.map(lambda image: _webp(image, quality), resize_all(pixels, size)))


def _webp(image: np.ndarray, quality: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=quality, method=EFFORT)
    return buffer.getvalue()
