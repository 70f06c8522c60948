"""Readers of image headers: recognise a format by its first bytes and read the header, without decoding."""

from __future__ import annotations

from vireid_cli.data.formats import bmp, jpeg, png, tiff, webp
from vireid_cli.data.formats.header import BadImage, Header

READ = "JPEG, PNG, BMP, TIFF and WebP"
"""Supported formats."""

_OTHERS = (
    (b"GIF8", 0, "a GIF"),
    (b"ftypheic", 4, "a HEIC"),
    (b"ftypheix", 4, "a HEIC"),
    (b"ftypmif1", 4, "a HEIF"),
    (b"ftypavif", 4, "an AVIF"),
    (b"\xff\x0a", 0, "a JPEG XL"),
    (b"\0\0\0\x0cJXL ", 0, "a JPEG XL"),
    (b"\0\0\0\x0cjP  ", 0, "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", 0, "a JPEG 2000"),
    (b"%PDF", 0, "a PDF"),
    (b"8BPS", 0, "a Photoshop"),
    (b"v/1\x01", 0, "an OpenEXR"),
)
"""First bytes of unsupported formats, their offset, and the format's name."""


def inspect(data: bytes) -> Header:
    """Read the header of an encoded image.

    Args:
        data: Complete content of the file; bytes after the end of the image are ignored.

    Raises:
        BadImage: Empty, truncated, damaged, animated, too large, or of an unsupported format.
    """
    if not data:
        raise BadImage("empty file")
    if data.startswith(b"\xff\xd8"):
        return jpeg.inspect(data)
    if data.startswith(png.SIGNATURE):
        return png.inspect(data)
    if data.startswith(b"BM"):
        return bmp.inspect(data)
    if data[:4] in tiff.MARKS:
        return tiff.inspect(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return webp.inspect(data)
    for mark, offset, name in _OTHERS:
        if data[offset : offset + len(mark)] == mark:
            raise BadImage(f"{name} file; {READ} are read")
    raise BadImage(f"not an image that can be decoded ({READ} are read)")
