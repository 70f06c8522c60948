"""The pixel files of one size: finished, in the making, and rows known from an earlier making.

Beside each other in the store's folder, for a size of 288×144::

    288x144.npy            (N, 288, 144, 3) uint8 RGB, memory-mapped by readers
    288x144.rows.npy       (N, 2, 16) uint8: hash of the row's pixels, hash of its source file
    288x144.json           written last: without it the two above are not taken for whole
    288x144.partial.*      the same three in the making
    288x144-bicubic.*      the same files of another resize rule than the default

Earlier versions resized by ``bicubic`` only, without a mark in the names; ``name_by_rule`` renames their
files, so that older stores still serve.

A row's hashes are written after its pixels, and compared with them again before it is believed, so a
process killed at any moment loses no finished row and leaves no half-made one. Rows are found again
by the hash of their source file: an image that was decoded once is copied, not decoded, when the
list of records has changed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli import documents
from vireid_cli.array_files import map_array
from vireid_cli.data.resize import IMPLEMENTATIONS
from vireid_cli.errors import DataError
from vireid_cli.files import write_json
from vireid_cli.types import RESIZE, Resize, Size

HASH_BYTES = 16


def digest(*parts: bytes | np.ndarray) -> bytes:
    """First 16 bytes of the SHA-1 of bytes or contiguous arrays: finds accidents, and is the fastest."""
    total = hashlib.sha1(usedforsecurity=False)
    for part in parts:
        total.update(part if isinstance(part, bytes) else part.data)
    return total.digest()[:HASH_BYTES]


def source_digest(data: bytes, rule: Resize, mark: str = "") -> bytes:
    """16-byte hash of an image file's bytes and of how they become pixels: equal hashes, equal pixels.

    Args:
        data: The whole file.
        rule: Of resizing.
        mark: Of the decoder on this file (``Decoder.mark``).
    """
    return digest(f"{IMPLEMENTATIONS[rule]}{mark}".encode(), data)


def size_name(size: Size) -> str:
    """``288x144`` for (288, 144)."""
    return f"{size[0]}x{size[1]}"


@dataclass(frozen=True, slots=True)
class PixelFiles:
    """Paths of one size's files, finished or in the making.

    Attributes:
        folder: The store.
        size: (height, width).
        resize: Rule by which they were resized.
        partial: The files in the making.
    """

    folder: Path
    size: Size
    resize: Resize = RESIZE
    partial: bool = False

    @property
    def name(self) -> str:
        """Beginning of the files' names: size and rule."""
        return size_name(self.size) + ("" if self.resize == RESIZE else f"-{self.resize}")

    def _path(self, ending: str) -> Path:
        return self.folder / f"{self.name}{'.partial' if self.partial else ''}.{ending}"

    @property
    def pixels(self) -> Path:
        """(N, H, W, 3) uint8."""
        return self._path("npy")

    @property
    def rows(self) -> Path:
        """(N, 2, 16) uint8 hashes."""
        return self._path("rows.npy")

    @property
    def info(self) -> Path:
        """The description that is written last."""
        return self._path("json")

    @property
    def making(self) -> PixelFiles:
        """The same size's files in the making."""
        return PixelFiles(self.folder, self.size, self.resize, partial=True)

    def description(self) -> dict[str, Any]:
        """Content of ``info``; empty where it is missing or not readable."""
        try:
            content = documents.read_json(self.info)
        except DataError:
            return {}
        return content if isinstance(content, dict) else {}

    def open_pixels(self) -> np.ndarray | None:
        """The pixels as a read-only memory map; None where they are missing or of another form."""
        return _open(self.pixels, (*self.size, 3))

    def open_rows(self) -> np.ndarray | None:
        """The row hashes, in memory; None where they are missing or of another form."""
        rows = _open(self.rows, (2, HASH_BYTES))
        return None if rows is None else np.array(rows)

    def complete(self, fingerprint: str, count: int) -> bool:
        """Whether these are the finished pixels of ``count`` records with that fingerprint."""
        info = self.description()
        same = info.get("fingerprint") == fingerprint and info.get("resize") == IMPLEMENTATIONS[self.resize]
        if info.get("done") is not True or not same:
            return False
        pixels, rows = self.open_pixels(), _open(self.rows, (2, HASH_BYTES))
        return pixels is not None and rows is not None and len(pixels) == len(rows) == count

    def whole(self) -> bool:
        """Whether all three files are there."""
        return self.info.is_file() and self.open_pixels() is not None and self.open_rows() is not None

    def remove(self) -> None:
        """Delete the files, the description first."""
        for path in (self.info, self.pixels, self.rows):
            path.unlink(missing_ok=True)


def name_by_rule(folder: Path) -> None:
    """Rename pixel files of ``bicubic`` that an earlier version wrote under the names of the default rule.

    The description comes last, so that a process killed in between leaves nothing that is taken for whole.
    """
    for path in folder.glob("*x*.json"):
        size = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})\.json", path.name)
        if size is None:
            continue
        old = PixelFiles(folder, (int(size[1]), int(size[2])))
        if old.description().get("resize") == IMPLEMENTATIONS["bicubic"]:
            new = PixelFiles(folder, old.size, "bicubic")
            for before, after in ((old.pixels, new.pixels), (old.rows, new.rows), (old.info, new.info)):
                if before.exists():
                    before.replace(after)


def _open(path: Path, tail: tuple[int, ...]) -> np.ndarray | None:
    try:
        array = map_array(path)
    except DataError:
        return None
    return array if array.dtype == np.uint8 and array.shape[1:] == tail else None


@dataclass(slots=True)
class KnownRows:
    """Finished rows by the hash of their source file.

    Attributes:
        pixels: (M, H, W, 3) memory map, or None.
        rows: (M, 2, 16) hashes, or None.
        where: Source hash → row.
    """

    pixels: np.ndarray | None
    rows: np.ndarray | None
    where: dict[bytes, int]

    @staticmethod
    def of(files: PixelFiles) -> KnownRows:
        """Rows of finished files that may belong to other records; none where there are no such files."""
        pixels, rows = files.open_pixels(), files.open_rows()
        if pixels is None or rows is None or len(pixels) != len(rows):
            return KnownRows(None, None, {})
        made = np.flatnonzero(rows[:, 0].any(axis=1))
        return KnownRows(pixels, rows, {rows[i, 1].tobytes(): int(i) for i in made})

    def find(self, source: bytes) -> np.ndarray | None:
        """Pixels of the image whose file has this hash, if they still have the hash written for them."""
        row = self.where.get(source)
        if row is None or self.pixels is None or self.rows is None:
            return None
        pixels = np.array(self.pixels[row])
        return pixels if digest(pixels) == self.rows[row, 0].tobytes() else None


class Making:
    """Pixels of N records in the making: opened or continued, written row by row, then put in place."""

    def __init__(self, files: PixelFiles, fingerprint: str, count: int) -> None:
        """Continue the making of these records if there is one, else begin it.

        Args:
            files: The finished files' paths.
            fingerprint: Of the records.
            count: N.

        Raises:
            OSError: No space or no permission.
        """
        self.files, self.making = files, files.making
        self.fingerprint, self.count, self.method = fingerprint, count, IMPLEMENTATIONS[files.resize]
        info = self.making.description()
        if info.get("fingerprint") == fingerprint and info.get("resize") == self.method:
            self._recover()
        if not self._continues():
            self._begin()
        self.row_bytes = files.size[0] * files.size[1] * 3
        pixels = np.load(self.making.pixels, mmap_mode="r")
        self.offset = int(pixels.offset)
        self.rows = np.load(self.making.rows, mmap_mode="r+")
        self._stream = self.making.pixels.open("r+b")

    def _recover(self) -> None:
        """Take back what a process killed while it put files in place had already moved."""
        for final, partial in ((self.files.pixels, self.making.pixels), (self.files.rows, self.making.rows)):
            if final.exists() and not partial.exists():
                final.replace(partial)

    def _continues(self) -> bool:
        info, pixels, rows = self.making.description(), self.making.open_pixels(), self.making.open_rows()
        same = info.get("fingerprint") == self.fingerprint and info.get("resize") == self.method
        return same and pixels is not None and rows is not None and len(pixels) == len(rows) == self.count

    def _begin(self) -> None:
        """Reserve the space; an unfinished making of other records becomes the known rows."""
        unused = not self.files.description().get("done")
        if unused and _rows_made(self.making) > _rows_made(self.files):
            self.making.info.unlink(missing_ok=True)
            self.making.pixels.replace(self.files.pixels)
            self.making.rows.replace(self.files.rows)
        self.making.remove()
        _reserve(self.making.rows, (self.count, 2, HASH_BYTES))
        _reserve(self.making.pixels, (self.count, *self.files.size, 3))
        write_json(self.making.info, {"done": False, "fingerprint": self.fingerprint, "resize": self.method})

    def written(self) -> np.ndarray:
        """Indices of rows that have a hash; their pixels are still to be compared with it."""
        return np.flatnonzero(self.rows[:, 0].any(axis=1))

    def intact(self, index: np.ndarray) -> np.ndarray:
        """Those of the rows at ``index`` whose pixels have the hash written for them."""
        pixels = np.load(self.making.pixels, mmap_mode="r")
        return np.array([i for i in index if digest(pixels[i]) == self.rows[i, 0].tobytes()], dtype=np.int64)

    def write(self, row: int, pixels: np.ndarray, pixel_hash: bytes, source_hash: bytes) -> None:
        """Write one row: its pixels first, then its two hashes.

        Raises:
            OSError: No space.
        """
        self._stream.seek(self.offset + row * self.row_bytes)
        self._stream.write(pixels.data)
        self._stream.flush()
        self.rows[row, 1] = np.frombuffer(source_hash, np.uint8)
        self.rows[row, 0] = np.frombuffer(pixel_hash, np.uint8)

    def finish(self) -> None:
        """Put the files in place; the description comes last.

        Raises:
            OSError: No space or no permission.
        """
        os.fsync(self._stream.fileno())
        self.rows.flush()
        self.close()
        self.files.info.unlink(missing_ok=True)
        self.making.pixels.replace(self.files.pixels)
        self.making.rows.replace(self.files.rows)
        content = hashlib.sha256(self.files.rows.read_bytes()).hexdigest()
        write_json(
            self.files.info,
            {
                "done": True,
                "fingerprint": self.fingerprint,
                "resize": self.method,
                "size": list(self.files.size),
                "images": self.count,
                "rows_sha256": content,
            },
        )
        self.making.info.unlink()

    def close(self) -> None:
        """Close the file; what is written stays, to be continued."""
        self._stream.close()


def _rows_made(files: PixelFiles) -> int:
    rows = files.open_rows()
    if rows is None or not files.pixels.exists():
        return -1
    return int(rows[:, 0].any(axis=1).sum())


def _reserve(path: Path, shape: tuple[int, ...]) -> None:
    """Make an array file of zeros with all its space taken at once, so that a full disk is met here.

    Writing through a memory map into a file with holes would end the process with a bus error.
    """
    with path.open("wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        total = stream.tell() + int(np.prod(shape, dtype=np.int64))
        stream.truncate(total)
        stream.flush()
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, total)


@contextmanager
def making(files: PixelFiles, fingerprint: str, count: int) -> Iterator[Making]:
    """A ``Making`` whose file is closed at the end of the block, finished or not."""
    made = Making(files, fingerprint, count)
    try:
        yield made
    finally:
        with suppress(OSError):
            made.close()
