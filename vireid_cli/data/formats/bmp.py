"""BMP: checks that the file contains all rows; ignores the file size field, which is often wrong."""

from __future__ import annotations

from vireid_cli.data.formats.header import TRUNCATED, BadImage, Header, unpack

_PLAIN, _RLE8, _RLE4, _FIELDS, _FIELDS_ALPHA = 0, 1, 2, 3, 6


def inspect(data: bytes) -> Header:
    """Read the header of a BMP file.

    Raises:
        BadImage: The file ends before its last row, or its pixel format is unsupported.
    """
    pixels, size = unpack("<II", data, 10)
    if size == 12:  # OS/2
        width, height, _, bits = unpack("<HHHH", data, 18)
        compression, length = _PLAIN, 0
    else:
        width, height, _, bits, compression, length = unpack("<iiHHII", data, 18)
    if compression not in (_PLAIN, _RLE8, _RLE4, _FIELDS, _FIELDS_ALPHA):
        raise BadImage(f"a BMP of compression {compression}; save it without compression")
    if bits not in (1, 2, 4, 8, 16, 24, 32):
        raise BadImage(f"a BMP of {bits} bits per pixel")
    header = Header(abs(width), abs(height))
    if compression in (_RLE8, _RLE4):
        _refuse_open_end(data, pixels, length, compression)
    elif pixels + (header.width * bits + 31) // 32 * 4 * header.height > len(data):
        raise BadImage(TRUNCATED)
    return header


def _refuse_open_end(data: bytes, position: int, length: int, compression: int) -> None:
    """Refuse a run-length encoded image that ends before its end mark or its claimed length."""
    claimed = position + length if length else len(data)
    while position + 2 <= claimed:
        run, code = unpack("<BB", data, position)
        position += 2
        if run:
            continue
        if code == 1:
            return
        if code == 2:
            position += 2
        elif code > 2:  # literal pixels, padded to a whole word
            bytes_ = code if compression == _RLE8 else (code + 1) // 2
            position += bytes_ + (bytes_ & 1)
    if position > len(data) or not length:
        raise BadImage(TRUNCATED)
