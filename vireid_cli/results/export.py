"""Record of an ONNX export: its files with hashes, their origin, and the difference from PyTorch.

The record is written after all files. Its hashes reveal files of different exports, which a killed export can
leave.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vireid_cli import documents, files, reading
from vireid_cli.errors import DataError

_BLOCK = 1 << 20


class ExportRecord(BaseModel):
    """Content of ``onnx-<layout>.json``.

    Attributes:
        version: Version of the record's form.
        identifier: Identifier of the export, also in the metadata of every file under ``export``.
        layout: ``split`` or ``joint``.
        files: SHA-256 by file name.
        metadata: Recipe, method, dataset, epochs and commit.
        largest_difference: Largest absolute difference of an embedding's component from PyTorch.
        images: Number of compared sample images.
        opset: Version of the operator set.
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
    """Path of the record of an export."""
    return folder / f"onnx-{layout}.json"


def records_in(folder: Path) -> list[Path]:
    """List the records of all exports in a folder."""
    return sorted(folder.glob("onnx-*.json"))


def write_record(folder: Path, record: ExportRecord) -> Path:
    """Write the record of an export. Raises ``DataError`` if it can't be written."""
    return files.write_sealed(record_path(folder, record.layout), record.model_dump())


def read_export(path: Path) -> ExportRecord:
    """Read a record and compare its files with their hashes.

    Raises:
        DataError: The record is damaged, or a file is missing or belongs to another export.
    """
    hint = "Export again: vireid export onnx"
    try:
        content = files.read_json(path, hint)
        record = ExportRecord.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: {key}: {first['msg']}.", hint) from error
    for name, digest in record.files.items():
        if Path(name).name != name:
            raise DataError(f"{path}: '{name}' is not a file name.", hint)
        if file_hash(path.parent / name, hint) != digest:
            raise DataError(f"{path.parent / name} does not match its hash in {path.name}.", hint)
    documents.check_seal(content, str(path), hint=hint)
    return record


def hashes_of(paths: Sequence[Path]) -> dict[str, str]:
    """Compute the SHA-256 of each file, by file name."""
    return {path.name: file_hash(path) for path in paths}


def file_hash(path: Path, hint: str = "") -> str:
    """Compute the SHA-256 of a file. Raises ``DataError`` if it can't be read."""
    total = hashlib.sha256()
    with reading.open_regular(path, hint=hint) as file:
        while block := file.read(_BLOCK):
            total.update(block)
    return total.hexdigest()
