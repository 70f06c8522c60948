"""Atomic file writes: a kill at any moment leaves the old file or the new one, never a half.

Temporary file in the same folder → flush → fsync → rename. What a kill leaves there is removed by the next
process that writes into the folder; see ``unfinished``.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from vireid_cli import documents
from vireid_cli.errors import DataError
from vireid_cli.unfinished import remove_unfinished, unfinished_file


def expand(path: Path) -> Path:
    """Replace ``~`` and ``~user`` at the beginning; a user whom the system does not know stays as written."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def write_with(path: Path, write: Callable[[IO[bytes]], None]) -> Path:
    """Write ``path`` through ``write(file)``, atomically; parent folders are made.

    Raises:
        DataError: The folder is read-only, the disk is full, or the path can't be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(str(path.parent.absolute()))
        with unfinished_file(path) as (handle, temporary):
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
    except OSError as error:
        raise write_error(path, error) from error
    return path


@lru_cache(maxsize=4096)
def _sweep_once(folder: str) -> None:
    """Remove the litter of killed processes from a folder, at this process's first write there."""
    remove_unfinished(Path(folder))


def write_error(path: Path, error: OSError) -> DataError:
    """Return the error for people of a file or a folder that can't be written."""
    return DataError(f"cannot write {path}: {error.strerror or error}", _advice(error))


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder that can't be written into, before the work whose result would go there.

    Args:
        folder: It need not exist yet; the nearest folder above it that does is tried then. Nothing stays.

    Raises:
        DataError: The folder is read-only, the disk is full, or what stands there is no folder.
    """
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise DataError(f"cannot write into {folder}: {error.strerror or error}", _advice(error)) from error


def _advice(error: OSError) -> str:
    """What to do about a file that can't be written."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return "The disk is full: free some space and run this again; what stood there before is unchanged."
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "Choose a place that you may write to; what stood there before is unchanged."
    return ""


def write_bytes(path: Path, content: bytes) -> Path:
    """Write bytes atomically. Raises ``DataError`` where it can't."""
    return write_with(path, lambda file: _all(file, content))


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text atomically. Raises ``DataError`` where it can't.

    Bytes of a path that the locale could not read, Python's surrogates, are written as they were.
    """
    return write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: Path, content: Any) -> Path:
    """Write indented JSON atomically. Raises ``DataError`` where it can't."""
    return write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_npz(path: Path, compress: bool = True, /, **arrays: np.ndarray) -> Path:
    """Write an ``.npz`` atomically; loads with ``allow_pickle=False``.

    Args:
        path: The file.
        compress: Embeddings give way by 7 % only, at 20 MB a second: they are better left as they are.
        **arrays: By their names.
    """
    save = np.savez_compressed if compress else np.savez
    return write_with(path, lambda file: save(file, **arrays))  # type: ignore[arg-type]


def read_json(path: Path, hint: str = "") -> Any:
    """The content of a JSON file.

    Args:
        path: The file.
        hint: What to do where it can't be read.

    Raises:
        DataError: The file is missing or is not JSON.
    """
    return documents.read_json(path, hint=hint)


def read_mapping(path: Path, needed: Collection[str], hint: str) -> dict[str, Any]:
    """The content of a JSON file that holds these keys at least.

    Args:
        path: The file.
        needed: Keys.
        hint: What to do where it can't be read or lacks one.

    Raises:
        DataError: The file is missing, is not JSON, or is of another form.
    """
    content = read_json(path, hint)
    if not isinstance(content, dict):
        raise DataError(f"{path} is not of the form that vireid writes.", hint)
    lacking = [key for key in needed if key not in content]
    if lacking:
        raise DataError(f"{path} lacks {', '.join(lacking)}.", hint)
    return content


def _all(file: IO[bytes], content: bytes) -> None:
    file.write(content)
