"""Files of embeddings: round trip, independent readers, and refusal of damaged or edited files."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vireid_cli.data.resize import PILLOW, pillow_warning
from vireid_cli.embedding_files import parquet_form, read_embeddings, read_origin, write_embeddings
from vireid_cli.embedding_files.origin import EmbeddingOrigin, fingerprint_differences, refuse_other_model
from vireid_cli.embedding_files.rows import UNKNOWN, ImageRows, parse_time, typed_column
from vireid_cli.errors import DataError, MissingExtra, UsageError

MODEL = {
    "weights_sha256": "ab" * 32,
    "size": "64x32",
    "resize": "lanczos",
    "decoder": {"upright": False},
    "embedding": "5 float32, unit length",
    "method": "baseline",
}
ORIGIN = EmbeddingOrigin(MODEL, 5, "auto", 2.5, "/images", "cd" * 32, (("broken.jpg", "not an image"),))
ENDINGS = ("npz", "parquet")
TIME = "2026-11-01T17:30:00.000000"


def image_rows(count: int = 7) -> ImageRows:
    index = np.arange(count)
    return ImageRows(
        np.array([f"cam{i % 3}/ß {i}.jpg" for i in index], dtype=np.str_),
        (index % 2).astype(np.uint8),
        np.where(index % 3 == 0, UNKNOWN, index),
        np.where(index % 2 == 0, UNKNOWN, index * 10**12),
        np.array([TIME if i % 2 else "" for i in index], dtype=np.str_),
        {
            "track": index,  # not in alphabetical order
            "note": np.array(["", "a,b", *["x"] * (count - 2)], dtype=np.str_),
            "score": np.where(index == 1, np.nan, index / 4),
        },
    )


def embeddings(count: int = 7) -> np.ndarray:
    values = np.random.default_rng(1).normal(size=(count, 5))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def write(path: Path, count: int = 7, block: int = 3) -> Path:
    blocks = (embeddings(count)[i : i + block] for i in range(0, count, block))
    return write_embeddings(path, ORIGIN, image_rows(count), blocks)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_is_read_as_it_was_written(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"e.{ending}")
    content = read_embeddings(path)
    rows = image_rows()
    for name in ("paths", "modalities", "camids", "pids", "times"):
        np.testing.assert_array_equal(getattr(content.rows, name), getattr(rows, name))
    assert content.rows.kinds == {"note": "text", "score": "float", "track": "int"}
    assert list(content.rows.columns) == ["track", "note", "score"]
    for name, column in rows.columns.items():
        np.testing.assert_array_equal(content.rows.columns[name], column)
    np.testing.assert_array_equal(content.features, embeddings())
    assert content.origin == ORIGIN == read_origin(path)
    assert content.image(1) == Path("/images/cam1/ß 1.jpg")


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_division_into_blocks_does_not_change_a_byte(ending: str, tmp_path: Path) -> None:
    files = [write(tmp_path / f"{block}.{ending}", block=block).read_bytes() for block in (1, 3, 7)]
    assert files[0] == files[1] == files[2]


def test_row_groups_hold_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_form, "GROUP", 4)
    content = read_embeddings(write(tmp_path / "e.parquet", count=11, block=3))
    np.testing.assert_array_equal(content.features, embeddings(11))


def test_numpy_reads_the_archive(tmp_path: Path) -> None:
    with np.load(write(tmp_path / "e.npz"), allow_pickle=False) as arrays:
        assert arrays["modality"].tolist()[:2] == ["visible", "infrared"]
        np.testing.assert_array_equal(arrays["embedding"], embeddings())
        assert json.loads(str(arrays["origin"]))["fingerprint"] == MODEL


def test_pyarrow_reads_the_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write(tmp_path / "e.parquet")).to_pylist()
    assert table[0]["camid"] is None
    assert table[1]["camid"] == 1
    assert table[1]["time"].isoformat() == "2026-11-01T17:30:00"
    assert table[1]["score"] is None
    np.testing.assert_allclose(table[2]["embedding"], embeddings()[2])


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_wrong_number_of_rows_leaves_no_file(ending: str, tmp_path: Path) -> None:
    for blocks in ([embeddings(6)], [embeddings(8)], [embeddings(7)[:, :4]]):
        with pytest.raises(ValueError, match="block"):
            write_embeddings(tmp_path / f"e.{ending}", ORIGIN, image_rows(), blocks)
    assert list(tmp_path.iterdir()) == []


def write_unchecked(
    monkeypatch: pytest.MonkeyPatch, path: Path, rows: ImageRows, features: np.ndarray
) -> Path:
    """A file that ``write_embeddings`` refuses, for the reader."""
    with monkeypatch.context() as patch:
        patch.setattr(ImageRows, "problem", lambda rows: "")
        return write_embeddings(path, ORIGIN, rows, [features])


Edit = Callable[[ImageRows, np.ndarray], tuple[ImageRows, np.ndarray]]


def _scaled(rows: ImageRows, features: np.ndarray) -> tuple[ImageRows, np.ndarray]:
    return rows, features * np.where(np.arange(7) == 4, 2, 1)[:, None].astype(np.float32)


def _nan(rows: ImageRows, features: np.ndarray) -> tuple[ImageRows, np.ndarray]:
    return rows, np.where(np.arange(7)[:, None] == 4, np.float32(np.nan), features)


def _time(rows: ImageRows, features: np.ndarray) -> tuple[ImageRows, np.ndarray]:
    return replace(rows, times=np.where(np.arange(7) == 4, "yesterday", rows.times)), features


def _short_time(rows: ImageRows, features: np.ndarray) -> tuple[ImageRows, np.ndarray]:
    return replace(rows, times=np.where(np.arange(7) == 4, "2026-11-01", rows.times)), features


def _pid(rows: ImageRows, features: np.ndarray) -> tuple[ImageRows, np.ndarray]:
    return replace(rows, pids=np.where(np.arange(7) == 4, -2, rows.pids)), features


def _path(rows: ImageRows, features: np.ndarray) -> tuple[ImageRows, np.ndarray]:
    return replace(rows, paths=np.where(np.arange(7) == 4, "", rows.paths)), features


@pytest.mark.parametrize("edit", [_scaled, _nan, _time, _short_time, _pid, _path])
def test_a_wrong_value_is_refused_with_its_row(
    edit: Edit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, features = edit(image_rows(), embeddings())
    path = write_unchecked(monkeypatch, tmp_path / "e.npz", rows, features)
    with pytest.raises(DataError, match=r"e\.npz: row 4"):
        read_embeddings(path)


@pytest.mark.parametrize("name", ["Time", "a b", "1st", "", "x" * 64, "camid"])
def test_names_of_columns_are_checked(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = replace(image_rows(), columns={name: np.arange(7)})
    path = write_unchecked(monkeypatch, tmp_path / "e.npz", rows, embeddings())
    with pytest.raises(DataError, match="column"):
        read_embeddings(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_damaged_file_is_refused(ending: str, tmp_path: Path) -> None:
    whole = write(tmp_path / f"e.{ending}").read_bytes()
    cut = tmp_path / f"cut.{ending}"
    draw = np.random.default_rng(3)
    for end in (0, 3, 100, len(whole) // 2, len(whole) - 1):
        cut.write_bytes(whole[:end])
        with pytest.raises(DataError, match="cut"):
            read_embeddings(cut)
    start = whole.index(embeddings()[0].tobytes())
    for place in draw.integers(start, start + embeddings().nbytes, 20).tolist():
        changed = bytearray(whole)
        changed[place] ^= 0x10
        cut.write_bytes(changed)
        with pytest.raises(DataError):
            read_embeddings(cut)


def test_an_edited_origin_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "e.npz")
    with np.load(path) as arrays:
        content = dict(arrays)
    for old, new in (("lanczos", "bicubic"), ('"version": 1', '"version": 2'), ('"auto"', '"guess"')):
        edited = str(content["origin"]).replace(old, new)
        assert edited != str(content["origin"])
        np.savez(path, **{**content, "origin": np.array(edited)})
        with pytest.raises(DataError, match=r"e\.npz"):
            read_embeddings(path)


def test_other_archives_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", q_feat=np.zeros(3))
    with pytest.raises(DataError, match="no file of embeddings: it lacks origin, path"):
        read_embeddings(tmp_path / "e.npz")
    with zipfile.ZipFile(tmp_path / "z.npz", "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(DataError, match="no file of embeddings"):
        read_embeddings(tmp_path / "z.npz")
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    parquet.write_table(arrow.table({"a": [1]}), tmp_path / "e.parquet")
    with pytest.raises(DataError, match="no file of embeddings: it lacks path"):
        read_embeddings(tmp_path / "e.parquet")


def test_endings_and_missing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"ends in \.npz or \.parquet"):
        read_embeddings(tmp_path / "e.csv")
    with pytest.raises(UsageError, match="does not exist"):
        read_embeddings(tmp_path / "e.npz")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"vireid\[parquet\]"):
        write_embeddings(tmp_path / "e.parquet", ORIGIN, image_rows(), [embeddings()])


def test_models_are_compared_by_what_changes_embeddings() -> None:
    exported = {**MODEL, "method": "ONNX file", "precision": "fp32"}
    assert fingerprint_differences(MODEL, exported) == []
    other = {**MODEL, "size": "96x48", "weights_sha256": "00" * 32}
    with pytest.raises(DataError, match=r"q\.npz has embeddings of another model than index a") as refusal:
        refuse_other_model(MODEL, other, our_name="index a", their_name="q.npz")
    assert "size: 64x32 and 96x48" in str(refusal.value)


def test_times_have_one_form() -> None:
    assert parse_time("") == ""
    assert parse_time("2026-11-01") == "2026-11-01T00:00:00.000000"
    assert parse_time("20261101") == "2026-11-01T00:00:00.000000"
    assert parse_time("2026-11-01T18:30:00+01:00") == TIME
    assert parse_time("1793554200.5") == "2026-11-01T17:30:00.500000"
    for wrong in ("noon", "2026-13-01", "2026-11-01T25:00", "-5", "nan", "999999999999"):
        assert parse_time(wrong) is None


def test_columns_of_numbers_keep_their_text() -> None:
    assert typed_column(["1", "-2"]).dtype == np.int64
    assert typed_column(["0.5", ""]).dtype == np.float64
    assert typed_column(["007", "8"]).tolist() == ["007", "8"]
    assert typed_column(["1", "x"]).tolist() == ["1", "x"]
    assert typed_column(["", ""]).tolist() == ["", ""]
    assert typed_column(["nan", "inf"]).tolist() == ["nan", "inf"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"columns": {"two words": np.arange(7)}}, "two words"),
        ({"columns": {"Path": np.arange(7)}}, "have the same name"),
        ({"columns": {"camid": np.arange(7)}}, "have the same name"),
        ({"columns": {"track": np.arange(6)}}, "track"),
        ({"camids": np.full(7, -2)}, "camid -2 is negative"),
        ({"times": np.array(["yesterday"] * 7)}, "its time"),
        ({"paths": np.array([""] * 7)}, "its path is empty"),
    ],
)
def test_the_writer_refuses_what_the_reader_refuses(
    change: dict[str, Any], words: str, ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"e.{ending}"
    with pytest.raises(DataError, match="can't be written") as caught:
        write_embeddings(path, ORIGIN, replace(image_rows(), **change), [embeddings()])
    assert words in caught.value.message
    assert not path.exists()


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_version_of_pillow_is_kept(ending: str, tmp_path: Path) -> None:
    path = write_embeddings(
        tmp_path / f"e.{ending}", replace(ORIGIN, pillow="12.1.0"), image_rows(), [embeddings()]
    )
    assert read_embeddings(path).origin.pillow == read_origin(path).pillow == "12.1.0"


def test_another_major_version_of_pillow_is_reported() -> None:
    assert "Pillow 12.1.0, not 13.0.0" in pillow_warning("12.1.0", "pixels", "13.0.0")
    assert pillow_warning("12.1.0", "pixels", "12.2.0") == ""
    assert pillow_warning("", "pixels") == pillow_warning(None, "pixels") == ""
    assert pillow_warning(PILLOW, "pixels") == ""
