"""JPEG: follows the markers from the start of the image to its end marker.

Bytes after the end marker are ignored (video of a motion photo, second image of an MPO file, padding).
Thumbnails are inside segments with a stated length, so the reader skips their markers.
"""

from __future__ import annotations

import re

from vireid_cli.data.formats.header import TRUNCATED, BadImage, Header, unpack
from vireid_cli.data.formats.tiff import exif_orientation

_START, _END, _SCAN, _LINES = 0xD8, 0xD9, 0xDA, 0xDC
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""SOF markers, the segments with the image size."""

_ALONE = {0x01, *range(0xD0, 0xD8)}
"""Markers without a length."""

_MARK = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_NEXT = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])", re.DOTALL)
"""Marker that ends a scan. Within a scan, FF is followed by 00 or by a restart marker."""


def inspect(data: bytes) -> Header:
    """Read the header of a JPEG file and follow its markers to the end of the image.

    Raises:
        BadImage: The file ends before its end marker, or its samples do not have 8 bits.
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
    """Find the next marker and the position after it. Bytes before it are skipped, as decoders do."""
    match = _MARK.search(data, position)
    if match is None:
        raise BadImage(TRUNCATED)
    return match[1][0], match.end()


def _size(data: bytes, position: int) -> tuple[int, int]:
    """Read (height, width) of a frame header. A height of 0 is stated after the first scan instead."""
    precision, height, width = unpack(">BHH", data, position + 2)
    if precision != 8:
        raise BadImage(f"a JPEG of {precision}-bit samples; save it with 8 bits")
    return height, width
