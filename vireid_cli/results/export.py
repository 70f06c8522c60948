"""Record of an export: its files with hashes, their origin, and the difference from PyTorch.

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
from vireid_cli.counts import counted
from vireid_cli.errors import DataError

_BLOCK = 1 << 20

ExportFormat = Literal["onnx", "torch", "aoti", "openvino"]
ExportPrecision = Literal["fp32", "fp16", "int8"]

PATTERNS = ("onnx-*.json", "torch-*.json", "aoti-*.json", "openvino-*.json")
"""Patterns of the file names of records."""


class AccuracyChange(BaseModel):
    """Retrieval metrics in [0, 1] of PyTorch and of an exported file.

    Attributes:
        split: Split of the identities.
        identities: Number of identities.
        images: Number of images.
        rank1, rank1_before: Rank-1 of the file, and of PyTorch.
        mAP, mAP_before: mAP of the file, and of PyTorch.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    split: str
    identities: int
    images: int
    rank1: float
    rank1_before: float
    mAP: float
    mAP_before: float

    @property
    def loss(self) -> float:
        """Larger one of the losses of Rank-1 and mAP, in percentage points; negative for gains."""
        return 100.0 * max(self.rank1_before - self.rank1, self.mAP_before - self.mAP)

    def describe(self) -> str:
        """Describe both metrics on one line, in percent."""
        pairs = (("Rank-1", self.rank1_before, self.rank1), ("mAP", self.mAP_before, self.mAP))
        texts = [f"{name} {100 * before:.2f} → {100 * after:.2f} %" for name, before, after in pairs]
        return (
            f"{', '.join(texts)} ({self.identities} {self.split} identities, {counted(self.images, 'image')})"
        )


class ExportRecord(BaseModel):
    """Content of the record of an export, such as ``onnx-split.json``.

    Attributes:
        version: Version of the record's form.
        identifier: Identifier of the export, also in the metadata of every file under ``export``.
        format: Format of the files.
        precision: Precision of the weights.
        layout: ``single``, ``split`` or ``joint``; see ``exporters.program``.
        any_size: Whether the files take images of any size.
        files: SHA-256 by file name.
        metadata: Recipe, method, dataset, epochs and commit.
        largest_difference: Largest absolute difference of an embedding's component from PyTorch.
        images: Number of compared sample images.
        opset: Version of the operator set; 0 for other formats than ONNX.
        nodes: Number of nodes by operator; empty for other formats than ONNX.
        accuracy: Metrics before and after quantisation; None: not measured.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    version: Literal[1] = 1
    identifier: str
    format: ExportFormat = "onnx"
    precision: ExportPrecision = "fp32"
    layout: Literal["single", "split", "joint"]
    any_size: bool = False
    files: dict[str, str]
    metadata: dict[str, str]
    largest_difference: float
    images: int
    opset: int = 0
    nodes: dict[str, int] = {}
    accuracy: AccuracyChange | None = None

    @property
    def name(self) -> str:
        """Name of the record's file without ending: format, layout and options."""
        size = ["any-size"] if self.any_size else []
        precision = [] if self.precision == "fp32" else [self.precision]
        return "-".join([self.format, self.layout, *size, *precision])


def records_in(folder: Path) -> list[Path]:
    """List the records of all exports in a folder."""
    return sorted(path for pattern in PATTERNS for path in folder.glob(pattern))


def write_record(folder: Path, record: ExportRecord) -> Path:
    """Write the record of an export. Raises ``DataError`` if it can't be written."""
    return files.write_sealed(folder / f"{record.name}.json", record.model_dump())


def read_export(path: Path) -> ExportRecord:
    """Read a record and compare its files with their hashes.

    Raises:
        DataError: The record is damaged, or a file is missing or belongs to another export.
    """
    kind = path.name.partition("-")[0]
    hint = f"Export again: vireid export {'torch --aoti' if kind == 'aoti' else kind}"
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
