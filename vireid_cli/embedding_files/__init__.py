"""Files of embeddings, ``.npz`` or ``.parquet``: one row per image, and the fingerprint of the model.

``vireid embed`` writes them, indexes and queries read them. The package imports no torch. ``docs/embed.md``
describes the columns; both formats have the same ones. Nothing is unpickled, and every value is checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vireid_cli.embedding_files import npz_form, parquet_form
from vireid_cli.embedding_files.file import EmbeddingFile
from vireid_cli.embedding_files.origin import EmbeddingOrigin
from vireid_cli.embedding_files.rows import ImageRows
from vireid_cli.errors import DataError, UsageError

__all__ = [
    "ENDINGS",
    "is_embeddings",
    "read_embeddings",
    "read_origin",
    "refuse_long_text",
    "refuse_other_ending",
    "write_embeddings",
]

ENDINGS = (".npz", ".parquet")
"""Extensions of files of embeddings; the extension selects the format."""


def refuse_other_ending(path: Path, option: str = "") -> None:
    """Refuse a path with another extension than those of ``ENDINGS``.

    Args:
        path: Path of a file of embeddings.
        option: Option with the path, for the message.

    Raises:
        UsageError: The extension is another one, or ``.parquet`` while pyarrow is not installed.
    """
    if path.suffix.lower() not in ENDINGS:
        place = f"{option} {path}".strip()
        raise UsageError(f"{place}: a file of embeddings ends in {' or '.join(ENDINGS)}.")
    if path.suffix.lower() == ".parquet":
        parquet_form.require_pyarrow()


def refuse_long_text(path: Path, rows: ImageRows) -> None:
    """Refuse paths or texts that are too long for an ``.npz`` file, before anything is computed.

    Raises:
        DataError: A column is too large; the message names it.
    """
    if path.suffix.lower() == ".npz":
        npz_form.refuse_long_text(path, rows)


def read_embeddings(path: Path) -> EmbeddingFile:
    """Read and check a file of embeddings.

    Raises:
        UsageError: The file does not exist or has another extension.
        MissingExtra: A ``.parquet`` file, and pyarrow is not installed.
        DataError: The file is damaged, lacks a column, or a value is outside of its range.
    """
    _refuse_missing(path)
    if path.suffix.lower() == ".parquet":
        return EmbeddingFile(path, *parquet_form.read(path)).checked()
    return EmbeddingFile(path, *npz_form.read(path)).checked()


def read_origin(path: Path) -> EmbeddingOrigin:
    """Read the origin of a file of embeddings, without its rows; raises as ``read_embeddings``."""
    _refuse_missing(path)
    return parquet_form.read_origin(path) if path.suffix.lower() == ".parquet" else npz_form.read_origin(path)


def write_embeddings(
    path: Path, origin: EmbeddingOrigin, rows: ImageRows, blocks: Iterable[np.ndarray]
) -> Path:
    """Write a file of embeddings atomically; equal arguments give equal bytes.

    Args:
        path: Path of the file; its extension selects the format.
        origin: Model and rules that computed the embeddings.
        rows: The N images.
        blocks: Embeddings of consecutive images, (n, D) float32 each, N rows in total. One block at a time
            is in memory.

    Raises:
        UsageError: The extension is another one.
        MissingExtra: A ``.parquet`` file, and pyarrow is not installed.
        DataError: The file can't be written, a row or the name of a column would be refused by
            ``read_embeddings``, or the paths are too long for an ``.npz`` file.
        ValueError: The blocks do not have N rows of ``origin.dimension`` columns.
    """
    refuse_other_ending(path)
    if problem := rows.problem():
        raise DataError(f"{path} can't be written: {problem}.", "Correct this row or column.")
    form = parquet_form if path.suffix.lower() == ".parquet" else npz_form
    return form.write(path, origin, rows, blocks)


def is_embeddings(path: Path) -> bool:
    """Whether a file has the form of a file of embeddings, by its extension and the names of its arrays."""
    return path.suffix.lower() == ".parquet" or npz_form.is_embeddings(path)


def _refuse_missing(path: Path) -> None:
    refuse_other_ending(path)
    if not path.exists():
        raise UsageError(
            f"{path} does not exist.", "Create it: vireid embed RUN --images FOLDER --out FILE.npz"
        )
