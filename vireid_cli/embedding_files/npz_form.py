"""Files of embeddings as ``.npz``: one array per column, which ``numpy.load`` reads without pickle.

The archive has the arrays ``path modality camid pid time embedding`` and ``origin`` (JSON text); a further
column ``c`` is the array ``column.c``. Text is compressed, embeddings are not. The embeddings are written one
block at a time, and the archive has no time stamps: equal content gives equal bytes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from vireid_cli import reading
from vireid_cli.array_files import load_arrays
from vireid_cli.embedding_files.blocks import counted
from vireid_cli.embedding_files.origin import HINT, EmbeddingOrigin, parse
from vireid_cli.embedding_files.rows import NAMES, ImageRows
from vireid_cli.errors import DataError
from vireid_cli.files import write_with
from vireid_cli.modality import Modality

ORIGIN = "origin"
COLUMN = "column."
TEXT_LIMIT = 2 * reading.GIB
"""Largest size of a column of text in bytes; NumPy pads every text to the longest one."""

_LEVEL = 1  # of compression: padded text shrinks to a few percent at any level


def refuse_long_text(path: Path, rows: ImageRows) -> None:
    """Refuse paths or texts that an ``.npz`` file would pad to more than ``TEXT_LIMIT``.

    Raises:
        DataError: A column is too large; the message names it.
    """
    texts = {"path": rows.paths, "time": rows.times}
    texts |= {name: column for name, column in rows.columns.items() if column.dtype.kind == "U"}
    for name, column in texts.items():
        if column.nbytes > TEXT_LIMIT:
            raise DataError(
                f"{path}: the column '{name}' of {len(column):,} texts with up to "
                f"{column.dtype.itemsize // 4:,} characters needs {reading.size_text(column.nbytes)}; the "
                f"limit of an .npz file is {reading.size_text(TEXT_LIMIT)}.",
                "Write a .parquet file, which does not pad texts.",
            )


def write(path: Path, origin: EmbeddingOrigin, rows: ImageRows, blocks: Iterable[np.ndarray]) -> Path:
    """Write a file; see ``write_embeddings``."""
    refuse_long_text(path, rows)
    names = np.array([modality.value for modality in Modality])
    columns = {
        ORIGIN: np.array(origin.text(rows.kinds)),
        "path": rows.paths,
        "modality": names[rows.modalities],
        "camid": rows.camids.astype(np.int64),
        "pid": rows.pids.astype(np.int64),
        "time": rows.times,
        **{f"{COLUMN}{name}": column for name, column in rows.columns.items()},
    }

    def fill(file: IO[bytes]) -> None:
        """Write all columns, embeddings last."""
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
            for name, column in columns.items():
                with archive.open(_member(name, zipfile.ZIP_DEFLATED), "w", force_zip64=True) as member:
                    npy.write_array(member, np.asarray(column, order="C"), version=(1, 0), allow_pickle=False)
            with archive.open(_member("embedding", zipfile.ZIP_STORED), "w", force_zip64=True) as member:
                shape = (len(rows), origin.dimension)
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                npy.write_array_header_1_0(member, header)
                for block in counted(blocks, shape):
                    member.write(block.astype("<f4", copy=False).data)

    return write_with(path, fill)


def _member(name: str, compression: int) -> zipfile.ZipInfo:
    """Entry of an array in the archive, with the same date in every file."""
    member = zipfile.ZipInfo(f"{name}.npy")
    member.compress_type = compression
    return member


def is_embeddings(path: Path) -> bool:
    """Whether an archive has the arrays of a file of embeddings; false for any other file."""
    return {f"{ORIGIN}.npy", "embedding.npy"} <= reading.names_in_archive(path)


def read_origin(path: Path) -> EmbeddingOrigin:
    """Read the origin alone; see ``embedding_files.read_origin``."""
    return _origin(path)[0]


def _origin(path: Path) -> tuple[EmbeddingOrigin, dict[str, str], tuple[str, ...]]:
    arrays, names = load_arrays(path, (ORIGIN,), hint=HINT)
    lacking = [name for name in (ORIGIN, *NAMES) if name not in names]
    if lacking:
        raise DataError(f"{path} is no file of embeddings: it lacks {', '.join(lacking)}.", HINT)
    text = arrays[ORIGIN]
    if text.shape != () or text.dtype.kind != "U":
        raise DataError(f"{path}: array '{ORIGIN}' is {text.dtype} of shape {text.shape}, not a text.", HINT)
    return (*parse(str(text), str(path)), names)


def read(path: Path) -> tuple[EmbeddingOrigin, ImageRows, np.ndarray]:
    """Read the columns of a file without checking their values; see ``read_embeddings``.

    Raises:
        DataError: The file is damaged or lacks a column, or a column has another kind.
    """
    origin, kinds, names = _origin(path)
    wanted = [*NAMES, *(f"{COLUMN}{name}" for name in kinds)]
    lacking = [name for name in wanted if name not in names]
    if lacking:
        raise DataError(f"{path} lacks the arrays {', '.join(lacking)}.", HINT)
    arrays, _ = load_arrays(path, wanted, hint=HINT)
    columns = {name: arrays[f"{COLUMN}{name}"] for name in kinds}
    modalities = _codes(arrays["modality"], path)
    rows = ImageRows(arrays["path"], modalities, arrays["camid"], arrays["pid"], arrays["time"], columns)
    if not rows.problem() and rows.kinds != kinds:
        raise DataError(f"{path}: the kinds of the columns differ from those in '{ORIGIN}'.", HINT)
    return origin, rows, arrays["embedding"]


def _codes(names: np.ndarray, path: Path) -> np.ndarray:
    """Convert the texts of modalities to codes; 2 for any other text."""
    if names.ndim != 1 or names.dtype.kind != "U":
        raise DataError(f"{path}: array 'modality' is {names.dtype} of shape {names.shape}.", HINT)
    codes = np.full(len(names), 2, np.uint8)
    for modality in Modality:
        codes[names == modality.value] = modality.code
    return codes
