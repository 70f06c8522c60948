"""The images that ``prepare occluded`` copies and their roles: those of training and evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data import trees
from vireid_cli.data import records_file
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.occlusion import occluded_root
from vireid_cli.engine.reporter import Reporter
from vireid_cli.errors import DataError, UsageError
from vireid_cli.occlusion.drawing.catalogue import build_builtin
from vireid_cli.occlusion.mark import MANIFEST, MARK, read_manifest_lines

LISTED = 4
"""Number of people in the list."""


class Lines(Reporter):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    build_builtin(folder, ["bin", "stop sign"])
    return folder


def write_list(root: Path, tested: tuple[str, str] = ("test", "test"), people: int = LISTED) -> None:
    """List the first people of a RegDB tree, half to train on; ``tested``: visible and infrared split."""
    lines = ["path,pid,camid,modality,split"]
    for side, camid, modality in (("Visible", 1, "visible"), ("Thermal", 2, "infrared")):
        for path in sorted((root / side).rglob("*.bmp")):
            pid = int(path.parent.name)
            split = "train" if pid <= people / 2 else tested[camid - 1]
            if pid <= people:
                lines.append(f"{path.relative_to(root).as_posix()},{pid},{camid},{modality},{split}")
    (root / "records.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("layout", [True, False])
def test_a_list_decides_the_roles(library: Path, tmp_path: Path, *, layout: bool) -> None:
    root = trees.write_regdb(tmp_path / "RegDB")
    write_list(root)
    if not layout:
        shutil.rmtree(root / "idx")
    engine = Engine.choose("cpu", data_dir=tmp_path)
    tree = engine.occlude("regdb", library=library)
    lines = {line["path"]: line for line in read_manifest_lines(tree.root / MANIFEST)}
    records = engine.prepare("occ-regdb", (32, 16)).store.records
    assert set(records.paths.tolist()) == set(lines)
    assert set(records.pids.tolist()) == set(range(1, LISTED + 1))
    for path, split in zip(records.paths.tolist(), records.splits.tolist(), strict=True):
        assert (lines[path]["role"] == "train") == (split == "train")
    with pytest.raises(UsageError, match="--trial 2: RegDB has no trials"):
        engine.occlude("regdb", library=library, trial=2)


def test_queries_and_gallery_of_a_list_have_their_roles(library: Path, tmp_path: Path) -> None:
    write_list(trees.write_regdb(tmp_path / "RegDB"), ("query", "gallery"))
    tree = Engine.choose("cpu", data_dir=tmp_path).occlude("regdb", library=library, changes={"train_p": 1.0})
    for line in read_manifest_lines(tree.root / MANIFEST):
        pid = int(line["path"].split("/")[1])
        tested = "query" if line["modality"] == "visible" else "gallery"
        assert line["role"] == ("train" if pid <= LISTED / 2 else tested)
        assert line["pool"] == ("train" if line["role"] == "train" else "test")


def test_a_list_in_an_occluded_tree_does_not_replace_its_checks(library: Path, tmp_path: Path) -> None:
    root = trees.write_regdb(tmp_path / "RegDB")
    write_list(root)
    with pytest.raises(UsageError, match="not an occluded dataset"):
        records_file.scan("occ-regdb", root)
    (root / "records.csv").rename(tmp_path / "records.csv")
    tree = Engine.choose("cpu", data_dir=tmp_path).occlude("regdb", library=library).root
    shutil.copy(tmp_path / "records.csv", tree)
    with pytest.raises(DataError, match="occluded copy of 'regdb', not of 'sysu'"):
        records_file.scan("occ-sysu", tree)
    with pytest.raises(DataError, match="was occluded for trial 1 of the lists in idx/"):
        records_file.scan("occ-regdb", tree)


def test_splits_other_than_those_of_the_list_are_refused(library: Path, tmp_path: Path) -> None:
    write_list(trees.write_regdb(tmp_path / "RegDB"), people=len(trees.REGDB_PEOPLE))
    tree = Engine.choose("cpu", data_dir=tmp_path).occlude("regdb", library=library).root
    (tree / "records.csv").unlink()
    with pytest.raises(DataError, match=r"was occluded for the splits of records\.csv"):
        records_file.scan("occ-regdb", tree)


def test_the_base_is_the_prepared_one(library: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    usual, elsewhere = trees.write_regdb(data / "RegDB", images=1), trees.write_regdb(tmp_path / "elsewhere")
    reporter = Lines()
    engine = Engine.choose("cpu", data_dir=data, reporter=reporter)
    assert occluded_root("regdb", engine.session)[0] == usual
    engine.prepare("regdb", (32, 16), root=elsewhere)
    tree = engine.occlude("regdb", library=library)
    assert f"occluding the images in {elsewhere}" in reporter.lines
    assert tree.images == 2 * 2 * len(trees.REGDB_PEOPLE)
    assert json.loads((tree.root / MARK).read_text())["base"]["images"] == tree.images
    people = np.unique(engine.prepare("occ-regdb", (32, 16)).store.records.pids)
    assert people.tolist() == list(trees.REGDB_PEOPLE)
    elsewhere.rename(tmp_path / "moved")
    assert occluded_root("regdb", engine.session)[0] == usual
