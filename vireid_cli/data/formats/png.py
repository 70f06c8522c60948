"""PNG: follows the chunks to IEND and compares their checksums."""

from __future__ import annotations

import zlib

from vireid_cli.data.formats.header import TRUNCATED, BadImage, Header, refuse_frames, unpack
from vireid_cli.data.formats.tiff import exif_orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEAD = 26
"""Number of leading bytes that contain size, depth and colour type."""

_GREY_ALPHA, _RGB_ALPHA = 4, 6


def inspect(data: bytes) -> Header:
    """Read the header of a PNG file; bytes after IEND are ignored.

    Raises:
        BadImage: The file ends before IEND, has a wrong checksum in a critical chunk, or is animated.
    """
    position, orientation, transparent, pixels = 8, 1, False, False
    shape: tuple[int, ...] | None = None
    while True:
        length = unpack(">I", data, position)[0]
        kind, start, end = data[position + 4 : position + 8], position + 8, position + 8 + length
        if end + 4 > len(data):
            raise BadImage(TRUNCATED)
        _check(data, kind, start, end)
        if kind == b"IHDR":
            shape = unpack(">IIBB", data, start)
        elif kind == b"tRNS":
            transparent = True
        elif kind == b"eXIf":
            orientation = exif_orientation(data[start:end])
        elif kind == b"acTL":
            refuse_frames(unpack(">I", data, start)[0])
        elif kind == b"IDAT":
            pixels = True
        elif kind == b"IEND":
            break
        position = end + 4
    if shape is None or not pixels:
        raise BadImage("a PNG without pixels")
    width, height, bits, colour = shape
    alpha = transparent or colour in (_GREY_ALPHA, _RGB_ALPHA)
    return Header(width, height, bits, alpha=alpha, orientation=orientation)


def _check(data: bytes, kind: bytes, start: int, end: int) -> None:
    """Compare the checksum of a critical chunk, because a decoder may silently omit pixels after damage."""
    if not kind[:1].isupper():
        return
    if zlib.crc32(memoryview(data)[start - 4 : end]) != unpack(">I", data, end)[0]:
        raise BadImage(f"damaged: the checksum of chunk {kind.decode('ascii', 'replace')} is wrong")


def is_16_bit(head: bytes) -> bool:
    """Whether the first ``HEAD`` bytes of a file are those of a PNG with 16-bit samples."""
    return head.startswith(SIGNATURE) and head[12:16] == b"IHDR" and head[24:25] == b"\x10"
