"""WebP: reads one image in a RIFF container and checks the container's length."""

from __future__ import annotations

from vireid_cli.data.formats.header import TRUNCATED, BadImage, Header, unpack
from vireid_cli.data.formats.tiff import exif_orientation

_ANIMATED, _ALPHA = 0x02, 0x10


def inspect(data: bytes) -> Header:
    """Read the header of a WebP file.

    Raises:
        BadImage: The file is truncated or animated.
    """
    end = 8 + unpack("<I", data, 4)[0]
    if end > len(data):
        raise BadImage(TRUNCATED)
    position, orientation = 12, 1
    size: tuple[int, int] | None = None
    alpha = False
    while position + 8 <= end:
        kind, length = data[position : position + 4], unpack("<I", data, position + 4)[0]
        start = position + 8
        if start + length > end:
            raise BadImage(TRUNCATED)
        if kind == b"VP8X":
            flags = data[start]
            if flags & _ANIMATED:
                raise BadImage("animated; save one frame as an image")
            alpha |= bool(flags & _ALPHA)
            size = 1 + _read_uint24(data, start + 4), 1 + _read_uint24(data, start + 7)
        elif kind == b"VP8L":
            packed = unpack("<I", data, start + 1)[0]
            size, alpha = size or ((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1), True
        elif kind == b"VP8 ":
            width, height = unpack("<HH", data, start + 6)
            size = size or (width & 0x3FFF, height & 0x3FFF)
        elif kind == b"EXIF":
            orientation = exif_orientation(data[start : start + length].removeprefix(b"Exif\0\0"))
        position = start + length + (length & 1)
    if size is None:
        raise BadImage("a WebP without pixels")
    return Header(*size, alpha=alpha, orientation=orientation)


def _read_uint24(data: bytes, offset: int) -> int:
    low, high = unpack("<HB", data, offset)
    return low | high << 16
