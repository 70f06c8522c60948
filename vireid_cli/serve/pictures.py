"""Images of records as JPEG: only files of records, below the folder of their index, are read."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from vireid_cli.data.decode import Decoder, load
from vireid_cli.data.formats import inspect
from vireid_cli.data.formats.header import BadImage
from vireid_cli.search.records import IndexRecord
from vireid_cli.serve.limits import RequestRefused
from vireid_cli.types import Modality

QUALITY = 88
"""JPEG quality of thumbnails."""


def picture(record: IndexRecord, height: int, largest: int, root: Path | None = None) -> bytes:
    """Read the image of a record and encode it as JPEG.

    Args:
        record: Record of the index.
        height: Largest height in pixels; smaller images keep their size.
        largest: Largest number of pixels of the file.
        root: Folder of the images that replaces the one of the record.

    Raises:
        RequestRefused: The record has no image that can be read below its folder (404).
    """
    try:
        data = load(_inside(record, root))
        header = inspect(data)
        if header.width * header.height > largest:
            raise BadImage("too many pixels")
        pixels = Decoder().decode(data, Modality(record.modality), header)
    except BadImage as error:
        # without the reason: it would tell whether files outside of the index exist
        raise RequestRefused(404, "The image of this record can't be read.") from error
    return _jpeg(pixels, height)


def _inside(record: IndexRecord, root: Path | None) -> Path:
    """Path of a record's image; links are resolved first."""
    folder = root if root is not None else Path(record.root) if record.root else None
    if folder is None or "\0" in record.path:
        raise BadImage("no folder")
    place = Path(os.path.realpath(folder))
    path = Path(os.path.realpath(place / record.path))
    if not path.is_relative_to(place):
        raise BadImage("outside of the folder")
    return path


def _jpeg(pixels: np.ndarray, height: int) -> bytes:
    """Encode (h, w, 3) uint8 RGB, scaled down to ``height``."""
    rows, columns = pixels.shape[:2]
    if rows > height:
        size = (max(1, round(columns * height / rows)), height)
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    return content.tobytes()
