"""TIFF: reads the directory of the first page, and EXIF blocks of other formats, which have the same form.

Supported are unsigned samples of 1 to 8 and of 16 bits: grey, palette, RGB, CMYK and YCbCr. Signed,
floating-point and wider samples are refused, because the file does not define their black and white levels.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass

from vireid_cli.data.formats.header import TRUNCATED, BadImage, Header, unpack

MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of a TIFF structure: byte order, then 42, or 43 for 64-bit offsets."""

ORIENTATION = 274
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 254, 256, 257, 258, 262
_SAMPLES, _KIND = 277, 339
_OFFSETS, _LENGTHS, _TILE_OFFSETS, _TILE_LENGTHS = 273, 279, 324, 325
_TAGS = {
    *(ORIENTATION, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _KIND),
    *(_OFFSETS, _LENGTHS, _TILE_OFFSETS, _TILE_LENGTHS),
}

_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""TIFF type codes of unsigned integers: byte, short, long, offset, and the 64-bit types."""

_COPY = 1 | 4
"""Bits of ``_SUBFILE`` for a reduced copy or a mask of another page."""

_ENTRIES, _VALUES, _PAGES = 4096, 1 << 22, 4096
_DAMAGED = "a damaged TIFF directory"
_COLOURS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
_USUAL_SAMPLES = {2: 3, 5: 4, 6: 3}
_KINDS = {2: "signed", 3: "floating-point", 4: "undefined", 5: "complex", 6: "complex"}


@dataclass(frozen=True, slots=True)
class Directory:
    """Entries of one TIFF directory with unsigned integers.

    Attributes:
        values: Numbers by tag.
        places: Offset of the first number in the data, by tag.
        next: Offset of the next directory, or 0.
    """

    values: dict[int, tuple[int, ...]]
    places: dict[int, int]
    next: int

    def first_number(self, tag: int, default: int) -> int:
        """Return the first number of a tag, or ``default`` if the tag is missing."""
        return (self.values.get(tag) or (default,))[0]


class Block:
    """A TIFF structure: byte order, width of offsets, directories.

    Args:
        data: Content of a TIFF file or of an EXIF block.

    Raises:
        BadImage: The data do not begin with a TIFF header.
    """

    def __init__(self, data: bytes) -> None:
        if data[:4] not in MARKS:
            raise BadImage("not a TIFF header")
        self.data = data
        self.order, self.wide = "<" if data[:1] == b"I" else ">", b"+" in data[1:4]
        self.word = self.order + ("Q" if self.wide else "I")
        self.first = unpack(self.word, data, 8 if self.wide else 4)[0]

    def directory(self, start: int, wanted: Collection[int]) -> Directory:
        """Read the tags ``wanted`` of the directory at offset ``start``.

        Raises:
            BadImage: The directory is damaged, or the data end before it or one of these tags.
        """
        count = unpack(self.order + ("Q" if self.wide else "H"), self.data, start)[0]
        if count > _ENTRIES:
            raise BadImage(_DAMAGED)
        head, entry = (8, 20) if self.wide else (2, 12)
        values: dict[int, tuple[int, ...]] = {}
        places: dict[int, int] = {}
        for at in range(start + head, start + head + count * entry, entry):
            tag, kind = unpack(self.order + "HH", self.data, at)
            if tag in wanted and kind in _TYPES:
                values[tag], places[tag] = self._numbers(_TYPES[kind], at + 4)
        return Directory(values, places, unpack(self.word, self.data, start + head + count * entry)[0])

    def _numbers(self, kind: str, at: int) -> tuple[tuple[int, ...], int]:
        """Read the numbers of an entry and their offset; ``at`` is the offset of the entry's length."""
        length, width = unpack(self.word, self.data, at)[0], 8 if self.wide else 4
        if length > _VALUES:
            raise BadImage(_DAMAGED)
        place = at + width
        if length * struct.calcsize("=" + kind) > width:
            place = unpack(self.word, self.data, place)[0]
        return unpack(f"{self.order}{length}{kind}", self.data, place), place

    def pages(self) -> int:
        """Count the directories, without thumbnails and masks.

        Raises:
            BadImage: The chain of directories leaves the data or forms a cycle.
        """
        count, offset, seen = 0, self.first, set[int]()
        while offset:
            if offset in seen or len(seen) == _PAGES:
                raise BadImage(_DAMAGED)
            seen.add(offset)
            page = self.directory(offset, {_SUBFILE})
            count, offset = count + (not page.first_number(_SUBFILE, 0) & _COPY), page.next
        return max(count, 1)


def exif_orientation(block: bytes) -> int:
    """Read the orientation, 1 to 8, from an EXIF block; 1 if it is missing or damaged."""
    try:
        exif = Block(block)
        value = exif.directory(exif.first, {ORIENTATION}).first_number(ORIENTATION, 1)
    except BadImage:
        return 1
    return value if 1 <= value <= 8 else 1


def inspect(data: bytes) -> Header:
    """Read the header of a TIFF file.

    Raises:
        BadImage: The file is truncated, has several pages, or has unsupported samples.
    """
    block = Block(data)
    page = block.directory(block.first, _TAGS)
    bits, pages = _sample_bits(page), block.pages()
    if pages > 1:
        raise BadImage(f"a TIFF of {pages} pages; save one page as an image")
    _refuse_missing_strips(page, len(data))
    orientation = page.first_number(ORIENTATION, 1)
    return Header(
        page.first_number(_WIDTH, 0),
        page.first_number(_HEIGHT, 0),
        bits,
        alpha=_has_alpha(page),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        orientation_at=page.places.get(ORIENTATION, 0),
        little_endian=block.order == "<",
        inverted=bits == 16 and page.first_number(_PHOTOMETRIC, 1) == 0,
    )


def _sample_bits(page: Directory) -> int:
    """Read the bits per sample; raises as ``inspect``."""
    kinds, bits = set(page.values.get(_KIND, (1,))), page.values.get(_BITS, (1,))
    colour = page.first_number(_PHOTOMETRIC, 1)
    unsupported = sorted(kinds - {1})
    if unsupported:
        raise BadImage(
            f"a TIFF of {_KINDS.get(unsupported[0], 'unknown')} {bits[0]}-bit samples; "
            "save it with unsigned samples of 8 or 16 bits"
        )
    if len(set(bits)) != 1 or bits[0] not in (1, 2, 4, 8, 16):
        raise BadImage(f"a TIFF of {'/'.join(map(str, bits))}-bit samples; save it with 8 or 16 bits")
    if colour not in _COLOURS or (bits[0] == 16 and colour not in (0, 1, 2)):
        raise BadImage(
            f"a {bits[0]}-bit TIFF of colour space {_COLOURS.get(colour, colour)}; save it as grey or RGB"
        )
    return bits[0]


def _has_alpha(page: Directory) -> bool:
    usual = _USUAL_SAMPLES.get(page.first_number(_PHOTOMETRIC, 1), 1)
    samples = page.first_number(_SAMPLES, 1)
    if samples > usual + 1 or samples < usual:
        raise BadImage(f"a TIFF of {samples} samples per pixel; save it as grey or RGB")
    return samples == usual + 1


def _refuse_missing_strips(page: Directory, size: int) -> None:
    """Refuse a file that ends before a strip or tile of the page."""
    for offsets, lengths in ((_OFFSETS, _LENGTHS), (_TILE_OFFSETS, _TILE_LENGTHS)):
        if offsets in page.values:
            starts, counts = page.values[offsets], page.values.get(lengths, ())
            if any(start + count > size for start, count in zip(starts, counts, strict=False)) or any(
                start >= size for start in starts
            ):
                raise BadImage(TRUNCATED)
            return
    raise BadImage("a TIFF without pixels")
