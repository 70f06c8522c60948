"""What the disk answers: sizes of image files, and refusals to write, in plain words."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vireid_cli.errors import DataError
from vireid_cli.types import RecordTable


def file_sizes_of(root: Path, records: RecordTable) -> np.ndarray:
    """(N,) int64 size of each record's file in bytes, -1 if it is missing."""
    return np.array([_size_of(root / path) for path in records.paths.tolist()], dtype=np.int64)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Explain a full or read-only disk as a ``DataError``."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            place = next(p for p in (folder, *folder.parents) if p.exists())
            free = shutil.disk_usage(place).free / 2**30
            raise DataError(
                f"no space left for the store at {folder} ({free:.1f} GiB free)",
                "Free some space, or choose another data directory, and run this again: "
                "what is finished is kept.",
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise DataError(
                f"cannot write {folder}: {error.strerror}",
                "Choose a data directory with write permission.",
            ) from error
        raise
