"""The vector file of an index: rows of float32, appended and flushed before the database commits them.

The database states how many rows are committed. Bytes behind them belong to an addition that was killed; the
next addition overwrites them. Committed rows never change, so readers map the file without a lock.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import numpy as np

from vireid_cli import folders
from vireid_cli.errors import DataError
from vireid_cli.files import write_error

DTYPE = np.dtype("<f4")

_NAME = re.compile(r"vectors-[0-9]{6,}\.f32")


def vector_file(folder: Path, generation: int) -> Path:
    """Path of the vectors of a generation; compaction begins a new one."""
    return folder / f"vectors-{generation:06d}.f32"


def is_vector_file(name: str) -> bool:
    """Whether a file name is one of ``vector_file``."""
    return _NAME.fullmatch(name) is not None


def append(path: Path, vectors: np.ndarray, first: int) -> None:
    """Write rows at a position and flush them to the disk.

    Args:
        path: The vector file; created if missing.
        vectors: (N, D) float32.
        first: Number of rows before them.

    Raises:
        DataError: The disk is full or the folder is read-only; committed rows are unchanged.
    """
    content = np.ascontiguousarray(vectors, dtype=DTYPE).data.cast("B")
    offset = first * vectors.shape[1] * DTYPE.itemsize
    try:
        missing = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        try:
            os.lseek(descriptor, offset, os.SEEK_SET)
            while content:
                content = content[os.write(descriptor, content) :]
            os.fsync(descriptor)
        except OSError:
            # a part of an addition would keep a full disk full: even a removal of records needs some space
            with suppress(OSError):
                os.ftruncate(descriptor, offset)
            raise
        finally:
            os.close(descriptor)
        if missing:
            folders.flush(path.parent)
    except OSError as error:
        raise write_error(path, error) from error


def mapped(path: Path, rows: int, width: int | None) -> np.ndarray:
    """Map the first rows of the vector file, read-only: (rows, width) float32.

    An index without additions has no width and no rows.

    Raises:
        FileNotFoundError: The file does not exist; compaction may have replaced it.
        DataError: The file has fewer rows than the database committed.
    """
    dimension = width or 1
    if rows == 0:
        return np.empty((0, dimension), DTYPE)
    size = path.stat().st_size
    if size < rows * dimension * DTYPE.itemsize:
        raise DataError(
            f"{path} has {size // (dimension * DTYPE.itemsize):,} vectors; the database committed {rows:,}.",
            "The file is damaged: restore it from a copy, or create the index again.",
        )
    return np.memmap(path, DTYPE, "r", shape=(rows, dimension))
