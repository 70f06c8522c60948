"""Indexes by name: ``<data>/indexes/NAME``, or any folder."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from vireid_cli.errors import UsageError
from vireid_cli.files import expand
from vireid_cli.search.contract import AnyIndex
from vireid_cli.search.database import RECORDS
from vireid_cli.search.index import Index
from vireid_cli.search.qdrant_collection import POINTER
from vireid_cli.search.qdrant_index import QdrantIndex

_NAME = re.compile(r"\w[\w.-]{0,99}")


def indexes_dir(data_dir: Path) -> Path:
    """Folder of the indexes of a data directory."""
    return data_dir / "indexes"


def index_folder(name: str | Path, data_dir: Path) -> Path:
    """Return the folder of an index, which need not exist.

    Args:
        name: Name in ``indexes_dir``, or a path with a slash.
        data_dir: Data directory.

    Raises:
        UsageError: The name has other characters than letters, digits, ``_``, ``-`` and ``.``.
    """
    text = str(name)
    if "/" in text or "\\" in text:
        return expand(Path(text))
    if not _NAME.fullmatch(text):
        raise UsageError(
            f"an index can't be named '{text}'.",
            "Use letters, digits, _, - and . (not first), or a path with a slash.",
        )
    return indexes_dir(data_dir) / text


def list_indexes(data_dir: Path) -> list[str]:
    """Names of the indexes of a data directory, sorted."""
    folder = indexes_dir(data_dir)
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if _is_index(path) and _NAME.fullmatch(path.name))


def open_index(name: str | Path, data_dir: Path) -> AnyIndex:
    """Open an index.

    Args:
        name: Name in ``indexes_dir``, or a path with a slash.
        data_dir: Data directory.

    Raises:
        UsageError: There is no such index; the hint names the nearest one.
        DataError: The index is damaged, or its server can't be reached.
    """
    folder = index_folder(name, data_dir)
    if not _is_index(folder):
        names = list_indexes(data_dir)
        close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
        nearest = f"Nearest: {close[0]}. " if close else ""
        available = f"Indexes: {', '.join(names)}." if names else "Create one: vireid index create NAME"
        raise UsageError(f"there is no index '{name}' ({folder}).", nearest + available)
    return QdrantIndex(folder) if (folder / POINTER).is_file() else Index(folder)


def _is_index(folder: Path) -> bool:
    """Whether a folder has an index."""
    return (folder / RECORDS).is_file() or (folder / POINTER).is_file()
