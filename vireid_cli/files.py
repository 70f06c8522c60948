"""Atomic file writes: after a kill at any moment the path has its old content or its new content.

Temporary file in the same folder → flush → fsync → rename. The next process that writes into the folder
removes the temporary files of killed processes; see ``unfinished``.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from vireid_cli import documents, reading
from vireid_cli.errors import DataError
from vireid_cli.printable import shell_line
from vireid_cli.unfinished import remove_unfinished, unfinished_file

if TYPE_CHECKING:
    import numpy as np

_OTHER_PATH = "It is unchanged; choose another path."


def expand(path: Path) -> Path:
    """Expand ``~`` and ``~user`` at the beginning of a path; an unknown user is left unexpanded."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def data_folder(given: Path | None = None) -> Path:
    """Return the data directory: ``given``, else ``$VIREID_DATA``, else ``./data``; expands ``~``."""
    return expand(given or Path(os.environ.get("VIREID_DATA") or "data"))


def data_option(data_dir: Path) -> str:
    """Return `` --data DIR`` for a printed command; empty for the default data directory."""
    return "" if data_dir == data_folder() else f" --data {shell_line([str(data_dir)])}"


def write_with(path: Path, write: Callable[[IO[bytes]], None]) -> Path:
    """Write a file atomically by calling ``write(file)``; creates missing parent folders.

    Raises:
        DataError: The folder is read-only, the disk is full, the path can't be created, or is a named pipe,
            socket or device.
    """
    refuse_irregular(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_unfinished_once(str(path.parent.absolute()))
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


def refuse_irregular(path: Path) -> None:
    """Refuse a named pipe, socket or device as the target of a write: a rename would replace it by a file.

    Raises:
        DataError: The path, or the target of a link, is one of them.
    """
    if not path.is_dir():
        reading.refuse_irregular(path, hint=_OTHER_PATH)


def open_to_append(path: Path) -> IO[str]:
    """Open a text file for appending; a named pipe would block for ever.

    Raises:
        DataError: The path is a named pipe, socket or device.
        OSError: The file can't be created or opened.
    """
    refuse_irregular(path)
    return path.open("a", encoding="utf-8")


@lru_cache(maxsize=4096)
def remove_unfinished_once(folder: str) -> None:
    """Remove temporary files of killed processes from a folder, once per process."""
    remove_unfinished(Path(folder))


def write_error(path: Path, error: OSError) -> DataError:
    """Convert a system error about writing ``path`` to a ``DataError`` with advice."""
    return DataError(f"cannot write {path}: {error.strerror or error}", _advice(error))


def refuse_unwritable(folder: Path) -> None:
    """Refuse an unwritable folder, before computing a result for it.

    Args:
        folder: Path to check. If it does not exist, its nearest existing parent is checked. Nothing is
            left behind.

    Raises:
        DataError: The folder is read-only, the disk is full, or the path is not a folder.
    """
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise DataError(f"cannot write into {folder}: {error.strerror or error}", _advice(error)) from error


def _advice(error: OSError) -> str:
    """Advice about a failed write; empty for unknown causes."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return "The disk is full: free some space and run this again; earlier content is unchanged."
    if error.errno == errno.EFBIG:
        return "The file exceeds the limit of the shell (ulimit -f) or of the file system: raise the limit."
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "Choose a folder with write permission; earlier content is unchanged."
    return ""


def write_bytes(path: Path, content: bytes) -> Path:
    """Write bytes atomically; raises as ``write_with``."""
    return write_with(path, lambda file: _write_all(file, content))


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text atomically; raises as ``write_with``.

    Lone surrogates, Python's form of undecodable bytes in paths, are written as the original bytes.
    """
    return write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: Path, content: Any) -> Path:
    """Write indented JSON atomically; raises as ``write_with``."""
    return write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_sealed(path: Path, content: Mapping[str, Any]) -> Path:
    """Write indented JSON with the hash over its content; raises as ``write_with``."""
    return write_json(path, documents.sealed(content))


def write_npz(path: Path, compress: bool = True, /, **arrays: np.ndarray) -> Path:
    """Write an ``.npz`` file atomically; it loads with ``allow_pickle=False``.

    Args:
        path: Path of the file.
        compress: Whether to compress. Not worthwhile for embeddings: 7 % smaller, at 20 MB/s.
        **arrays: Arrays by name.
    """
    import numpy as np  # heavy: the command line imports this module at start-up

    save = np.savez_compressed if compress else np.savez
    return write_with(path, lambda file: save(file, **arrays))  # type: ignore[arg-type]


def read_json(path: Path, hint: str = "") -> Any:
    """Read a JSON file.

    Args:
        path: Path of the file.
        hint: Advice for errors.

    Raises:
        DataError: The file is missing or not JSON.
    """
    return documents.read_json(path, hint=hint)


def read_mapping(path: Path, needed: Collection[str], hint: str) -> dict[str, Any]:
    """Read a JSON mapping with required keys.

    Args:
        path: Path of the file.
        needed: Required keys; others are allowed.
        hint: Advice for errors.

    Raises:
        DataError: The file is missing, not a JSON mapping, or lacks a key.
    """
    content = read_json(path, hint)
    if not isinstance(content, dict):
        raise DataError(f"{path} is not of the form that vireid writes.", hint)
    lacking = [key for key in needed if key not in content]
    if lacking:
        raise DataError(f"{path} lacks {', '.join(lacking)}.", hint)
    return content


def _write_all(file: IO[bytes], content: bytes) -> None:
    file.write(content)
