"""Files of embeddings as Apache Parquet, for files of millions of rows and for other programs.

The columns are ``path``, ``modality``, ``camid``, ``pid``, ``time`` and ``embedding`` (a list of D float32),
then the further columns under their names. Unknown values are null. The metadata key ``vireid`` contains the
origin as JSON. Requires pyarrow, the extra ``parquet``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from vireid_cli import reading
from vireid_cli.embedding_files.blocks import counted
from vireid_cli.embedding_files.origin import HINT, EmbeddingOrigin, parse
from vireid_cli.embedding_files.rows import NAMES, UNKNOWN, ImageRows
from vireid_cli.errors import DataError, MissingExtra
from vireid_cli.files import write_with
from vireid_cli.modality import Modality

ORIGIN = b"vireid"
GROUP = 16_384
"""Rows of a row group: with 512 columns, 32 MiB of embeddings."""


def require_pyarrow() -> Any:
    """Return the module ``pyarrow``.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet", "A .parquet file") from error


def write(path: Path, origin: EmbeddingOrigin, rows: ImageRows, blocks: Iterable[np.ndarray]) -> Path:
    """Write a file; see ``write_embeddings``."""
    arrow = require_pyarrow()
    parquet = importlib.import_module("pyarrow.parquet")
    schema = _schema(arrow, origin, rows)

    def fill(file: IO[bytes]) -> None:
        """Write the rows in groups."""
        first = 0
        with parquet.ParquetWriter(
            file,
            schema,
            compression={name: "zstd" if name != "embedding" else "none" for name in schema.names},
            use_dictionary=["modality"],
            write_page_checksum=True,
        ) as writer:
            for block in _regroup(counted(blocks, (len(rows), origin.dimension)), GROUP):
                part = rows.take(np.arange(first, first + len(block)))
                writer.write_table(_table(arrow, schema, part, block), row_group_size=GROUP)
                first += len(block)

    return write_with(path, fill)


def _schema(arrow: Any, origin: EmbeddingOrigin, rows: ImageRows) -> Any:
    kinds = {"int": arrow.int64(), "float": arrow.float64(), "text": arrow.string()}
    fields = [
        arrow.field("path", arrow.string(), nullable=False),
        arrow.field("modality", arrow.string(), nullable=False),
        arrow.field("camid", arrow.int64()),
        arrow.field("pid", arrow.int64()),
        arrow.field("time", arrow.timestamp("us")),
        arrow.field("embedding", arrow.list_(arrow.float32(), origin.dimension), nullable=False),
        *(arrow.field(name, kinds[kind]) for name, kind in rows.kinds.items()),
    ]
    return arrow.schema(fields, metadata={ORIGIN: origin.text(rows.kinds).encode()})


def _table(arrow: Any, schema: Any, rows: ImageRows, block: np.ndarray) -> Any:
    """Table of consecutive rows."""
    names = np.array([modality.value for modality in Modality])
    moments = np.where(rows.times == "", "NaT", rows.times).astype("datetime64[us]")
    flat = arrow.array(np.ascontiguousarray(block).reshape(-1), arrow.float32())
    further = [
        arrow.array(column, mask=np.isnan(column) if column.dtype.kind == "f" else None)
        for column in rows.columns.values()
    ]
    columns = [
        arrow.array(rows.paths.tolist(), arrow.string()),
        arrow.array(names[rows.modalities].tolist(), arrow.string()),
        arrow.array(rows.camids, arrow.int64(), mask=rows.camids == UNKNOWN),
        arrow.array(rows.pids, arrow.int64(), mask=rows.pids == UNKNOWN),
        arrow.array(moments, arrow.timestamp("us"), mask=np.isnat(moments)),
        arrow.FixedSizeListArray.from_arrays(flat, block.shape[1]),
        *further,
    ]
    return arrow.Table.from_arrays(columns, schema=schema)


def _regroup(blocks: Iterable[np.ndarray], size: int) -> Iterable[np.ndarray]:
    """Yield the same rows in blocks of ``size`` rows, the last one shorter."""
    held: list[np.ndarray] = []
    rows = 0
    for block in blocks:
        held.append(block)
        rows += len(block)
        while rows >= size:
            joined = np.concatenate(held)
            yield joined[:size]
            held, rows = [joined[size:]], rows - size
    if rows:
        yield np.concatenate(held)


def read_origin(path: Path) -> EmbeddingOrigin:
    """Read the origin alone; see ``embedding_files.read_origin``."""
    with reading.open_regular(path, hint=HINT) as file:
        return _origin(_open(file, path), path)[0]


def _open(file: IO[bytes], path: Path) -> Any:
    arrow = require_pyarrow()
    parquet = importlib.import_module("pyarrow.parquet")
    try:
        return parquet.ParquetFile(file, page_checksum_verification=True)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path} can't be read as a .parquet file: {_first_line(error)}.", HINT) from error


def _origin(opened: Any, path: Path) -> tuple[EmbeddingOrigin, dict[str, str]]:
    text = (opened.schema_arrow.metadata or {}).get(ORIGIN)
    lacking = [name for name in NAMES if name not in opened.schema_arrow.names]
    if text is None or lacking:
        reason = f"it lacks {', '.join(lacking)}" if lacking else "its metadata has no origin"
        raise DataError(f"{path} is no file of embeddings: {reason}.", HINT)
    return parse(reading.decode(text, str(path), hint=HINT), str(path))


def read(path: Path) -> tuple[EmbeddingOrigin, ImageRows, np.ndarray]:
    """Read the columns of a file without checking their values; see ``read_embeddings``.

    Raises:
        DataError: The file is damaged, or a column is missing or has another type.
    """
    arrow = require_pyarrow()
    with reading.open_regular(path, hint=HINT) as file:
        opened = _open(file, path)
        origin, kinds = _origin(opened, path)
        if lacking := [name for name in kinds if name not in opened.schema_arrow.names]:
            raise DataError(f"{path} lacks the columns {', '.join(lacking)}.", HINT)
        empty = np.empty(0, np.str_)
        numbers = np.empty(0, np.int64)
        expected = _schema(
            arrow, origin, ImageRows(empty, numbers.astype(np.uint8), numbers, numbers, empty, _empty(kinds))
        )
        if not opened.schema_arrow.equals(expected):
            raise DataError(f"{path}: its columns have other types than vireid writes.", HINT)
        features = _allocate(opened.metadata.num_rows, origin.dimension, path)
        parts, first = [], 0
        try:
            for group in range(opened.num_row_groups):
                table = opened.read_row_group(group)
                values = table["embedding"].combine_chunks()
                features[first : first + len(table)] = values.flatten().to_numpy().reshape(len(table), -1)
                parts.append(table.drop_columns(["embedding"]))
                first += len(table)
            table = arrow.concat_tables(parts) if parts else opened.read().drop_columns(["embedding"])
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise DataError(f"{path} can't be read: {_first_line(error)}.", HINT) from error
        rows = _rows(table, kinds)
        if rows.kinds != kinds:
            raise DataError(f"{path}: columns of whole numbers have empty cells.", HINT)
        return origin, rows, features


def _allocate(rows: int, dimension: int, path: Path) -> np.ndarray:
    """Allocate the embeddings of a file after comparing their claimed size with the size of the file."""
    claimed, held = rows * dimension * 4, path.stat().st_size
    if claimed > held:  # embeddings are neither compressed nor encoded
        sizes = f"{reading.size_text(claimed)} of embeddings but has {reading.size_text(held)}"
        raise DataError(f"{path} claims {sizes}.", HINT)
    return np.empty((rows, dimension), np.float32)


def _empty(kinds: dict[str, str]) -> dict[str, np.ndarray]:
    types = {"int": np.int64, "float": np.float64, "text": np.str_}
    return {name: np.empty(0, types[kind]) for name, kind in kinds.items()}


def _rows(table: Any, kinds: dict[str, str]) -> ImageRows:
    """Columns of a table; other texts of modalities become the code 2."""
    codes = {modality.value: modality.code for modality in Modality}
    moments = table["time"].to_numpy()
    times = np.where(np.isnat(moments), "", np.datetime_as_string(moments, unit="us"))
    columns = {}
    for name, kind in kinds.items():
        if kind == "text":
            columns[name] = _texts(table[name])
        else:
            columns[name] = table[name].to_numpy()
    return ImageRows(
        _texts(table["path"]),
        np.array([codes.get(name, 2) for name in table["modality"].to_pylist()], dtype=np.uint8),
        table["camid"].fill_null(UNKNOWN).to_numpy(),
        table["pid"].fill_null(UNKNOWN).to_numpy(),
        times.astype(np.str_),
        columns,
    )


def _texts(column: Any) -> np.ndarray:
    return np.array([text or "" for text in column.to_pylist()], dtype=np.str_)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
