"""Decoding of image files to 8-bit RGB; all images of datasets are decoded by this module.

A ``Decoder`` has two options: whether to apply the EXIF orientation, and the range of 16-bit samples. The
store of a dataset records its decoder. All code that shows or embeds images of the dataset uses this decoder,
and so works on the same pixels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vireid_cli import reading
from vireid_cli.data.formats import inspect
from vireid_cli.data.formats.header import BadImage, Header
from vireid_cli.errors import VireidError
from vireid_cli.types import Modality

__all__ = ["FULL", "BadImage", "Decoder", "Range", "decode", "load"]

Range = tuple[int, int]
"""16-bit values that map to 0 and 255; values between are scaled linearly, others clipped."""

FULL: Range = (0, 65_535)
"""The full range: samples are divided by 256, rounded down."""

UNRECORDED = ""
"""``Decoder.depth`` of stores of earlier versions, which did not record it."""

FILE_LIMIT = reading.GIB
"""Largest image file in bytes."""

_COLOUR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_AS_STORED = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decoder of the image files of a dataset.

    Attributes:
        upright: Whether to apply the EXIF orientation; published code does not.
        depth: Requested rule for 16-bit images: ``auto``, ``full`` or ``LOW:HIGH``.
        visible: Range of 16-bit visible images, or None if the dataset has none.
        infrared: Range of 16-bit infrared images, or None if the dataset has none.
    """

    upright: bool = False
    depth: str = "auto"
    visible: Range | None = None
    infrared: Range | None = None

    def range_of(self, modality: Modality | None) -> Range:
        """Return the range of 16-bit images of a modality, or of either one for None; default ``FULL``."""
        ranges = {Modality.VISIBLE: self.visible, Modality.INFRARED: self.infrared}
        if modality is not None:
            return ranges[modality] or FULL
        return self.infrared or self.visible or FULL

    def decode(
        self, data: bytes, modality: Modality | None = None, header: Header | None = None
    ) -> np.ndarray:
        """Decode an image to (h, w, 3) uint8 RGB.

        Args:
            data: Content of the file.
            modality: Modality of the image, or None if unknown.
            header: Header of the file; None reads it.

        Raises:
            BadImage: The image is truncated, damaged, or of an unsupported format; the message is the reason.
        """
        header = header or inspect(data)
        pixels = samples(data, header)
        if pixels.dtype == np.uint16:
            pixels = _table(*self.range_of(modality))[pixels]
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        return _upright(pixels, header.orientation) if self.upright else pixels

    def mark(self, header: Header, modality: Modality | None) -> str:
        """Text of the options that affect a file; empty for an upright 8-bit image."""
        orientation = f" orientation {header.orientation}" if self.upright and header.orientation != 1 else ""
        low, high = self.range_of(modality)
        return orientation + (f" range {low}:{high}" if header.bits == 16 else "")

    @property
    def differences(self) -> list[str]:
        """Texts for fingerprints about options that differ from published code; usually empty."""
        oriented = ["EXIF orientation obeyed"] if self.upright else []
        scaled = [
            f"16-bit {modality} {'/256' if ends == FULL else f'{ends[0]}:{ends[1]}'}"
            for modality, ends in (("visible", self.visible), ("infrared", self.infrared))
            if ends is not None
        ]
        return oriented + scaled

    def as_json(self) -> dict[str, Any]:
        """Convert to JSON values, for ``of_json``."""
        ranges = {"visible": self.visible, "infrared": self.infrared}
        listed = {name: None if ends is None else list(ends) for name, ends in ranges.items()}
        return {"upright": self.upright, "depth": self.depth, **listed}

    @staticmethod
    def of_json(content: Any) -> Decoder:
        """Convert from JSON values; None, from a store of an earlier version, has the depth ``UNRECORDED``.

        Raises:
            TypeError, ValueError, KeyError: ``content`` is invalid.
        """
        if content is None:
            return Decoder(depth=UNRECORDED)
        ranges = {
            name: None if content[name] is None else _ends(*content[name]) for name in ("visible", "infrared")
        }
        return Decoder(bool(content["upright"]), str(content["depth"]), **ranges)


def _ends(low: int, high: int) -> Range:
    if not 0 <= low < high <= FULL[1]:
        raise ValueError(f"range {low}:{high}")
    return int(low), int(high)


def load(path: Path) -> bytes:
    """Read an image file.

    Raises:
        BadImage: The file is missing, not a regular file, too large, or unreadable.
    """
    try:
        return reading.read_bytes(path, limit=FILE_LIMIT)
    except VireidError as error:
        raise BadImage(error.message.removeprefix(f"{path} ").rstrip(".")) from error


def decode(data: bytes, modality: Modality | None = None) -> np.ndarray:
    """Decode an image to (h, w, 3) uint8 RGB with the default decoder; see ``Decoder.decode``."""
    return Decoder().decode(data, modality)


def samples(data: bytes, header: Header) -> np.ndarray:
    """Decode the stored samples of an image, without orientation and scaling.

    Args:
        data: Content of the file.
        header: Header of the file.

    Returns:
        (h, w, 3) uint8 RGB for 8-bit images; (h, w, 3) RGB or (h, w) grey uint16 for 16-bit images.

    Raises:
        BadImage: The image can't be decoded, or has transparent pixels.
        MemoryError: The process has too little memory.
    """
    if header.orientation_at and header.orientation != 1:  # OpenCV's TIFF reader always applies it
        changed = bytearray(data)
        struct.pack_into("<H" if header.little_endian else ">H", changed, header.orientation_at, 1)
        data = bytes(changed)
    flags = _AS_STORED if header.alpha or header.bits == 16 else _COLOUR
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        _refuse_little_memory(header)
        raise BadImage("not an image that can be decoded") from error
    if pixels is None or pixels.shape[:2] != (header.height, header.width):
        _refuse_little_memory(header)
        raise BadImage("not an image that can be decoded")
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        if (pixels[:, :, 3] != np.iinfo(pixels.dtype).max).any():
            raise BadImage("transparent pixels; save it without transparency (an alpha channel)")
        pixels = pixels[:, :, :3]
    if header.inverted:
        pixels = np.iinfo(pixels.dtype).max - pixels
    if pixels.ndim == 2:
        return np.asarray(pixels if header.bits == 16 else cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB))
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def _refuse_little_memory(header: Header) -> None:
    """Raise ``MemoryError`` if memory is insufficient for the image; OpenCV fails without a reason then."""
    np.empty((header.height, header.width, 12), np.uint8)


@lru_cache(maxsize=8)
def _table(low: int, high: int) -> np.ndarray:
    """Table of the 8-bit level of each 16-bit sample, (65536,) uint8."""
    values = np.arange(FULL[1] + 1)
    if (low, high) == FULL:
        levels = values >> 8
    else:
        levels = np.clip(np.rint((values - low) * (255.0 / (high - low))), 0, 255)
    table = levels.astype(np.uint8)
    table.setflags(write=False)
    return table


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate and mirror (h, w, 3) pixels according to an EXIF orientation, 1 to 8."""
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(pixels)
