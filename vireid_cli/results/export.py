"""The record of an export to ONNX: which files belong together, from where, and how near they are to PyTorch.

Files are put in place one by one and the record last. It holds a hash of each, so that files of two exports,
as a killed export leaves them, are noticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vireid_cli import files, reading
from vireid_cli.errors import DataError

_BLOCK = 1 << 20


class ExportRecord(BaseModel):
    """Content of ``onnx-<layout>.json``.

    Attributes:
        version: Of the form.
        identifier: Also in the metadata of every file, under ``export``.
        layout: ``split`` or ``joint``.
        files: Name of each file → SHA-256.
        metadata: Recipe, method, dataset, epochs and commit.
        largest_difference: Largest absolute difference of an embedding's number to PyTorch.
        images: Sample images that were compared.
        opset: Version of the operators.
        nodes: Number of nodes by operator.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    version: Literal[1] = 1
    identifier: str
    layout: Literal["split", "joint"]
    files: dict[str, str]
    metadata: dict[str, str]
    largest_difference: float
    images: int
    opset: int
    nodes: dict[str, int]


def record_path(folder: Path, layout: str) -> Path:
    """Where the record of an export is."""
    return folder / f"onnx-{layout}.json"


def records_in(folder: Path) -> list[Path]:
    """The records of all exports in a folder."""
    return sorted(folder.glob("onnx-*.json"))


def write_record(folder: Path, record: ExportRecord) -> Path:
    """Write the record of files that are in place. Raises ``DataError`` if it can't be written."""
    return files.write_json(record_path(folder, record.layout), record.model_dump())


def read_export(path: Path) -> ExportRecord:
    """Read a record and check that its files are there, and are the ones that it was written for.

    Raises:
        DataError: The record is damaged, or a file is missing or of another export.
    """
    again = "Export again: vireid export onnx"
    try:
        record = ExportRecord.model_validate(files.read_json(path, again))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: {where}: {first['msg']}.", again) from error
    for name, digest in record.files.items():
        if Path(name).name != name:
            raise DataError(f"{path}: '{name}' is no file name.", again)
        if file_hash(path.parent / name, again) != digest:
            raise DataError(f"{path.parent / name} is not the file that {path.name} was written for.", again)
    return record


def hashes_of(paths: Sequence[Path]) -> dict[str, str]:
    """Name of each file → SHA-256."""
    return {path.name: file_hash(path) for path in paths}


def file_hash(path: Path, hint: str = "") -> str:
    """SHA-256 of a file. Raises ``DataError`` if it can't be read."""
    total = hashlib.sha256()
    with reading.open_regular(path, hint=hint) as file:
        while block := file.read(_BLOCK):
            total.update(block)
    return total.hexdigest()
