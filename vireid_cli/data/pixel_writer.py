"""Writer of pixel files: creates or resumes unfinished files, writes rows, renames the complete files.

See ``pixels`` for the files and their order.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from vireid_cli.data.pixels import HASH_BYTES, PixelFiles, digest
from vireid_cli.data.resize import IMPLEMENTATIONS, PILLOW
from vireid_cli.files import write_sealed


class PixelWriter:
    """Writer of the unfinished pixel files of N records; resumes files of the same records.

    Attributes:
        reused: Whether rows of earlier files are kept or copied; the caller sets it before ``finish``.
    """

    def __init__(self, files: PixelFiles, fingerprint: str, count: int) -> None:
        """Open the unfinished files of these records, or create them.

        Args:
            files: Paths of the complete files.
            fingerprint: Fingerprint of the records.
            count: Number N of records.

        Raises:
            OSError: No space or no permission.
        """
        self.files, self.unfinished = files, files.unfinished
        self.fingerprint, self.count, self.method = fingerprint, count, IMPLEMENTATIONS[files.resize]
        info = self.unfinished.description()
        # rows of earlier files that are reused keep the version of their Pillow
        self.reused = False
        self.pillow: str = info.get("pillow") or files.description().get("pillow") or PILLOW
        if info.get("fingerprint") == fingerprint and info.get("resize") == self.method:
            self._recover()
        if not self._can_resume():
            self._create()
        self.row_bytes = files.size[0] * files.size[1] * 3
        pixels = np.load(self.unfinished.pixels, mmap_mode="r")
        self.offset = int(pixels.offset)
        self.rows = np.load(self.unfinished.rows, mmap_mode="r+")
        self._stream = self.unfinished.pixels.open("r+b")

    def _recover(self) -> None:
        """Undo the renames of a process that was killed in ``finish``."""
        pairs = ((self.files.pixels, self.unfinished.pixels), (self.files.rows, self.unfinished.rows))
        for final, partial in pairs:
            if final.exists() and not partial.exists():
                final.replace(partial)

    def _can_resume(self) -> bool:
        files = self.unfinished
        info, pixels, rows = files.description(), files.open_pixels(), files.open_rows()
        same = info.get("fingerprint") == self.fingerprint and info.get("resize") == self.method
        return same and pixels is not None and rows is not None and len(pixels) == len(rows) == self.count

    def _create(self) -> None:
        """Reserve the disk space. Unfinished rows of other records are kept as reusable rows."""
        unused = not self.files.description().get("done")
        if unused and _count_rows(self.unfinished) > _count_rows(self.files):
            self.unfinished.info.unlink(missing_ok=True)
            self.unfinished.pixels.replace(self.files.pixels)
            self.unfinished.rows.replace(self.files.rows)
        self.unfinished.remove()
        reserve(self.unfinished.rows, (self.count, 2, HASH_BYTES))
        reserve(self.unfinished.pixels, (self.count, *self.files.size, 3))
        content = {
            "done": False,
            "fingerprint": self.fingerprint,
            "resize": self.method,
            "pillow": self.pillow,
        }
        write_sealed(self.unfinished.info, content)

    def written(self) -> np.ndarray:
        """Indices of rows with a hash; ``intact`` checks their pixels."""
        return np.flatnonzero(self.rows[:, 0].any(axis=1))

    def intact(self, index: np.ndarray) -> np.ndarray:
        """Select from ``index`` the rows with pixels that match their hash."""
        pixels = np.load(self.unfinished.pixels, mmap_mode="r")
        return np.array([i for i in index if digest(pixels[i]) == self.rows[i, 0].tobytes()], dtype=np.int64)

    def write(self, row: int, pixels: np.ndarray, pixel_hash: bytes, source_hash: bytes) -> None:
        """Write the pixels of a row, then its two hashes.

        Raises:
            OSError: No space.
        """
        self._stream.seek(self.offset + row * self.row_bytes)
        self._stream.write(pixels.data)
        self._stream.flush()
        self.rows[row, 1] = np.frombuffer(source_hash, np.uint8)
        self.rows[row, 0] = np.frombuffer(pixel_hash, np.uint8)

    def finish(self) -> None:
        """Rename the files to their final names and write the description, in this order.

        Raises:
            OSError: No space or no permission.
        """
        os.fsync(self._stream.fileno())
        self.rows.flush()
        self.close()
        self.files.info.unlink(missing_ok=True)
        self.unfinished.pixels.replace(self.files.pixels)
        self.unfinished.rows.replace(self.files.rows)
        content = hashlib.sha256(self.files.rows.read_bytes()).hexdigest()
        write_sealed(
            self.files.info,
            {
                "done": True,
                "fingerprint": self.fingerprint,
                "resize": self.method,
                "pillow": self.pillow if self.reused else PILLOW,
                "size": list(self.files.size),
                "images": self.count,
                "rows_sha256": content,
            },
        )
        self.unfinished.info.unlink()

    def close(self) -> None:
        """Close the file; a later writer can resume it."""
        self._stream.close()


def _count_rows(files: PixelFiles) -> int:
    """Number of written rows; -1 if the files are missing."""
    rows = files.open_rows()
    if rows is None or not files.pixels.exists():
        return -1
    return int(rows[:, 0].any(axis=1).sum())


def reserve(path: Path, shape: tuple[int, ...]) -> None:
    """Create an array file of zeros and allocate all its disk space, so that a full disk raises here.

    Without allocation, a write through a memory map on a full disk kills the process with a bus error.
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
def open_writer(files: PixelFiles, fingerprint: str, count: int) -> Iterator[PixelWriter]:
    """Open a ``PixelWriter`` and close it at the end of the block."""
    writer = PixelWriter(files, fingerprint, count)
    try:
        yield writer
    finally:
        with suppress(OSError):
            writer.close()
