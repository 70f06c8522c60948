"""Each layout read as it lies on disk; each broken one refused with what to do."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.data import trees
from vireid_cli.commands import main as command_line
from vireid_cli.data import records_file
from vireid_cli.data.prepare import prepare
from vireid_cli.data.protocols import family_of, plans_for
from vireid_cli.data.protocols.request import Request
from vireid_cli.data.sources import load_source
from vireid_cli.data.sources.sysu import COUNTS, EXPECTED_IDENTITIES, EXPECTED_IMAGES, differences
from vireid_cli.dataset_names import source_names
from vireid_cli.errors import DataError, UsageError
from vireid_cli.types import Modality, Record, RecordTable

WRITERS = {
    "regdb": trees.write_regdb,
    "llcm": trees.write_llcm,
    "oulu": trees.write_oulu,
    "buaa": trees.write_buaa,
    "folder": trees.write_folder,
}


def tree(tmp_path: Path, dataset: str) -> Path:
    return WRITERS[dataset](tmp_path / load_source(dataset).FOLDER)


@pytest.mark.parametrize("dataset", source_names())
def test_every_source_keeps_the_contract(dataset: str) -> None:
    source = load_source(dataset)
    assert source.TITLE
    assert source.FOLDER
    assert source.HOW_TO_GET
    assert family_of(dataset).RULE in ("none", "sysu", "llcm")


@pytest.mark.parametrize("dataset", WRITERS)
def test_one_level_off_is_named(tmp_path: Path, dataset: str) -> None:
    root = tree(tmp_path, dataset)
    with pytest.raises(UsageError, match="one level too high") as error:
        load_source(dataset).scan(root.parent)
    command = "Set the root:" if dataset == "folder" else f"vireid prepare {dataset}"
    assert f"{command} --root {root}" in error.value.hint
    inside = next(path for path in sorted(root.iterdir()) if path.is_dir())
    with pytest.raises(UsageError, match="inside the dataset: the root is"):
        load_source(dataset).scan(inside)
    with pytest.raises(UsageError, match="is not a folder"):
        load_source(dataset).scan(root / "nothing")
    (tmp_path / "x" / "y").mkdir(parents=True)
    with pytest.raises(DataError, match=r"does not contain .* \(found: y\)"):
        load_source(dataset).scan(tmp_path / "x")


@pytest.mark.parametrize("dataset", WRITERS)
def test_stray_files_are_counted(tmp_path: Path, dataset: str) -> None:
    root = tree(tmp_path, dataset)
    before = load_source(dataset).scan(root)
    folder = next(
        path for path in sorted(root.rglob("*")) if path.suffix in (".bmp", ".jpg", ".jpeg", ".png")
    )
    (folder.parent / "Thumbs.db").touch()
    (folder.parent / ".DS_Store").touch()
    after = load_source(dataset).scan(root)
    np.testing.assert_array_equal(before.records.paths, after.records.paths)
    assert any(note.startswith("2 stray files ignored") for note in after.report.notes)


@pytest.mark.parametrize("dataset", ["folder", "llcm", "regdb"])
def test_a_folder_with_images_below_a_person_is_named(tmp_path: Path, dataset: str) -> None:
    root = tree(tmp_path, dataset)
    place = {"folder": "train/visible", "llcm": "test_vis/cam1", "regdb": "Visible"}[dataset]
    person = next(path for path in sorted((root / place).iterdir()))
    for name in ("day1/a.jpg", "day1/more/b.jpg", ".hidden/c.jpg", "empty/Thumbs.db"):
        (person / name).parent.mkdir(parents=True, exist_ok=True)
        (person / name).touch()
    notes = load_source(dataset).scan(root).report.notes
    expected = f"{place}/{person.name}/day1 (a folder with 2 images)"
    assert f"1 name that can't be read, ignored: {expected}" in notes
    assert any(note.startswith("2 stray files ignored (1 × .hidden, 1 × empty)") for note in notes)


def test_images_in_folders_below_every_person_are_named(tmp_path: Path) -> None:
    for modality in ("visible", "infrared"):
        trees.write_image(tmp_path / modality / "7" / "day1" / "a.png", 7)
    with pytest.raises(
        DataError, match=r"no image found(.|\n)*visible/7/day1 \(a folder with 1 image\)"
    ) as error:
        load_source("folder").scan(tmp_path)
    assert "records.csv" in error.value.hint


@pytest.mark.parametrize("dataset", ["regdb", "folder"])
def test_roots_in_advice_are_quoted(tmp_path: Path, dataset: str) -> None:
    """Advice for own folders omits the command: the layout does not know their names."""
    root = tree(tmp_path / "my data", dataset)
    advice = f"--root '{root}'"
    expected = f"Set the root: {advice}" if dataset == "folder" else f"vireid prepare {dataset} {advice}"
    for wrong in (root.parent, next(path for path in root.iterdir() if path.is_dir())):
        with pytest.raises(UsageError, match="the root is") as error:
            load_source(dataset).scan(wrong)
        assert error.value.hint == expected


def test_regdb_splits_are_those_of_the_lists(tmp_path: Path) -> None:
    scan = load_source("regdb").scan(tree(tmp_path, "regdb"))
    records = scan.records
    assert records.trials == 10
    assert len(records) == 2 * 2 * len(trees.REGDB_PEOPLE)
    assert not records.tested.any()  # in no trial unless one is named
    for trial in range(1, 11):
        table, halves = records.in_trial(trial), trees.regdb_halves(trial)
        for split in ("train", "test"):
            assert set(table.pids[table.splits == split].tolist()) == halves[split]
    folders = [int(path.split("/")[1]) for path in records.paths.tolist()]
    np.testing.assert_array_equal(records.pids, folders)
    with pytest.raises(ValueError, match="trial 11 of 10"):
        records.in_trial(11)


def test_regdb_store_holds_images_once_and_plans_by_trial(tmp_path: Path) -> None:
    store = prepare("regdb", tree(tmp_path, "regdb"), tmp_path, (32, 16)).store
    images = store.images((32, 16))
    assert images is not None
    assert len(images) == 48
    for trial in (1, 7):
        plans = plans_for(store, Request(trial=trial))
        assert [plan.name for plan in plans] == [f"v2i-trial{trial}", f"i2v-trial{trial}"]
        for plan in plans:
            assert set(store.records.pids[plan.rows].tolist()) == trees.regdb_halves(trial)["test"]
    with pytest.raises(UsageError, match="trial is not known"):
        plans_for(store, Request())
    with pytest.raises(UsageError, match="RegDB has the trials 1 to 10"):
        plans_for(store, Request(trial=11))
    with pytest.raises(UsageError, match="no setting modes"):
        plans_for(store, Request(trial=1, modes=("all",)))


def test_regdb_broken_lists(tmp_path: Path) -> None:
    root = tree(tmp_path, "regdb")
    scan, idx = load_source("regdb").scan, root / "idx"
    good = (idx / "train_visible_3.txt").read_text()
    (idx / "train_visible_3.txt").write_text(good + "Visible/seven/x.bmp 0\n")
    with pytest.raises(DataError, match=r"train_visible_3.txt:13: 'Visible/seven/x.bmp 0' can't be read"):
        scan(root)
    (idx / "train_visible_3.txt").write_text(good + (idx / "test_visible_3.txt").read_text())
    with pytest.raises(DataError, match="trial 3 trains and tests on 6 identities"):
        scan(root)
    (idx / "train_visible_3.txt").unlink()
    with pytest.raises(DataError, match=r"train_visible_3.txt is missing: it lists the images of one trial"):
        scan(root)
    (idx / "train_visible_3.txt").write_text(good)
    gone = root / good.split(" ")[0]
    gone.unlink()
    with pytest.raises(DataError, match=r"name 1 image without a file: Visible/"):
        scan(root)
    shutil.rmtree(root / "Thermal")
    with pytest.raises(DataError, match=r"folders missing: Thermal \(expected Visible, Thermal\)"):
        scan(root)


def test_regdb_without_one_modality(tmp_path: Path) -> None:
    root = tree(tmp_path, "regdb")
    shutil.rmtree(root / "Thermal" / "5")
    for path in (root / "idx").glob("*thermal*.txt"):
        path.write_text(
            "".join(line for line in path.read_text().splitlines(True) if not line.startswith("Thermal/5/"))
        )
    notes = load_source("regdb").scan(root).report.notes
    assert "1 identity without infrared images: 5" in notes
    assert any(note.startswith("12 identities with 46 images; 412 with 8,240 expected") for note in notes)


def test_llcm(tmp_path: Path) -> None:
    root = tree(tmp_path, "llcm")
    (root / "test_vis" / "cam1" / "0099").mkdir()
    scan = load_source("llcm").scan(root)
    records = scan.records
    result = Counter(zip(records.splits.tolist(), records.modalities.tolist(), strict=True))
    assert result == {("train", 0): 12, ("train", 1): 8, ("test", 0): 18, ("test", 1): 12}
    assert sorted(set(records.camids[records.modalities == 1].tolist())) == [1, 2]
    assert "1 identity not in test_id.txt, folders ignored: 99" in scan.report.notes
    assert "train, visible: 12 images found, 16,946 expected" in scan.report.notes
    cameras = [note for note in scan.report.notes if note.startswith("no test image of")]
    assert "test_vis/cam4, test_vis/cam5" in cameras[0]
    assert "test_nir/cam3" not in cameras[1]
    (root / "idx" / "test_id.txt").write_text("7,eight,9")
    with pytest.raises(DataError, match=r"test_id.txt is not a list of numbers"):
        load_source("llcm").scan(root)
    (root / "idx" / "test_id.txt").unlink()
    with pytest.raises(DataError, match=r"test_id.txt is missing: it lists the people of the test"):
        load_source("llcm").scan(root)


def test_llcm_plans(tmp_path: Path) -> None:
    store = prepare("llcm", tree(tmp_path, "llcm"), tmp_path, (32, 16)).store
    plans = plans_for(store, Request(trials=3))
    assert [(plan.name, len(plan.queries[0]), plan.trials) for plan in plans] == [
        ("llcm-release-v2i", 6, 3),
        ("llcm-release-i2v", 12, 3),
    ]
    assert [len(query) for query in plans[0].queries] == [6] * 3  # 3 people × 2 infrared cameras
    assert len(plans[0].gallery) == 18
    words, _ = plans_for(store, Request(trials=3, llcm="llcm-train"))
    assert (words.name, len(words.query)) == ("llcm-train-v2i", 18)
    assert [len(gallery) for gallery in words.galleries] == [6] * 3
    (full,) = plans_for(store, Request(llcm="llcm-full", directions=("v2i",)))
    assert (len(full.query), len(full.gallery)) == (18, 12)
    with pytest.raises(UsageError, match="draws nothing"):
        plans_for(store, Request(llcm="llcm-full", trials=3))


def test_oulu_writes_its_protocol_and_reads_it(tmp_path: Path) -> None:
    root = tree(tmp_path, "oulu")
    first = load_source("oulu").scan(root)
    records = first.records
    assert any(note.startswith("wrote faces/") for note in first.report.notes)
    assert all("/Strong/" in path for path in records.paths.tolist())
    train = records.splits == "train"
    assert set(records.pids[train].tolist()) == {1, 2, 3}
    assert Counter(records.pids[train].tolist()) == dict.fromkeys((1, 2, 3), 8 * 2 * 2)
    assert set(records.modalities[records.splits == "gallery"].tolist()) == {Modality.VISIBLE.code}
    assert set(records.modalities[records.splits == "query"].tolist()) == {Modality.INFRARED.code}
    assert set(records.pids[records.tested].tolist()) == {4, 5, 6}
    probe = root / "faces" / "probe.txt"
    kept = probe.read_text().splitlines()[1:6]  # without the remark that the list is ours
    probe.write_text("\n".join(kept) + "\n")  # somebody's own list
    repeated = load_source("oulu").scan(root)
    assert sorted(repeated.records.paths[repeated.records.splits == "query"].tolist()) == [
        line.split(" ")[0] for line in kept
    ]
    probe.unlink()
    with pytest.raises(DataError, match=r"protocol files missing: .*probe.txt"):
        load_source("oulu").scan(root)


def test_buaa_and_its_plan(tmp_path: Path) -> None:
    store = prepare("buaa", tree(tmp_path, "buaa"), tmp_path, (32, 16)).store
    (plan,) = plans_for(store, Request())
    assert store.records.paths[plan.gallery].tolist() == [f"VIS/{pid}/0.bmp" for pid in (3, 4, 5, 6)]
    assert len(plan.query) == 4 * 3
    assert plan.fars == (0.01, 0.001)
    with pytest.raises(UsageError, match="one direction"):
        plans_for(store, Request(directions=("v2i",)))
    faces = store.info.root / "faces"
    (faces / "gallery.txt").write_text("VIS/1/0.bmp 1\n")
    with pytest.raises(DataError, match="1 identity in both training and test: 1"):
        load_source("buaa").scan(store.info.root)
    (faces / "gallery.txt").write_text("VIS/3/9.bmp 3\n")
    with pytest.raises(DataError, match=r"names 1 image without a file: VIS/3/9.bmp"):
        load_source("buaa").scan(store.info.root)
    (faces / "gallery.txt").write_text("VIS/3/0.bmp\n")
    with pytest.raises(DataError, match=r"gallery.txt:1: 'VIS/3/0.bmp' can't be read"):
        load_source("buaa").scan(store.info.root)


def test_folder(tmp_path: Path) -> None:
    root = tree(tmp_path, "folder")
    store = prepare("folder", root, tmp_path, (32, 16)).store
    assert sorted(set(store.records.camids.tolist())) == [3, 4]
    assert [plan.name for plan in plans_for(store, Request())] == ["folder-v2i", "folder-i2v"]
    shutil.rmtree(root / "query" / "visible")
    store = prepare("folder", root, tmp_path, (32, 16)).store
    (plan,) = plans_for(store, Request())
    assert (plan.name, len(plan.query), len(plan.gallery)) == ("folder-i2v", 4, 4)
    with pytest.raises(DataError, match="no evaluation v2i is possible"):
        plans_for(store, Request(directions=("v2i",)))


def test_folder_refuses_people_on_both_sides(tmp_path: Path) -> None:
    root = tree(tmp_path, "folder")
    trees.write_image(root / "query" / "infrared" / "2" / "1.png", 2)
    with pytest.raises(DataError, match="1 identity in both training and test: 2"):
        load_source("folder").scan(root)
    shutil.rmtree(root / "query" / "infrared" / "2")
    trees.write_image(root / "query" / "infrared" / "anna" / "1.png", 2)
    notes = load_source("folder").scan(root).report.notes
    assert "1 name of people, numbered: anna is 6" in notes
    (root / "query" / "infrared" / "_old").mkdir()
    notes = load_source("folder").scan(root).report.notes
    assert "1 name that can't be read, ignored: query/infrared/_old (a person is a number)" in notes
    (root / "query" / "thermal").mkdir()
    with pytest.raises(DataError, match="must be 'visible' or 'infrared'"):
        load_source("folder").scan(root)


@pytest.mark.parametrize("dataset", ["sysu", "regdb", "folder"])
def test_a_list_serves_every_source(tmp_path: Path, dataset: str) -> None:
    root = trees.write_folder(tmp_path / "tree")
    rows = load_source("folder").scan(root).records
    lines = [
        f"{r.path},{r.pid},{r.camid},{r.modality},{'train' if r.split == 'train' else 'test'}" for r in rows
    ]
    (root / "records.csv").write_text("path,pid,camid,modality,split\n" + "\n".join(lines) + "\n")
    read = records_file.scan(dataset, root).records
    np.testing.assert_array_equal(read.paths, rows.paths)
    np.testing.assert_array_equal(read.modalities, rows.modalities)
    (root / "records.csv").write_text(
        "path,pid,camid,modality,split\na.png,x,1,visible,train\n../b.png,1,1,visible,train\nc.png,1,1,red,test\n"
    )
    with pytest.raises(DataError) as error:
        records_file.scan(dataset, root)
    for line in ("records.csv:2: pid 'x'", "records.csv:3: path '../b.png'", "records.csv:4: modality 'red'"):
        assert line in error.value.message


def test_sysu_counts_are_the_published_ones() -> None:
    table = np.loadtxt(COUNTS, dtype=np.int64, delimiter=",")
    # sums over all 513 people, from the golden README
    assert table[:, 1:].sum(axis=0).tolist() == [6289, 7528, 9812, 8030, 8224, 5980]
    assert (table[:, 1:] > 0).sum(axis=0).tolist() == [259, 259, 486, 493, 502, 299]
    assert sum(sum(images) for images in EXPECTED_IMAGES.values()) < table[:, 1:].sum()
    assert sum(EXPECTED_IDENTITIES.values()) == 491


def test_verification_lists_every_count_that_is_not_the_published_one(
    sysu_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare("sysu", sysu_tree / "SYSU-MM01", tmp_path, (32, 16))
    monkeypatch.setattr(sys, "argv", ["vireid", "prepare", "sysu", "--verify", "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 72  # twelve people in six cameras, all with three images: none as published
    assert "published numbers: id 14 camera 6: 3 found, 20 expected" in lines


def test_sysu_differences_name_identity_and_camera() -> None:
    table = np.loadtxt(COUNTS, dtype=np.int64, delimiter=",")
    rows = [
        Record(f"cam{c}/{pid:04d}/{i:04d}.jpg", int(pid), c, Modality.VISIBLE, "train")
        for pid, *counts in table[:3].tolist()
        for c, n in enumerate(counts, 1)
        for i in range(n)
    ]
    assert differences(RecordTable.of(rows)) == []
    pid, first = int(table[0, 0]), int(table[0, 1])
    assert differences(RecordTable.of(rows[1:])) == [
        f"id {pid} camera 1: {first - 1} found, {first} expected"
    ]
