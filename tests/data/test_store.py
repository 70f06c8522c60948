"""The store: finding, opening, reading, fingerprint, verification."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.trees import write_image
from vireid_cli.data.locate import locate
from vireid_cli.data.pixels import PixelFiles
from vireid_cli.data.prepare import add_size, prepare
from vireid_cli.data.provenance import MANIFEST, Provenance
from vireid_cli.data.resize import PILLOW
from vireid_cli.data.sources import differences, load_source
from vireid_cli.data.store import Store, open_store
from vireid_cli.data.store_fingerprint import fingerprint
from vireid_cli.data.verify import compare_with_published, verify
from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import write_sealed
from vireid_cli.types import Modality, Record, RecordTable

SIZE = (32, 16)


@pytest.fixture(scope="module")
def prepared(sysu_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a tree of its own and its store; don't write into it."""
    data = tmp_path_factory.mktemp("prepared")
    shutil.copytree(sysu_tree / "SYSU-MM01", data / "SYSU-MM01")
    prepare("sysu", data / "SYSU-MM01", data, SIZE)
    return data


@pytest.fixture
def data(prepared: Path, tmp_path: Path) -> Path:
    """A copy of it to write into."""
    shutil.copytree(prepared / "prepared", tmp_path / "data" / "prepared")
    shutil.copytree(prepared / "SYSU-MM01", tmp_path / "data" / "SYSU-MM01")
    return tmp_path / "data"


def render_mark(root: Path, content: str = "c0ffee") -> None:
    manifest = {"complete": True, "content_hash": content, "seed": 0, "version": 1}
    (root / MANIFEST).write_text(json.dumps(manifest))


def test_a_batch_is_the_rows_asked_for_in_memory(prepared: Path) -> None:
    store = open_store(prepared, "sysu")
    images = store.images(SIZE)
    assert images is not None
    assert not images.flags.writeable
    index = np.array([5, 0, 5, len(images) - 1])
    batch = store.batch(SIZE, index)
    assert batch.flags.writeable
    assert not isinstance(batch, np.memmap)
    for row, i in zip(batch, index.tolist(), strict=True):
        np.testing.assert_array_equal(row, images[i])
    assert store.images((64, 32)) is None
    with pytest.raises(
        DataError, match=r"size 64x32, resized by lanczos, is not prepared \(prepared: 32x16 l"
    ) as error:
        store.batch((64, 32), index)
    assert error.value.hint == "vireid prepare sysu --size 64x32"


def test_stored_values_are_read_back(prepared: Path) -> None:
    store = open_store(prepared, "sysu")
    info = store.info
    assert info.root == (prepared / "SYSU-MM01").resolve()
    assert info.images == len(store.records) == 216
    assert not store.rendered
    assert info.provenance == Provenance()
    assert sum(count["images"] for count in info.counts) == 216
    assert info.permutation is None
    assert any("rand_perm_cam.mat" in note for note in info.notes)
    assert store.sizes == [SIZE]
    scanned = prepare("sysu", prepared / "SYSU-MM01", prepared, SIZE).store.records
    for name in RecordTable.__slots__:
        np.testing.assert_array_equal(getattr(store.records, name), getattr(scanned, name))


def test_location_real_before_rendered_and_root_before_both(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with pytest.raises(UsageError, match="neither") as missing:
        locate("sysu", data)
    assert missing.value.exit_code == 2
    assert "vireid prepare synthetic" in missing.value.hint
    assert "wuancong" in missing.value.hint
    rendered = data / "rendered" / "SYSU-MM01"
    rendered.mkdir(parents=True)
    render_mark(rendered)
    assert locate("sysu", data) == locate("sysu", data, rendered)
    assert locate("sysu", data).rendered
    (data / "SYSU-MM01").mkdir()
    result = locate("sysu", data)
    assert (result.root, result.rendered) == (data / "SYSU-MM01", False)
    with pytest.raises(UsageError, match="is not a folder"):
        locate("sysu", data, tmp_path / "nowhere")


def test_opening_a_missing_store_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no store at .*prepared.sysu, and no images") as error:
        open_store(tmp_path, "sysu")
    assert error.value.exit_code == 2
    for part in ("signed agreement", "vireid prepare sysu", "vireid prepare synthetic"):
        assert part in error.value.hint
    (tmp_path / "SYSU-MM01").mkdir()
    with pytest.raises(UsageError, match="but not prepared") as there:
        open_store(tmp_path, "sysu")
    assert there.value.hint == "vireid prepare sysu"


def test_rendered_and_real_never_share_a_store(data: Path) -> None:
    tree = data / "rendered" / "SYSU-MM01"
    shutil.copytree(data / "SYSU-MM01", tree)
    render_mark(tree)
    rendered = prepare("sysu", tree, data, SIZE).store
    real = open_store(data, "sysu")
    assert rendered.folder.name == "sysu-rendered"
    assert rendered.rendered
    assert rendered.info.provenance.manifest["content_hash"] == "c0ffee"
    assert not real.rendered
    assert real.info.fingerprint != rendered.info.fingerprint
    shutil.rmtree(real.folder)
    assert open_store(data, "sysu").rendered


def _records(count: int = 4) -> RecordTable:
    return RecordTable.of(
        [Record(f"cam1/0001/{i:04d}.jpg", 1 + i % 2, 1, Modality.VISIBLE, "train") for i in range(count)]
    )


def test_fingerprint_depends_on_every_column_the_sizes_and_the_mark() -> None:
    sizes, real = np.arange(4) + 100, Provenance()
    base = fingerprint("sysu", real, _records(), sizes)
    assert base == fingerprint("sysu", real, _records(), sizes.copy())
    changed = [
        fingerprint("regdb", real, _records(), sizes),
        fingerprint("sysu", Provenance("rendered", {"content_hash": "a"}), _records(), sizes),
        fingerprint("sysu", Provenance("rendered", {"content_hash": "b"}), _records(), sizes),
        fingerprint("sysu", real, _records(), sizes + np.array([0, 0, 1, 0])),
        fingerprint("sysu", real, _records().take(np.array([0, 1, 3, 2])), sizes),
        fingerprint("sysu", real, _records(3), sizes[:3]),
    ]
    for name, value in (("pids", 9), ("camids", 2), ("modalities", 1), ("splits", "test")):
        columns = {column: getattr(_records(), column).copy() for column in RecordTable.__slots__}
        columns[name][2] = value
        changed.append(fingerprint("sysu", real, RecordTable(**columns), sizes))
    assert len({base, *changed}) == 1 + len(changed)


def test_fingerprint_does_not_depend_on_the_place(data: Path, prepared: Path) -> None:
    shutil.rmtree(data / "prepared")
    assert (
        prepare("sysu", data / "SYSU-MM01", data, SIZE).store.info.fingerprint
        == open_store(prepared, "sysu").info.fingerprint
    )


def _reprepared(data: Path) -> Store:
    """The copied store, with the root of the copied tree."""
    return prepare("sysu", data / "SYSU-MM01", data, SIZE).store


def test_a_moved_dataset_is_taken_over_without_decoding(data: Path) -> None:
    assert open_store(data, "sysu").info.root != (data / "SYSU-MM01").resolve()
    moved = prepare("sysu", data / "SYSU-MM01", data, SIZE)
    assert moved.store.info.root == (data / "SYSU-MM01").resolve()
    assert (moved.resumed, moved.rate) == (216, 0.0)


def test_verify_names_a_changed_row_and_a_changed_file(data: Path) -> None:
    store = _reprepared(data)
    reports: list[tuple[int, int]] = []
    assert verify(store, progress=lambda done, total: reports.append((done, total))) == []
    assert reports[-1] == (432, 432)
    with (store.folder / "32x16.npy").open("r+b") as stream:
        stream.seek(-5, 2)
        byte = stream.read(1)
        stream.seek(-5, 2)
        stream.write(bytes([byte[0] ^ 1]))
    image = data / "SYSU-MM01" / "cam1" / "0001" / "0001.jpg"
    image.write_bytes(image.read_bytes()[:-1] + b"\0")
    (data / "SYSU-MM01" / "cam1" / "0001" / "0002.jpg").unlink()
    result = verify(open_store(data, "sysu"))
    assert len(result) == 3
    assert "32x16.npy row 215 (cam6/0014/0003.jpg): the pixels have changed" in result
    assert "cam1/0001/0001.jpg: changed since preparation" in result
    assert any(line == "cam1/0001/0002.jpg: does not exist" for line in result)


def test_verify_without_the_images_is_an_error(data: Path) -> None:
    store = _reprepared(data)
    shutil.rmtree(data / "SYSU-MM01")
    assert verify(store) == [f"{store.info.root} does not exist: the image files are not compared"]


def test_verify_sees_changed_row_hashes(data: Path) -> None:
    store = _reprepared(data)
    path = store.folder / "32x16.rows.npy"
    rows = np.load(path)
    rows[0, 1] = 0
    np.save(path, rows)
    result = verify(open_store(data, "sysu"))
    assert result[0].startswith("32x16.rows.npy: the row hashes have changed")


def test_a_damaged_store_is_refused(data: Path) -> None:
    folder = data / "prepared" / "sysu"
    text = (folder / "store.json").read_text()
    (folder / "store.json").write_text(text[: len(text) // 2])
    with pytest.raises(DataError, match="can't be read"):
        open_store(data, "sysu")
    (folder / "store.json").write_text(text.replace('"format": 1', '"format": 99'))
    with pytest.raises(DataError, match="has format 99"):
        open_store(data, "sysu")
    (folder / "store.json").write_text(text)
    table = (folder / "records.npz").read_bytes()
    (folder / "records.npz").write_bytes(table[:-1] + b"\1")
    with pytest.raises(DataError, match="does not match its hash"):
        open_store(data, "sysu")
    assert len(_reprepared(data).records) == 216


def test_a_truncated_pixel_file_is_not_a_size(data: Path) -> None:
    folder = data / "prepared" / "sysu"
    with (folder / "32x16.npy").open("r+b") as stream:
        stream.truncate(5000)
    assert open_store(data, "sysu").sizes == []
    assert prepare("sysu", data / "SYSU-MM01", data, SIZE).store.sizes == [SIZE]


def test_adding_a_size_needs_the_same_images(data: Path) -> None:
    store = _reprepared(data)
    (data / "SYSU-MM01" / "cam1" / "0001" / "0002.jpg").unlink()
    with pytest.raises(DataError, match="1 of 216 are missing"):
        add_size(store, (24, 12))
    assert open_store(data, "sysu").sizes == [SIZE]


@pytest.mark.parametrize("spoil", [lambda c: [c], lambda c: {**c, "more": 1}, lambda c: c.pop("root") and c])
def test_a_description_of_another_form_is_named(
    data: Path, spoil: Callable[[dict[str, Any]], object]
) -> None:
    folder = data / "prepared" / "sysu"
    content = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps(spoil(content)))
    with pytest.raises(DataError, match=r"store\.json"):
        open_store(data, "sysu")


def test_pixels_record_their_pillow(data: Path) -> None:
    """A reused row keeps the version that resized it."""
    store = _reprepared(data)
    files = PixelFiles(store.folder, SIZE)
    assert files.description()["pillow"] == PILLOW
    assert files.pillow_warning() == ""
    content = {**files.description(), "pillow": "3.1.0"}
    write_sealed(files.info, content)
    assert "Pillow 3.1.0" in files.pillow_warning()
    (data / "SYSU-MM01" / "cam1" / "0001" / "0002.jpg").unlink()
    _reprepared(data)
    assert files.description()["pillow"] == "3.1.0"
    for number, path in enumerate(sorted((data / "SYSU-MM01").rglob("*.jpg"))):
        write_image(path, 1_000 + number)
    assert prepare("sysu", data / "SYSU-MM01", data, SIZE).copied == 0
    assert files.description()["pillow"] == PILLOW
    assert files.pillow_warning() == ""


def test_verify_compares_the_images_with_each_size(data: Path) -> None:
    """A changed file of the same length does not change the fingerprint: the other size keeps its pixels."""
    store = _reprepared(data)
    prepare("sysu", data / "SYSU-MM01", data, (16, 8), resize="bicubic")
    assert verify(store) == []
    image = data / "SYSU-MM01" / "cam1" / "0001" / "0001.jpg"
    content = image.read_bytes()
    image.write_bytes(content[:15] + b"\7" + content[16:])  # the density in the header
    prepare("sysu", data / "SYSU-MM01", data, (16, 8), resize="bicubic")
    store = open_store(data, "sysu")
    assert [files.name for files in store.complete_pixel_files] == ["16x8-bicubic", "32x16"]
    assert verify(store) == ["cam1/0001/0001.jpg: changed since preparation at 32x16"]
    assert prepare("sysu", data / "SYSU-MM01", data, SIZE).damaged == 1
    assert verify(open_store(data, "sysu")) == []


def test_a_dataset_from_a_list_has_no_published_numbers(data: Path) -> None:
    """Nor if its folder, with the list, no longer exists; a list may have other cameras than the layout."""
    root = data / "SYSU-MM01"
    table = load_source("sysu").scan(root).records
    lines = [f"{r.path},{r.pid},{8 if r.camid == 1 else r.camid},{r.modality},{r.split}" for r in table]
    (root / "records.csv").write_text("\n".join(["path,pid,camid,modality,split", *lines]) + "\n")
    store = prepare("sysu", root, data, SIZE).store
    assert compare_with_published(store) == []
    root.rename(data / "moved")
    assert compare_with_published(store) == []
    (data / "moved" / "records.csv").unlink()
    layout = prepare("sysu", data / "moved", data, SIZE).store
    assert any("id 1 camera 1:" in line for line in compare_with_published(layout))
    (data / "moved" / "records.csv").write_text("")
    assert compare_with_published(layout) != []
    other = replace(table, camids=np.where(table.camids == 1, 8, table.camids))
    assert (
        differences("sysu", other)[-1] == f"camera 8: {(table.camids == 1).sum()} images found, none expected"
    )
