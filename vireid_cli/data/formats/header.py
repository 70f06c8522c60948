"""Header of an encoded image, and the errors of reading it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vireid_cli.counts import counted, size_name

MAX_PIXELS = 1 << 27
"""Largest accepted image: 134 million pixels, 384 MiB of RGB. Headers can claim any size."""


class BadImage(ValueError):
    """An image file can't be decoded; the message is the reason, without the path."""


TRUNCATED = "truncated"
"""Reason for a file that ends before its image."""


@dataclass(frozen=True, slots=True)
class Header:
    """Header of an encoded image.

    Attributes:
        width: Stored width in pixels, before applying the orientation.
        height: Stored height in pixels.
        bits: Bits per sample: 16, or 8 for all smaller depths.
        alpha: Whether the image has an alpha channel or transparent palette entries.
        orientation: EXIF orientation, 1 (upright) to 8.
        orientation_at: Offset of the orientation value in a TIFF file, 0 for other formats. OpenCV applies
            the orientation of TIFF files, so the decoder overwrites it.
        little_endian: Byte order of the orientation value.
        inverted: Whether 0 is white in 16-bit samples.
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
            raise BadImage(f"an image of {size_name((self.height, self.width))} pixels")
        if self.width * self.height > MAX_PIXELS:
            raise BadImage(
                f"{size_name((self.height, self.width))} pixels; "
                f"the limit is {MAX_PIXELS / 1e6:.0f} million pixels"
            )


def unpack(form: str, data: bytes, offset: int) -> tuple[int, ...]:
    """Unpack integers at an offset, as ``struct.unpack_from``.

    Raises:
        BadImage: The data end before the integers.
    """
    if offset < 0 or offset + struct.calcsize(form) > len(data):
        raise BadImage(TRUNCATED)
    return struct.unpack_from(form, data, offset)


def refuse_frames(count: int) -> None:
    """Refuse an animated image.

    Raises:
        BadImage: The image has more than one frame.
    """
    if count > 1:
        raise BadImage(f"animated ({counted(count, 'frame')}); save one frame as an image")
