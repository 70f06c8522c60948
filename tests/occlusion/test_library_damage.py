"""Damage to a library of occluders is noticed, in its pictures and in its index."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vireid_cli.errors import DataError
from vireid_cli.occlusion import library
from vireid_cli.occlusion.library import INDEX, read_library, record_of, write_library


def things(names: str = "ab") -> list[tuple[library.Occluder, np.ndarray]]:
    pixels = np.random.default_rng(0).integers(0, 255, (12, 9, 4), dtype=np.uint8)
    return [(record_of(name, f"{name}.jpg", "bicycle"), pixels) for name in names]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_library(tmp_path / "library", "test", things())
    return tmp_path / "library"


def test_any_changed_value_of_the_index_is_noticed(folder: Path) -> None:
    whole = json.loads((folder / INDEX).read_text())
    assert read_library(folder).sealed
    for row, changes in ((0, {"size": "S"}), (1, {"pool": "train"}), (0, {"source": "c.jpg"})):
        content = json.loads(json.dumps(whole))
        content["occluders"][row].update(changes)
        if content == whole:
            continue
        (folder / INDEX).write_text(json.dumps(content))
        with pytest.raises(DataError, match="does not match its hash"):
            read_library(folder)
    (folder / INDEX).write_text(json.dumps({**whole, "occluders": whole["occluders"][:1]}))
    with pytest.raises(DataError, match="does not match its hash"):
        read_library(folder)


def test_a_library_of_an_earlier_version_is_read(folder: Path) -> None:
    content = json.loads((folder / INDEX).read_text())
    former = read_library(folder).sha256
    del content["sha256"]
    (folder / INDEX).write_text(json.dumps(content))
    kept = read_library(folder)
    assert not kept.sealed
    assert kept.sha256 == former


def test_a_changed_picture_is_noticed(folder: Path) -> None:
    picture = bytearray((folder / "a.png").read_bytes())
    picture[-20] ^= 1
    (folder / "a.png").write_bytes(picture)
    with pytest.raises(DataError, match=r"a\.png"):
        read_library(folder)


def test_others_read_a_library_that_is_written_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, write, read = read_library(folder).sha256, library.write_bytes, []

    def reading(path: Path, data: bytes) -> Path:
        read.append(read_library(folder).sha256)
        return write(path, data)

    monkeypatch.setattr(library, "write_bytes", reading)
    write_library(folder, "test", things())
    assert read == [before] * 2
    monkeypatch.setattr(library, "write_bytes", write)
    (folder / "a.png").write_bytes(b"damaged")
    assert write_library(folder, "test", things()).sha256 == before
    assert write_library(folder, "test", things("abc")).sha256 != before
