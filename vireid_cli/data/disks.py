"""File sizes of datasets, and errors about full or read-only disks."""

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
    """File sizes of the records in bytes, (N,) int64; -1 for missing files."""
    return np.array([_size_of(root / path) for path in records.paths.tolist()], dtype=np.int64)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


@contextmanager
def convert_disk_errors(folder: Path) -> Iterator[None]:
    """Convert system errors about a full or read-only disk to ``DataError``."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            place = next(p for p in (folder, *folder.parents) if p.exists())
            free = shutil.disk_usage(place).free / 2**30
            raise DataError(
                f"no space left for the store at {folder} ({free:.1f} GiB free)",
                "Free some space, or choose another data directory, and run this again: "
                "finished images are kept.",
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise DataError(
                f"cannot write {folder}: {error.strerror}",
                "Choose a data directory with write permission.",
            ) from error
        if error.filename is None and error.errno is not None:
            raise DataError(f"cannot write {folder}: {error.strerror}") from error
        raise
