"""Facts of an encoded image that are known before its pixels are decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAX_PIXELS = 1 << 27
"""Largest image that is decoded: 134 million pixels, 384 MiB of RGB. A header may claim any size."""


class BadImage(ValueError):
    """An image file that can't be decoded; the text is the reason."""


TRUNCATED = "truncated"
"""Reason of a file that ends before its image does."""


@dataclass(frozen=True, slots=True)
class Header:
    """Facts of an encoded image.

    Attributes:
        width: In pixels, as stored.
        height: In pixels, as stored.
        bits: Per sample: up to 8, or 16.
        alpha: Whether the pixels have an opacity.
        orientation: Of EXIF, 1 (upright) to 8.
        orientation_at: Offset of that number in a TIFF file, whose decoder would obey it; 0: none.
        little_endian: Byte order of that number.
        inverted: 16-bit samples of which 0 is white.
    """

    width: int
    height: int
    bits: int = 8
    alpha: bool = False
    orientation: int = 1
    orientation_at: int = 0
    little_endian: bool = True
    inverted: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise BadImage(f"an image of {self.width}×{self.height} pixels")
        if self.width * self.height > MAX_PIXELS:
            raise BadImage(
                f"{self.width:,}×{self.height:,} pixels; the limit is {MAX_PIXELS / 1e6:.0f} million pixels"
            )


def unpack(form: str, data: bytes, offset: int) -> tuple[int, ...]:
    """Integers at an offset, as ``struct.unpack_from``.

    Raises:
        BadImage: The data end before them.
    """
    if offset < 0 or offset + struct.calcsize(form) > len(data):
        raise BadImage(TRUNCATED)
    return struct.unpack_from(form, data, offset)


def refuse_frames(count: int) -> None:
    """Refuse an image of several frames.

    Raises:
        BadImage: There is more than one.
    """
    if count > 1:
        raise BadImage(f"animated ({count} frames); save one frame as an image")
