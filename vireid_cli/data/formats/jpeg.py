"""JPEG: follow the markers from the start of the image to its own end.

Bytes behind the end mark (the film of a motion photo, the second picture of an MPO file, padding) belong to
nobody here. Thumbnails lie inside segments whose length is stated, so their marks are never met.
"""

from __future__ import annotations

import re

from vireid_cli.data.formats.header import TRUNCATED, BadImage, Header, unpack
from vireid_cli.data.formats.tiff import exif_orientation

_START, _END, _SCAN, _LINES = 0xD8, 0xD9, 0xDA, 0xDC
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""SOF markers: their segment holds the size."""

_ALONE = {0x01, *range(0xD0, 0xD8)}
"""Markers without a length."""

_MARK = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_NEXT = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])", re.DOTALL)
"""A marker that ends a scan: within it FF is followed by 00, or by a restart mark."""


def inspect(data: bytes) -> Header:
    """Facts of a JPEG file.

    Raises:
        BadImage: It ends before the end mark of its image, or its samples do not have 8 bits.
    """
    position, orientation, scans = 2, 1, 0
    size: tuple[int, int] | None = None
    while True:
        marker, position = _marker(data, position)
        if marker == _END:
            break
        if marker == _START:
            raise BadImage(TRUNCATED)  # another image begins before the end of this one
        if marker in _ALONE:
            continue
        length = unpack(">H", data, position)[0]
        if length < 2 or position + length > len(data):
            raise BadImage(TRUNCATED)
        if marker in _FRAMES and size is None:
            size = _size(data, position)
        elif marker == _LINES and size is not None and size[0] == 0:
            size = unpack(">H", data, position + 2)[0], size[1]
        elif marker == 0xE1 and data[position + 2 : position + 8] == b"Exif\0\0":
            orientation = exif_orientation(data[position + 8 : position + length])
        position += length
        if marker == _SCAN:
            scans += 1
            following = _NEXT.search(data, position)
            if following is None:
                raise BadImage(TRUNCATED)
            position = following.start()
    if size is None or not scans:
        raise BadImage(TRUNCATED)
    return Header(size[1], size[0], orientation=orientation)


def _marker(data: bytes, position: int) -> tuple[int, int]:
    """The next marker from a position on, and the position behind it; decoders skip bytes before it, too."""
    match = _MARK.search(data, position)
    if match is None:
        raise BadImage(TRUNCATED)
    return match[1][0], match.end()


def _size(data: bytes, position: int) -> tuple[int, int]:
    """(height, width) of a frame header; the height may be 0, and follow behind the first scan."""
    precision, height, width = unpack(">BHH", data, position + 2)
    if precision != 8:
        raise BadImage(f"a JPEG of {precision}-bit samples; save it with 8 bits")
    return height, width
