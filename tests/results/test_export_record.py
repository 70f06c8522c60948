"""The record of an export names its files, and readers notice one that is not of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vireid_cli.errors import DataError
from vireid_cli.results.export import ExportRecord, hashes_of, read_export, records_in, write_record


@pytest.fixture
def record(tmp_path: Path) -> Path:
    paths = [tmp_path / name for name in ("visible.onnx", "infrared.onnx")]
    for path in paths:
        path.write_bytes(path.name.encode())
    content = ExportRecord(
        identifier="a",
        layout="split",
        files=hashes_of(paths),
        metadata={"recipe": "x"},
        largest_difference=1e-7,
        images=16,
        opset=18,
        nodes={"Conv": 2},
    )
    return write_record(tmp_path, content)


def test_round_trip(record: Path) -> None:
    result = read_export(record)
    assert list(result.files) == ["visible.onnx", "infrared.onnx"]
    assert result.layout == "split"
    assert records_in(record.parent) == [record]


def test_a_file_of_another_export_is_noticed(record: Path) -> None:
    (record.parent / "infrared.onnx").write_bytes(b"another")
    with pytest.raises(DataError, match=r"infrared\.onnx does not match its hash") as caught:
        read_export(record)
    assert "vireid export onnx" in caught.value.hint
    (record.parent / "infrared.onnx").unlink()
    with pytest.raises(DataError, match="does not exist"):
        read_export(record)


def test_a_changed_number_of_the_record_is_noticed(record: Path) -> None:
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "opset": content["opset"] + 1}))
    with pytest.raises(DataError, match="does not match its hash"):
        read_export(record)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"files": {"../x": "0"}}, "not a file name"),
        ({"files": []}, "files"),
        ({"layout": "both"}, "layout"),
        ({"version": 2}, "version"),
        ({"opset": "18"}, "opset"),
    ],
)
def test_a_damaged_record_is_named(record: Path, change: dict[str, object], words: str) -> None:
    record.write_text(json.dumps({**json.loads(record.read_text()), **change}))
    with pytest.raises(DataError, match=words):
        read_export(record)
