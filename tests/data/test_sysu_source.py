"""The SYSU-MM01 source: records, remarks and errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from vireid_cli.data import records_file
from vireid_cli.data.provenance import MANIFEST
from vireid_cli.data.sources import load_source, sysu
from vireid_cli.dataset_names import source_names
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import Modality

TRAIN, VAL, TEST = (1, 2, 10), (3,), (4, 7)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The layout with empty files: a scan goes by names only."""
    root = tmp_path / "SYSU-MM01"
    for camid in range(1, 7):
        for pid in (*TRAIN, *VAL, *TEST, 9):
            folder = root / f"cam{camid}" / f"{pid:04d}"
            folder.mkdir(parents=True)
            for frame in range(1, 3 + pid % 2):
                (folder / f"{frame:04d}.jpg").touch()
    (root / "exp").mkdir()
    for name, pids in (("train", TRAIN), ("val", VAL), ("test", TEST), ("available", (*TRAIN, *VAL, *TEST))):
        (root / "exp" / f"{name}_id.txt").write_text(",".join(map(str, pids)) + "\n")
    return root


def test_records_are_the_files_of_listed_identities_sorted_by_path(tree: Path) -> None:
    records = sysu.scan(tree).records
    expected = sorted(
        path.relative_to(tree).as_posix()
        for path in tree.glob("cam*/*/*.jpg")
        if int(path.parent.name) in (*TRAIN, *VAL, *TEST)
    )
    assert records.paths.tolist() == expected
    for record in records:
        camera, folder, _ = record.path.split("/")
        assert record.camid == int(camera[3:])
        assert record.pid == int(folder)
        assert record.modality is (Modality.INFRARED if record.camid in (3, 6) else Modality.VISIBLE)
        assert record.split == ("train" if record.pid in TRAIN else "val" if record.pid in VAL else "test")


def test_folders_of_people_beyond_9999_have_five_digits(tree: Path) -> None:
    for name in ("12345", "01234"):
        (tree / "cam1" / name).mkdir()
        (tree / "cam1" / name / "0001.jpg").touch()
    (tree / "exp" / "train_id.txt").write_text(",".join(map(str, (*TRAIN, 12345, 1234))) + "\n")
    result = sysu.scan(tree)
    assert result.records.paths[result.records.pids == 12345].tolist() == ["cam1/12345/0001.jpg"]
    assert not (result.records.pids == 1234).any()
    assert any("cam1/01234" in note for note in result.report.notes)


@pytest.mark.parametrize("name", ["train_id", "test_id", "available_id"])
def test_repeated_identities_are_reported(tree: Path, name: str) -> None:
    before = sysu.scan(tree)
    path = tree / "exp" / f"{name}.txt"
    path.write_text(f"{path.read_text().strip()},{path.read_text().split(',')[0]}\n")
    after = sysu.scan(tree)
    assert after.records.splits.tolist() == before.records.splits.tolist()
    (note,) = set(after.report.notes) - set(before.report.notes)
    assert note.startswith(f"{name} lists identities more than once, counted once: ")


def test_counts_by_camera_and_split(tree: Path) -> None:
    report = sysu.scan(tree).report
    images = {(count.split, count.camid): count.images for count in report.counts}
    identities = {(count.split, count.camid): count.identities for count in report.counts}
    per_id = {pid: 2 + pid % 2 for pid in (*TRAIN, *VAL, *TEST)}
    for split, pids in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        for camid in range(1, 7):
            assert images[split, camid] == sum(per_id[pid] for pid in pids)
            assert identities[split, camid] == len(pids)
    # 18 cells; in all of them the tiny tree differs from the real set (where that has 0 as well)
    assert len(report.differences) == 18
    assert "camera 1, train: 7 images found, 4,721 expected" in report.differences


def test_expected_counts_are_those_of_the_published_table() -> None:
    by_split = {split: np.array(counts) for split, counts in sysu.EXPECTED_IMAGES.items()}
    trainval = by_split["train"] + by_split["val"]
    visible, infrared = [0, 1, 3, 4], [2, 5]
    assert trainval[visible].sum() == 22_258
    assert trainval[infrared].sum() == 11_909
    assert by_split["train"][visible].sum() == 20_284
    assert by_split["train"][infrared].sum() == 9_929
    assert by_split["test"][visible].sum() == 6_775
    assert by_split["test"][infrared].sum() == 3_803


def test_mat_lists_are_read_if_the_text_is_missing(tree: Path) -> None:
    expected = sysu.scan(tree)
    for name, pids in (("train", TRAIN), ("val", VAL), ("test", TEST), ("available", (*TRAIN, *VAL, *TEST))):
        (tree / "exp" / f"{name}_id.txt").unlink()
        savemat(tree / "exp" / f"{name}_id.mat", {"id": np.array([pids], dtype=np.uint16)})
    result = sysu.scan(tree)
    assert result.records.paths.tolist() == expected.records.paths.tolist()
    assert result.records.splits.tolist() == expected.records.splits.tolist()


def test_lists_with_blanks_marks_and_line_ends(tmp_path: Path) -> None:
    (tmp_path / "train_id.txt").write_bytes(b"\xef\xbb\xbf 3, 1,\r\n 2 \r\n")
    assert sysu.read_ids(tmp_path, "train_id") == [3, 1, 2]


def test_irregularities_are_remarks_and_no_errors(tree: Path) -> None:
    (tree / "cam1" / "Thumbs.db").touch()
    (tree / "cam2" / "0001" / ".DS_Store").touch()
    (tree / "cam2" / "0001" / "0001.png").touch()
    (tree / "cam2" / "0001" / "1.jpg").touch()
    (tree / "cam4" / "backup").mkdir()
    for camid in (3, 6):
        shutil.rmtree(tree / f"cam{camid}" / "0002")
    for camid in range(1, 7):
        shutil.rmtree(tree / f"cam{camid}" / "0004")
    before = len(list(tree.glob("cam*/*/[0-9][0-9][0-9][0-9].jpg")))
    scan = sysu.scan(tree)
    notes = "\n".join(scan.report.notes)
    assert len(scan.records) == before - sum(2 + 9 % 2 for _ in range(6))
    assert "2 stray files ignored (1 × .DS_Store, 1 × Thumbs.db)" in notes
    assert "cam2/0001/0001.png (not <4-digit frame>.jpg), cam2/0001/1.jpg (not" in notes
    assert "cam4/backup" in notes
    assert "1 identity in no list, folders ignored: 9" in notes
    assert "1 identity listed but without any image: 4" in notes
    assert "1 identity without infrared images: 2" in notes
    assert "train_id lists 3 identities, 296 expected" in notes


@pytest.mark.parametrize("place", [".", "exp"])
def test_permutation_file_is_found(tree: Path, place: str) -> None:
    assert sysu.scan(tree).permutation is None
    assert any("rand_perm_cam.mat is absent" in note for note in sysu.scan(tree).report.notes)
    path = tree / place / "rand_perm_cam.mat"
    path.touch()
    result = sysu.scan(tree).permutation
    assert result is not None
    assert result.samefile(path)


def test_a_folder_with_images_below_an_identity_is_named(tree: Path) -> None:
    (tree / "cam1" / "0001" / "day1").mkdir()
    (tree / "cam1" / "0001" / "day1" / "0001.jpg").touch()
    expected = "1 name that can't be read, ignored: cam1/0001/day1 (a folder with 1 image)"
    assert expected in sysu.scan(tree).report.notes


def test_root_one_level_off_is_named(tree: Path) -> None:
    with pytest.raises(UsageError, match=r"one level too high: the root is .*SYSU-MM01"):
        sysu.scan(tree.parent)
    for inside in (tree / "cam3", tree / "exp", tree / "cam1" / "0001"):
        with pytest.raises(UsageError, match="is inside the dataset") as error:
            sysu.scan(inside)
        assert f"--root {tree.resolve()}" in error.value.hint


def test_missing_pieces_are_named(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder") as missing:
        sysu.scan(tmp_path / "nowhere")
    assert missing.value.exit_code == 2
    assert "wuancong" in missing.value.hint
    other = tmp_path / "other"
    (other / "a").mkdir(parents=True)
    with pytest.raises(DataError, match=r"does not contain SYSU-MM01: expected cam1, .*cam6 \(found: a\)"):
        sysu.scan(other)
    (tree / "exp" / "val_id.txt").unlink()
    with pytest.raises(DataError, match=r"val_id.txt is missing"):
        sysu.scan(tree)
    (tree / "exp").rename(tree / "lists")
    with pytest.raises(DataError, match="exp is missing") as lists:
        sysu.scan(tree)
    assert "train_id.txt" in lists.value.hint
    shutil.rmtree(tree / "cam5")
    shutil.rmtree(tree / "cam2")
    with pytest.raises(DataError, match=r"folders missing: cam2, cam5 \(expected cam1"):
        sysu.scan(tree)


def test_lists_that_are_no_lists_are_refused(tree: Path) -> None:
    lists = tree / "exp"
    (lists / "val_id.txt").write_text("3,1\n")
    with pytest.raises(DataError, match=r"identities of val_id are in train_id too: 1"):
        sysu.scan(tree)
    (lists / "val_id.txt").write_text("three\n")
    with pytest.raises(DataError, match="not a list of identity numbers"):
        sysu.scan(tree)
    (lists / "val_id.txt").write_text("\n")
    with pytest.raises(DataError, match="lists no identity"):
        sysu.scan(tree)
    (lists / "val_id.txt").unlink()
    (lists / "val_id.mat").write_bytes(b"MATLAB, almost")
    with pytest.raises(DataError, match=r"val_id.mat is not a list"):
        sysu.scan(tree)


def test_a_tree_without_images_is_refused(tree: Path) -> None:
    for path in tree.glob("cam*/*/*.jpg"):
        path.unlink()
    with pytest.raises(DataError, match="no image found \\(expected images of listed identities"):
        sysu.scan(tree)


def test_a_rendered_tree_is_marked_and_has_no_published_counts(tree: Path) -> None:
    manifest = {"complete": True, "content_hash": "ab", "seed": 3, "version": 1}
    (tree / MANIFEST).write_text(json.dumps(manifest))
    report = sysu.scan(tree).report
    assert report.provenance.rendered
    assert report.provenance.manifest == manifest
    assert report.differences == ()
    assert not any("expected" in note for note in report.notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"complete": false, "seed": 1}', "is incomplete"),
        ('{"seed": 1}', "is incomplete"),
        ('{"complete": true, "seed": 1, "version": 1}', "content_hash: this key is missing"),
        ('{"complete": tr', "can't be read"),
    ],
)
def test_an_unfinished_rendering_is_refused(tree: Path, content: str, message: str) -> None:
    (tree / MANIFEST).write_text(content)
    with pytest.raises(DataError, match=message) as error:
        sysu.scan(tree)
    assert "vireid prepare synthetic" in error.value.hint


def test_sources_are_the_files_of_their_folder() -> None:
    assert "sysu" in source_names()
    for name in source_names():
        source = load_source(name)
        assert source.TITLE
        assert source.FOLDER
        assert source.HOW_TO_GET
        assert callable(source.scan)
    with pytest.raises(UsageError, match="did you mean 'sysu'"):
        load_source("sysuu")


def test_an_interrupted_tree_is_named_before_the_folders_that_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "cam1").mkdir()
    (tmp_path / MANIFEST).write_text('{"complete": false, "seed": 1}')
    with pytest.raises(DataError, match="is incomplete"):
        records_file.scan("sysu", tmp_path)
