"""Pixel files of a store: complete files, unfinished files, and reusable rows of earlier preparations.

Files in the store's folder for the size 288x144::

    288x144.npy            (N, 288, 144, 3) uint8 RGB, memory-mapped by readers
    288x144.rows.npy       (N, 2, 16) uint8: hash of the row's pixels, hash of its source file
    288x144.json           description, written last: without it the other two are incomplete
    288x144.partial.*      the same three files, unfinished
    288x144-bicubic.*      the same files for the other resize rule

Earlier versions resized only by ``bicubic``, without a mark in the names; ``rename_old_files`` renames their
files, so that older stores remain usable.

The writer writes a row's hashes after its pixels and compares both before it reuses the row. A process killed
at any moment therefore loses no finished row and leaves no incomplete one. Rows are reused by the hash of
their source file: if the list of records changes, images that were decoded before are copied.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli import documents
from vireid_cli.array_files import map_array
from vireid_cli.counts import size_name as size_name
from vireid_cli.data.resize import IMPLEMENTATIONS, pillow_warning
from vireid_cli.errors import DataError
from vireid_cli.types import RESIZE, Resize, Size

HASH_BYTES = 16


def digest(*parts: bytes | np.ndarray) -> bytes:
    """First 16 bytes of the SHA-1 of bytes or contiguous arrays; fast, and sufficient for accidents."""
    total = hashlib.sha1(usedforsecurity=False)
    for part in parts:
        total.update(part if isinstance(part, bytes) else part.data)
    return total.digest()[:HASH_BYTES]


def source_digest(data: bytes, rule: Resize, mark: str = "") -> bytes:
    """16-byte hash of an image file and its decoding: equal hashes mean equal pixels.

    Args:
        data: Content of the file.
        rule: Resize rule.
        mark: Decoding options that affect this file (``Decoder.mark``).
    """
    return digest(f"{IMPLEMENTATIONS[rule]}{mark}".encode(), data)


@dataclass(frozen=True, slots=True)
class PixelFiles:
    """Paths of the pixel files of one size and resize rule.

    Attributes:
        folder: Folder of the store.
        size: (height, width) in pixels.
        resize: Resize rule.
        partial: Whether these are the unfinished files.
    """

    folder: Path
    size: Size
    resize: Resize = RESIZE
    partial: bool = False

    @property
    def name(self) -> str:
        """Common beginning of the file names: size and resize rule."""
        return size_name(self.size) + ("" if self.resize == RESIZE else f"-{self.resize}")

    def _path(self, ending: str) -> Path:
        return self.folder / f"{self.name}{'.partial' if self.partial else ''}.{ending}"

    @property
    def pixels(self) -> Path:
        """File of pixels, (N, H, W, 3) uint8."""
        return self._path("npy")

    @property
    def rows(self) -> Path:
        """File of row hashes, (N, 2, 16) uint8."""
        return self._path("rows.npy")

    @property
    def info(self) -> Path:
        """File of the description, written last."""
        return self._path("json")

    @property
    def unfinished(self) -> PixelFiles:
        """The unfinished files of the same size and resize rule."""
        return PixelFiles(self.folder, self.size, self.resize, partial=True)

    def description(self) -> dict[str, Any]:
        """Read the description; empty if it is missing, unreadable or not as it was written."""
        try:
            content = documents.read_json(self.info)
            documents.check_seal(content, str(self.info))
        except DataError:
            return {}
        return content if isinstance(content, dict) else {}

    def pillow_warning(self) -> str:
        """Warning if Pillow of another major version resized these pixels; empty otherwise."""
        recorded = self.description().get("pillow") if self.resize == "lanczos" else None
        return pillow_warning(recorded, str(self.pixels))

    def open_pixels(self) -> np.ndarray | None:
        """Open the pixels as a read-only memory map; None if they are missing or have another shape."""
        return _open(self.pixels, (*self.size, 3))

    def open_rows(self) -> np.ndarray | None:
        """Load the row hashes; None if they are missing or have another shape."""
        rows = _open(self.rows, (2, HASH_BYTES))
        return None if rows is None else np.array(rows)

    def complete(self, fingerprint: str, count: int) -> bool:
        """Whether the files are complete and belong to ``count`` records with this fingerprint."""
        info = self.description()
        same = info.get("fingerprint") == fingerprint and info.get("resize") == IMPLEMENTATIONS[self.resize]
        if info.get("done") is not True or not same:
            return False
        pixels, rows = self.open_pixels(), _open(self.rows, (2, HASH_BYTES))
        return pixels is not None and rows is not None and len(pixels) == len(rows) == count

    def exist(self) -> bool:
        """Whether all three files exist."""
        return self.info.is_file() and self.open_pixels() is not None and self.open_rows() is not None

    def remove(self) -> None:
        """Delete the files, the description first."""
        for path in (self.info, self.pixels, self.rows):
            path.unlink(missing_ok=True)


def rename_old_files(folder: Path) -> None:
    """Rename ``bicubic`` pixel files that earlier versions wrote under the names of the default rule.

    The description is renamed last, so that a killed process leaves no files that look complete.
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
    """Rows of earlier preparations, by the hash of their source file.

    Attributes:
        pixels: (M, H, W, 3) memory map, or None.
        rows: (M, 2, 16) hashes, or None.
        row_of: Row by hash of the source file.
    """

    pixels: np.ndarray | None
    rows: np.ndarray | None
    row_of: dict[bytes, int]

    @staticmethod
    def of(files: PixelFiles) -> KnownRows:
        """Read the rows of pixel files, which may belong to other records; empty without such files."""
        pixels, rows = files.open_pixels(), files.open_rows()
        if pixels is None or rows is None or len(pixels) != len(rows):
            return KnownRows(None, None, {})
        written = np.flatnonzero(rows[:, 0].any(axis=1))
        return KnownRows(pixels, rows, {rows[i, 1].tobytes(): int(i) for i in written})

    def find(self, source: bytes) -> np.ndarray | None:
        """Return the pixels for a source hash; None if there are none or they do not match their own hash."""
        row = self.row_of.get(source)
        if row is None or self.pixels is None or self.rows is None:
            return None
        pixels = np.array(self.pixels[row])
        return pixels if digest(pixels) == self.rows[row, 0].tobytes() else None
