"""Own folders: several with names, people with words for names, trees without splits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data import trees
from vireid_cli.data.choices import Choices
from vireid_cli.data.identity import find_people, identity_tokens, known_identities, marks, store_title
from vireid_cli.data.identity_split import IdentitySplit
from vireid_cli.data.prepare import prepare
from vireid_cli.data.sources import load_source, title_of
from vireid_cli.data.sources.folder import number_words, scan, scan_with_split
from vireid_cli.data.store import Store, open_store, open_store_at, store_folder
from vireid_cli.data.verify import repairs
from vireid_cli.dataset_names import prepared_labels
from vireid_cli.errors import DataError, UsageError

SIZE = (32, 16)


def write_flat(root: Path, *names: str) -> Path:
    """A tree with visible/ and infrared/ only, two images of each person and modality."""
    for modality in ("visible", "infrared"):
        for number, name in enumerate(names):
            for image in range(2):
                trees.write_image(root / modality / name / f"{image}.png", number)
    return root


def prepared(dataset: str, root: Path, data: Path, **choices: object) -> Store:
    return prepare(dataset, root, data, SIZE, choices=Choices(**choices)).store  # type: ignore[arg-type]


def test_two_folders_have_stores_identities_and_titles_of_their_own(tmp_path: Path) -> None:
    first = prepared("folder:a", trees.write_folder(tmp_path / "a"), tmp_path)
    second = prepared("folder:b-2", trees.write_folder(tmp_path / "b"), tmp_path)
    plain = prepared("folder", trees.write_folder(tmp_path / "c"), tmp_path)
    assert len({store.folder for store in (first, second, plain)}) == 3
    assert [open_store(tmp_path, name).info.dataset for name in ("folder:a", "folder:b-2", "folder")] == [
        "folder:a",
        "folder:b-2",
        "folder",
    ]
    assert (store_title(first), store_title(plain)) == ("folder:a", load_source("folder").TITLE)
    assert marks(second)["dataset"] == "folder:b-2"
    pids = np.array([1, 2])
    tokens = [set(identity_tokens(store, pids)) for store in (first, second, plain)]
    assert not tokens[0] & tokens[1]
    assert not tokens[0] & tokens[2]
    assert not known_identities(second, pids, tokens[0]).any(), "other people with the same numbers"
    assert known_identities(first, pids, tokens[0]).all()
    assert first.info.fingerprint != second.info.fingerprint
    assert prepared_labels(tmp_path) == ["folder:a", "folder:b-2"]
    assert find_people("folder:a", tmp_path).root == tmp_path / "a"
    assert any("vireid prepare folder --name a --root" in line for line in repairs(first, ""))


def test_the_store_of_a_folder_without_a_name_has_its_old_place(tmp_path: Path) -> None:
    assert store_folder(tmp_path, "folder", False) == tmp_path / "prepared" / "folder"
    assert store_folder(tmp_path, "folder", True) == tmp_path / "prepared" / "folder-rendered"
    names = {
        store_folder(tmp_path, f"folder:{n}", r).name
        for n in ("rendered", "x-rendered")
        for r in (False, True)
    }
    assert len(names) == 4
    assert "folder-rendered" not in names


@pytest.mark.parametrize(
    "name", ["folder:", "folder:A", "folder:a/b", "folder:-a", "folder:" + "a" * 41, "sysu:a"]
)
def test_wrong_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        load_source(name)
    with pytest.raises(UsageError):
        title_of(name)


def test_a_missing_folder_lists_the_prepared_ones(tmp_path: Path) -> None:
    prepared("folder:a", trees.write_folder(tmp_path / "a"), tmp_path)
    with pytest.raises(UsageError, match="folder:c is not prepared") as error:
        open_store(tmp_path, "folder:c")
    assert "Then: vireid prepare folder --name c" in error.value.hint
    assert "Prepared: folder:a" in error.value.hint
    trees.write_folder(tmp_path / "c")
    with pytest.raises(UsageError, match=r"folder:c is at .*c but not prepared"):
        open_store(tmp_path, "folder:c")


def test_another_root_replaces_nothing_silently(tmp_path: Path) -> None:
    root = trees.write_folder(tmp_path / "a")
    prepared("folder", root, tmp_path)
    other = trees.write_folder(tmp_path / "b")
    trees.write_image(other / "train" / "visible" / "3" / "9.png", 9)
    with pytest.raises(
        UsageError, match=r"prepared/folder has the images of .*/a; .* would replace"
    ) as error:
        prepared("folder", other, tmp_path)
    command = f"vireid prepare folder --name NAME --root {other} --data {tmp_path}"
    assert f"Give the second folder a name: {command}\n" in error.value.hint
    assert open_store(tmp_path, "folder").info.root == root
    assert prepared("folder", other, tmp_path, replace=True).info.root == other
    moved = other.rename(tmp_path / "moved")
    assert prepared("folder", moved, tmp_path).info.root == moved, "the same images at another place"
    trees.write_image(moved / "train" / "visible" / "3" / "8.png", 9)
    assert len(prepared("folder", moved, tmp_path).records) == 30, "the folder itself has grown"


def test_words_are_numbered_and_the_store_keeps_the_numbers(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "site", "zoe", "anna", "2", "Łukasz", "_old")
    store = prepared("folder:site", root, tmp_path, split=IdentitySplit(0.0))
    assert store.info.people == {"anna": 1, "zoe": 3, "Łukasz": 4}
    by_folder = {
        path.split("/")[1]: pid for path, pid in zip(store.records.paths, store.records.pids, strict=True)
    }
    assert by_folder == {"anna": 1, "zoe": 3, "Łukasz": 4, "2": 2}
    assert open_store_at(store.folder).info.people == store.info.people
    assert json.loads((store.folder / "store.json").read_text())["people"]["anna"] == 1
    notes = " ".join(store.info.notes)
    assert "3 names of people, numbered: anna is 1, zoe is 3, Łukasz is 4" in notes
    assert "visible/_old (a person is a number)" in notes
    assert find_people("folder:site", tmp_path).people == store.info.people


def test_hashes_of_people_follow_their_names(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "site", "ben", "zoe")
    before = prepared("folder:site", root, tmp_path, split=IdentitySplit(0.0))
    tokens = identity_tokens(before, np.array([1, 2]))
    write_flat(root, "anna")
    after = prepared("folder:site", root, tmp_path)
    assert after.info.people == {"anna": 1, "ben": 2, "zoe": 3}
    assert known_identities(after, np.array([1, 2, 3]), tokens).tolist() == [False, True, True]
    assert identity_tokens(after, np.array([2, 3])) == tokens


def test_two_unicode_forms_are_one_person(tmp_path: Path) -> None:
    assert number_words(["é", "e\u0301", "7", "1"]) == {"é": 2}
    root = write_flat(tmp_path / "site", "é", "e\u0301")
    with pytest.raises(DataError, match="2 numbers with two folders"):
        scan(root)


@pytest.mark.parametrize(("share", "training"), [(0.0, 0), (0.5, 4), (0.3, 2), (1.0, 8)])
def test_a_tree_without_splits_is_divided_by_identity(tmp_path: Path, share: float, training: int) -> None:
    root = write_flat(tmp_path / "site", *(f"p{i}" for i in range(8)))
    records = scan_with_split(root, IdentitySplit(share, 3)).records
    sides = {split: set(records.pids[records.splits == split].tolist()) for split in ("train", "test")}
    assert (len(sides["train"]), len(sides["test"])) == (training, 8 - training)
    assert not sides["train"] & sides["test"]
    assert set(np.unique(records.splits)) <= {"train", "test"}


def test_the_division_depends_on_seed_and_names_only() -> None:
    names = {i: f"p{i}" for i in range(40)}
    first = IdentitySplit(0.5, 0).training(names)
    assert first == IdentitySplit(0.5, 0).training(dict(reversed(names.items())))
    assert first != IdentitySplit(0.5, 1).training(names)
    more = IdentitySplit(0.5, 0).training({**names, 40: "new"})
    assert len(first ^ more) <= 2, "a new person moves at most one other"
    for share, seed in ((1.5, 0), (-0.1, 0), (float("nan"), 0), (0.5, -1)):
        with pytest.raises(UsageError, match="expected"):
            IdentitySplit(share, seed)


def test_the_division_is_recorded_and_kept(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "site", *"abcdef")
    store = prepared("folder:site", root, tmp_path, split=IdentitySplit(1 / 3, 7))
    assert "--split 0.333333 --seed 7 divides the people, 2 for training and 4 for the test" in " ".join(
        store.info.notes
    )
    assert marks(store)["identity_split"] == "split 0.333333 seed 7"
    again = prepared("folder:site", root, tmp_path)
    assert again.info == store.info
    assert prepared("folder:site", root, tmp_path, split=IdentitySplit()).info.split == IdentitySplit()
    default = scan(root)
    assert default.split == IdentitySplit(0.5, 0)
    with pytest.raises(UsageError, match="--split has no effect"):
        prepared("folder:b", trees.write_folder(tmp_path / "b"), tmp_path, split=IdentitySplit())
    with pytest.raises(UsageError, match="--split has no effect"):
        prepared("regdb", trees.write_regdb(tmp_path / "r"), tmp_path, split=IdentitySplit())
    (root / "records.csv").write_text("path,pid,camid,modality,split\nvisible/a/0.png,1,1,visible,train\n")
    with pytest.raises(UsageError, match=r"records.csv divides the people"):
        prepared("folder:site", root, tmp_path, split=IdentitySplit())


def test_a_list_that_is_added_replaces_the_stored_division(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "a", "anna", "ben", "carl", "dora")
    assert prepared("folder", root, tmp_path).info.split is not None
    lines = ["path,pid,camid,modality,split"]
    for number, name in enumerate(("anna", "ben")):
        lines += [f"visible/{name}/0.png,{number},1,visible,{'train' if number else 'gallery'}"]
        lines += [f"infrared/{name}/0.png,{number},2,infrared,{'train' if number else 'query'}"]
    (root / "records.csv").write_text("\n".join(lines))
    store = prepared("folder", root, tmp_path)
    assert store.info.split is None
    assert sorted(store.records.splits.tolist()) == ["gallery", "query", "train", "train"]
    with pytest.raises(UsageError, match=r"records\.csv divides the people"):
        prepared("folder", root, tmp_path, split=IdentitySplit())


def test_other_folders_of_a_tree_without_splits_are_noted(tmp_path: Path) -> None:
    root = write_flat(tmp_path / "site", "a", "b")
    (root / "thermal").mkdir()
    assert "thermal (neither visible nor infrared)" in " ".join(scan(root).report.notes)
