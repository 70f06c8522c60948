"""Damaged stores: named by ``verify``, repaired by ``prepare``, only the damaged rows being decoded again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.trees import write_folder, write_image
from vireid_cli.data import prepare as prepare_module
from vireid_cli.data.prepare import Prepared, prepare
from vireid_cli.data.store import open_store
from vireid_cli.data.verify import repairs, verify
from vireid_cli.engine.prepare import verify as verify_with_repairs
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError

SIZE = (32, 16)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = write_folder(tmp_path / "own")
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        write_image(path, 1_000 + number)  # no two files alike: none can be copied from another
    run(root)
    return root


def run(root: Path) -> Prepared:
    return prepare("folder", root, root.parent / "data", SIZE)


def contents(root: Path) -> dict[str, bytes]:
    folder = root.parent / "data" / "prepared" / "folder"
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


def flip(root: Path, name: str, offset: int) -> None:
    """Flip one bit of a file of the store; the offset counts from the end."""
    path = root.parent / "data" / "prepared" / "folder" / name
    data = bytearray(path.read_bytes())
    data[-offset] ^= 16
    path.write_bytes(data)


def found(root: Path) -> list[str]:
    return verify(open_store(root.parent / "data", "folder"))


@pytest.mark.parametrize("name", ["store.json", "records.npz", "32x16.json", "32x16.npy", "32x16.rows.npy"])
def test_a_folder_in_place_of_a_file_is_named_before_any_work(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root.parent / "data" / "prepared" / "folder" / name
    path.unlink()
    path.mkdir()
    monkeypatch.setattr(prepare_module, "build_pixels", lambda *_, **__: pytest.fail("images were decoded"))
    with pytest.raises(DataError, match=f"{name} is a folder") as caught:
        run(root)
    assert "Remove or rename" in caught.value.hint
    if name in ("store.json", "records.npz"):
        with pytest.raises(DataError, match=f"{name} is a folder"):
            open_store(root.parent / "data", "folder")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("store.json", '"images": 28', '"images": 29'),
        ("store.json", '"identities": ', '"identities": 1'),
        ("store.json", '"upright": true', '"upright": false'),
        ("store.json", '"root": "/', '"root": "//'),
        ("32x16.json", '"rows_sha256"', '"rows_sha257"'),
        ("32x16.json", '"images": 28', '"images": 29'),
    ],
)
def test_changed_descriptions_are_noticed_and_repaired(root: Path, name: str, old: str, new: str) -> None:
    before = contents(root)
    path = root.parent / "data" / "prepared" / "folder" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    if name == "store.json":
        with pytest.raises(DataError, match="does not match its hash") as caught:
            open_store(root.parent / "data", "folder")
        assert "vireid prepare" in caught.value.hint
    else:
        assert open_store(root.parent / "data", "folder").sizes == []
    run(root)
    assert contents(root) == before
    assert found(root) == []


@pytest.mark.parametrize("offset", [5, 5 + 7 * 32 * 16 * 3])
def test_a_flipped_pixel_is_repaired_and_nothing_else_is_decoded(root: Path, offset: int) -> None:
    before = contents(root)
    flip(root, "32x16.npy", offset)
    assert len(found(root)) == 1
    done = run(root)
    assert (done.damaged, done.copied, done.images) == (1, 27, 28)
    assert contents(root) == before
    assert found(root) == []
    assert run(root).damaged == 0


@pytest.mark.parametrize("offset", [3, 3 + 16])
def test_a_flipped_hash_is_repaired(root: Path, offset: int) -> None:
    before = contents(root)
    flip(root, "32x16.rows.npy", offset)
    assert found(root)
    assert run(root).damaged == 1
    assert contents(root) == before


def test_an_image_that_was_replaced_by_one_of_the_same_length_is_decoded_again(root: Path) -> None:
    path = next(root.glob("train/visible/1/*.png"))
    length = path.stat().st_size
    write_image(path, 99, (20, 10))  # smaller; bytes behind the end mark do not matter
    path.write_bytes(path.read_bytes().ljust(length, b"\0"))
    assert path.stat().st_size == length
    assert [line.split(":")[1].strip() for line in found(root)] == ["changed since preparation"]
    assert run(root).damaged == 1
    assert found(root) == []


def test_a_store_that_cannot_be_repaired_stays_as_it_is(root: Path) -> None:
    path = next(root.glob("train/visible/1/*.png"))
    path.write_bytes(bytes(path.stat().st_size))
    before = contents(root)
    with pytest.raises(DataError, match="1 of 28 images"):
        run(root)
    assert {name: data for name, data in contents(root).items() if ".partial." not in name} == before
    assert open_store(root.parent / "data", "folder").sizes == [SIZE]


def test_verify_names_the_command_that_repairs(root: Path) -> None:
    data = root.parent / "data"
    session = Session.choose("cpu", data_dir=data)
    assert verify_with_repairs("folder", session) == []
    flip(root, "32x16.npy", 5)
    lines = verify_with_repairs("folder", session)
    assert len(lines) == 2
    assert (
        f"vireid prepare folder --root {root.resolve()} --data {data} --size 32x16 --resize lanczos"
        in lines[1]
    )
    store = open_store(data, "folder")
    assert repairs(store, f" --data {data}") == lines[1:]
    assert np.asarray(store.images(SIZE)).shape == (28, *SIZE, 3)
