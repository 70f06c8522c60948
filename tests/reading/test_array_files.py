"""Arrays of unknown origin: what an archive or a header claims is checked before memory is taken."""

from __future__ import annotations

import io
import os
import pickle
import struct
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from tests.arrays import save_arrays
from vireid_cli import array_files
from vireid_cli.array_files import load_arrays, map_array
from vireid_cli.data.features import read_features
from vireid_cli.data.stored_trials import read_trials
from vireid_cli.errors import DataError, VireidError
from vireid_cli.results import schema
from vireid_cli.results.arrays import read_arrays


def header(shape: tuple[int, ...], descr: object = "<f8", fortran: bool = False) -> bytes:
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": descr, "fortran_order": fortran, "shape": shape})
    return file.getvalue()


def named_header(text: bytes) -> bytes:
    return npy.magic(1, 0) + struct.pack("<H", len(text) + 1) + text + b"\n"


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def array(value: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


def patched(path: Path, offset: int, value: bytes) -> Path:
    """Change bytes at an offset of the first local header and of the directory's first entry."""
    content = bytearray(path.read_bytes())
    for start, shift in ((content.find(b"PK\x03\x04"), 0), (content.find(b"PK\x01\x02"), 2)):
        content[start + offset + shift : start + offset + shift + len(value)] = value
    path.write_bytes(content)
    return path


def objects() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{}], object), allow_pickle=True)
    return file.getvalue()


WHOLE = array(np.arange(100.0))
MAKE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "it is empty"),
    "text": (lambda p: p.write_text("a,b\n1,2\n"), "does not begin as a zip archive"),
    "single": (lambda p: p.write_bytes(WHOLE), r"single array \(\.npy\)"),
    "pickle": (lambda p: p.write_bytes(pickle.dumps({"q_feat": 1})), "is a pickle, which is never loaded"),
    "cut": (lambda p: p.write_bytes(archive(p, {"a.npy": WHOLE}).read_bytes()[:200]), "can't be read"),
    "objects": (lambda p: archive(p, {"a.npy": objects()}), "array 'a' holds Python objects"),
    "records": (
        lambda p: archive(p, {"a.npy": array(np.zeros(2, [("x", "f4")]))}),
        "expected numbers, booleans or text",
    ),
    "no content": (lambda p: archive(p, {"a.npy": b""}), "array 'a' can't be read"),
    "half a header": (lambda p: archive(p, {"a.npy": WHOLE[:20]}), "array 'a' can't be read"),
    "no array": (lambda p: archive(p, {"a.npy": b"hello world, no array"}), "array 'a' can't be read"),
    "member without npy": (lambda p: archive(p, {"a": WHOLE}), r"array 'a' is not an \.npy member"),
    "twice": (lambda p: archive(p, {"a": WHOLE, "a.npy": WHOLE}), "array 'a' occurs twice"),
    "huge shape": (lambda p: archive(p, {"a.npy": header((1 << 40, 8))}), "claims shape .* but has 0 bytes"),
    "huge side, no content": (lambda p: archive(p, {"a.npy": header((1 << 60, 0))}), "claims shape"),
    "huge text without length": (lambda p: archive(p, {"a.npy": header((1 << 60,), "<U0")}), "claims shape"),
    "negative": (lambda p: archive(p, {"a.npy": header((-1, 8))}), "claims shape"),
    "too many dimensions": (lambda p: archive(p, {"a.npy": header((1,) * 40) + b"0" * 8}), "claims shape"),
    "longer": (lambda p: archive(p, {"a.npy": WHOLE + b"1"}), "claims shape"),
    "cut array": (lambda p: archive(p, {"a.npy": WHOLE[:-8]}), "claims shape"),
    "header of another kind": (
        lambda p: archive(p, {"a.npy": WHOLE[:8] + struct.pack("<H", 8) + b"[1, 2]\n "}),
        "array 'a' can't be read",
    ),
    "header that is a call": (
        lambda p: archive(p, {"a.npy": named_header(b"{'descr': print(1), 'fortran_order': False}")}),
        "array 'a' can't be read: its header is not the type, order and shape that NumPy writes",
    ),
    "long header": (
        lambda p: archive(p, {"a.npy": named_header(b"{'descr': '<f8'," + b" " * 20_000 + b"}")}),
        "array 'a' can't be read: its header is not the type, order and shape that NumPy writes",
    ),
    "nested header": (
        lambda p: archive(p, {"a.npy": WHOLE[:8] + struct.pack("<H", 9000) + b"(" * 9000}),
        "array 'a' can't be read",
    ),
    "version": (lambda p: archive(p, {"a.npy": b"\x93NUMPY\x09\x00" + WHOLE[8:]}), "version|can't be read"),
    "no characters": (
        lambda p: archive(p, {"a.npy": array(np.array([0x7FFFFFFF], "<u4").view("<U1"))}),
        "no characters",
    ),
    "encrypted": (lambda p: patched(archive(p, {"a.npy": WHOLE}), 6, b"\x01\x00"), "is encrypted"),
    "unknown compression": (
        lambda p: patched(archive(p, {"a.npy": WHOLE}), 8, struct.pack("<H", 77)),
        "compressed by method 77",
    ),
    "other compression": (
        lambda p: archive(p, {"a.npy": WHOLE}, zipfile.ZIP_LZMA),
        "compressed by method 14; expected stored or deflated",
    ),
    "damaged compression": (
        lambda p: patched(archive(p, {"a.npy": WHOLE}), 8, struct.pack("<H", 8)),
        "array 'a' can't be read",
    ),
    "checksum": (lambda p: patched(archive(p, {"a.npy": WHOLE}), 14, b"\0\0\0\0"), "array 'a' can't be read"),
    "claimed size": (
        lambda p: patched(archive(p, {"a.npy": WHOLE}), 18, struct.pack("<II", 1 << 31, 1 << 31)),
        r"claims 2\.0 GiB of arrays but has",
    ),
    "bomb": (lambda p: bomb(p), r"claims 4\.0 MiB in .* the limit beyond 2\.0 MiB is a ratio of 200"),
}  # fmt: skip


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("a.npy", "w") as member:
        member.write(header((4 * (1 << 17),)))
        for _ in range(4):
            member.write(bytes(1 << 20))


@pytest.mark.parametrize("name", MAKE)
def test_each_is_refused_by_name_at_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "BOMB_SIZE", 2 << 20)
    make, message = MAKE[name]
    path = tmp_path / "arrays.npz"
    make(path)
    began = time.perf_counter()
    with pytest.raises(DataError, match=message) as caught:
        load_arrays(path, ("a",))
    assert time.perf_counter() - began < 2.0
    assert str(path) in caught.value.message
    assert len(caught.value.message) < 600
    readers: tuple[Callable[[], object], ...] = (
        lambda: read_features(path),
        lambda: read_trials(path),
        lambda: read_arrays(path, {"a": "(N,) float64"}, "vireid evaluate"),
    )
    for read in readers:
        with pytest.raises(VireidError):
            read()


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (lambda p: load_arrays(p, ("a",)), map_array, read_features, read_trials):
        with pytest.raises(VireidError, match="named pipe"):
            read(tmp_path / "pipe")


@pytest.mark.parametrize("compress", [np.savez, np.savez_compressed])
def test_whole_files_are_read_as_numpy_reads_them(compress: Callable[..., None], tmp_path: Path) -> None:
    given_ = {
        "matrix": np.random.default_rng(0).normal(size=(300, 7)).astype(np.float32),
        "fortran": np.asfortranarray(np.arange(12).reshape(3, 4)),
        "big_endian": np.arange(5, dtype=">i4"),
        "text": np.array(["a", "große", ""]),
        "scalar": np.array(3.5),
        "nothing": np.empty((0, 512)),
        "flags": np.array([True, False]),
        "identifier": np.array("abc"),
    }
    path = tmp_path / "arrays.npz"
    compress(path, **given_)
    arrays, names = load_arrays(path, tuple(given_))
    assert set(names) == set(given_)
    with np.load(path) as expected:
        for name in given_:
            np.testing.assert_array_equal(arrays[name], expected[name])
            assert arrays[name].dtype.isnative
            assert arrays[name].shape == expected[name].shape
    assert load_arrays(path, ())[0] == {}


def test_a_large_array_that_compresses_well_is_no_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_files, "_BLOCK", 1000)
    path = tmp_path / "arrays.npz"
    np.savez_compressed(path, camids=np.ones(1 << 18, np.int64))
    assert load_arrays(path, ("camids",))[0]["camids"].sum() == 1 << 18


def test_a_map_is_as_long_as_its_header_claims(tmp_path: Path) -> None:
    path = tmp_path / "pixels.npy"
    np.save(path, np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    np.testing.assert_array_equal(map_array(path), np.arange(24).reshape(2, 3, 4))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="claims shape"):
        map_array(path)
    path.write_bytes(header((1 << 50,)))
    with pytest.raises(DataError, match="claims shape"):
        map_array(path)


RANKING = {
    "query_paths": np.array(["q0", "q1"]), "query_pids": np.arange(2), "query_camids": np.arange(2),
    "gallery_paths": np.array(["g"] * 3), "gallery_pids": np.arange(3), "gallery_camids": np.arange(3),
    "top": np.zeros((2, 10), np.int64), "scores": np.zeros((2, 10), np.float32),
    "average_precision": np.zeros(2), "first_rank": np.zeros(2, np.int64),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("query_pids", np.arange(3), r"'query_pids' .* expected \(Q,\) int64 with Q = 2"),
        ("query_pids", np.zeros(2), "is float64"),
        ("query_paths", np.arange(2), r"expected \(Q,\) unicode"),
        ("top", np.zeros((2, 9), np.int64), r"expected \(Q, 10\) int64"),
        ("top", np.full((2, 10), 3), "'top' has row numbers outside of 'gallery_pids'"),
        ("top", np.full((2, 10), -2), "'top' has row numbers"),
        ("scores", np.zeros((2, 10, 1), np.float32), "shape"),
        ("average_precision", np.array(1.0), "shape"),
    ],
)
def test_arrays_of_a_run_fit_their_form(name: str, value: np.ndarray, message: str, tmp_path: Path) -> None:
    path = tmp_path / "ranking.npz"
    save_arrays(path, **RANKING)
    read_arrays(path, schema.RANKING_ARRAYS, "again")
    save_arrays(path, **(RANKING | {name: value}))
    with pytest.raises(DataError, match=message):
        read_arrays(path, schema.RANKING_ARRAYS, "again")


@pytest.mark.parametrize("offsets", [[0, 1], [1, 2], [0, 2, 1, 2], [0], [], [-1, 2]])
def test_offsets_divide_their_array(offsets: list[int], tmp_path: Path) -> None:
    arrays = {
        "first_ranks": np.ones(2, np.int32), "first_rank_pids": np.arange(2),
        "first_rank_offsets": np.array(offsets, np.int64),
    }  # fmt: skip
    path = tmp_path / "ranking.npz"
    save_arrays(path, **arrays)
    with pytest.raises(DataError, match="does not divide 'first_ranks' into trials"):
        read_arrays(path, schema.FIRST_RANK_ARRAYS, "again")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 1400), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_bytes_are_refused_or_read(changes: list[tuple[int, int]], tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    labels = {f"{side}_{name}": np.arange(3) for side in "qg" for name in ("pids", "camids")}
    save_arrays(path, distance=np.ones((3, 3)), **labels)
    content = bytearray(path.read_bytes())
    for position, value in changes:
        content[position % len(content)] = value
    path.write_bytes(content)
    with suppress(VireidError):
        read_features(path)
