"""The occluded tree: same bytes for any split of the work, resumed, verified, read again."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.arrays import decode_image
from tests.conftest import write_sysu_tree
from tests.data import trees
from vireid_cli.commands.main import app
from vireid_cli.data import provenance
from vireid_cli.data.decode import decode
from vireid_cli.data.sources import load_source
from vireid_cli.engine.engine import Engine
from vireid_cli.errors import DataError, UsageError
from vireid_cli.occlusion import build, image, mark
from vireid_cli.occlusion.build import OccludedTree, build_occluded
from vireid_cli.occlusion.compose import Composer
from vireid_cli.occlusion.drawing.catalogue import build_builtin
from vireid_cli.occlusion.image import UNFINISHED, OcclusionWork
from vireid_cli.occlusion.library import INDEX, Library, read_library
from vireid_cli.occlusion.mark import MANIFEST, MARK, OcclusionOptions, read_manifest_lines, verify_occluded
from vireid_cli.occlusion.policy import Policy, preset


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    build_builtin(folder, ["bin", "stop sign"])
    return folder


@pytest.fixture(scope="session")
def library(drawn: Path) -> Library:
    return read_library(drawn)


def make(base: Path, root: Path, library: Library, name: str = "occ-sysu", **options: object) -> OccludedTree:
    records = load_source("sysu").scan(base).records
    chosen = OcclusionOptions("sysu", name, preset(name))
    return build_occluded(records, base, root, library, chosen, decode, **options)  # type: ignore[arg-type]


def content(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="session")
def base(sysu_tree: Path) -> Path:
    return sysu_tree / "SYSU-MM01"


@pytest.fixture(scope="session")
def whole(base: Path, library: Library, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("occluded") / "tree"
    make(base, root, library, workers=1)
    return root


def test_workers_and_parts_give_the_same_bytes(
    base: Path, whole: Path, library: Library, tmp_path: Path
) -> None:
    for workers in (2, 3):
        make(base, tmp_path / str(workers), library, workers=workers)
        assert content(tmp_path / str(workers)) == content(whole)
    for k in (2, 1):
        tree = make(base, tmp_path / "parts", library, part=(k, 2))
        assert bool(tree.content_hash) == (k == 1)
    assert content(tmp_path / "parts") == content(whole)


def test_parts_that_run_at_once_complete_the_tree(
    base: Path, whole: Path, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second part runs while the first one works, so that neither starts after the other's end."""
    root, run = tmp_path / "tree", build._run

    def after_the_other(*arguments: Any) -> list[dict[str, Any]]:
        monkeypatch.setattr(build, "_run", run)
        assert make(base, root, library, part=(2, 2), workers=1).content_hash == ""
        return run(*arguments)

    monkeypatch.setattr(build, "_run", after_the_other)
    assert make(base, root, library, part=(1, 2), workers=1).content_hash
    assert content(root) == content(whole)


def test_other_parts_may_delete_journals_and_unfinished_files(
    base: Path, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process completes the tree while this one reads the journals and writes an image."""
    root, read, link = tmp_path / "tree", build.read_manifest_lines, image._link
    make(base, root, library, part=(2, 2), workers=1)

    def after_the_end(path: Path) -> list[dict[str, Any]]:
        if path.name.startswith(".journal-2"):
            monkeypatch.setattr(build, "read_manifest_lines", read)
            make(base, root, library, workers=1)
        return read(path)

    monkeypatch.setattr(build, "read_manifest_lines", after_the_end)
    assert make(base, root, library, part=(1, 2), workers=1).content_hash
    deleted: list[Path] = []

    def deleting(source: Path, target: Path) -> None:
        link(source, target)
        if not deleted:
            deleted.append(target)
            target.unlink()

    monkeypatch.setattr(image, "_link", deleting)
    assert make(base, tmp_path / "other", library, workers=1).content_hash
    assert deleted
    assert content(tmp_path / "other") == content(root)


def test_a_temporary_file_of_the_mark_is_not_foreign(base: Path, library: Library, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / f".{MARK}.x1y2.tmp").write_text("{")  # as a killed process leaves it
    assert make(base, tmp_path / "tree", library, workers=1).content_hash


def test_a_nested_tree_is_refused(library: Library, tmp_path: Path) -> None:
    base = write_sysu_tree(tmp_path / "data" / "base", images=1)
    before = content(tmp_path)
    for root in (base, base / "occ", tmp_path / "data"):
        with pytest.raises(UsageError, match="the original dataset"):
            make(base, root, library)
    (tmp_path / "link").symlink_to(base)
    with pytest.raises(UsageError, match="inside the original dataset"):
        make(base, tmp_path / "link" / "occ", library)
    assert content(tmp_path) == before


def test_a_worker_that_starts_anew_makes_the_same_bytes(
    base: Path, whole: Path, library: Library, tmp_path: Path
) -> None:
    """Without forking, each worker gets a pickled copy of its work."""
    records = load_source("sysu").scan(base).records
    options = OcclusionOptions("sysu", "occ-sysu", preset("occ-sysu"))
    work = OcclusionWork(base, tmp_path, options, Composer(library, options.policy), decode)
    sent = pickle.loads(pickle.dumps(partial(build.write_batch, work)))
    for line in sent([records.row(i) for i in range(0, len(records), 9)]):
        assert (tmp_path / line["path"]).read_bytes() == (whole / line["path"]).read_bytes()


def test_policy_by_role(whole: Path, base: Path) -> None:
    lines = read_manifest_lines(whole / MANIFEST)
    assert len(lines) == len(load_source("sysu").scan(base).records)
    by_role = {
        role: [line["occluded"] for line in lines if line["role"] == role]
        for role in ("train", "query", "gallery")
    }
    assert all(by_role["query"])
    assert not any(by_role["gallery"])
    assert 0.3 < np.mean(by_role["train"]) < 0.7
    for line in lines:
        same = (whole / line["path"]).read_bytes() == (base / line["path"]).read_bytes()
        assert same != line["occluded"]
        if line["occluded"]:
            assert line["pool"] == ("test" if line["role"] == "query" else "train")


def test_an_interrupted_run_continues(
    base: Path, whole: Path, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    original = build.write_image

    def failing(work: object, record: object) -> dict[str, Any]:
        if len(made) == 100:
            raise KeyboardInterrupt
        made.append("")
        return original(work, record)  # type: ignore[arg-type]

    monkeypatch.setattr(build, "write_image", failing)
    with pytest.raises(KeyboardInterrupt):
        make(base, tmp_path / "tree", library, workers=1)
    assert not json.loads((tmp_path / "tree" / MARK).read_text())["complete"]
    with pytest.raises(DataError, match="is incomplete"):
        load_source("occ-sysu").scan(tmp_path / "tree")
    journal = next((tmp_path / "tree").glob(".journal*"))
    journal.write_text(journal.read_text()[:-40])  # as a kill in the middle of a line leaves it
    monkeypatch.setattr(build, "write_image", original)
    tree = make(base, tmp_path / "tree", library)
    assert 0 < tree.written < tree.images
    assert content(tmp_path / "tree") == content(whole)


def test_a_killed_run_continues(library: Library, tmp_path: Path) -> None:
    base, tree = write_sysu_tree(tmp_path / "base", images=4), tmp_path / "tree"
    killed = multiprocessing.get_context("spawn").Process(
        target=make, args=(base, tree, library), kwargs={"workers": 2}
    )
    killed.start()
    while killed.is_alive() and not any(p.stat().st_size > 1 for p in tree.glob(".journal*")):
        time.sleep(0.001)
    killed.kill()
    killed.join()
    assert not json.loads((tree / MARK).read_text())["complete"]
    torn = tree / "cam1" / "0001" / f".0001.jpg.123{UNFINISHED}"
    torn.parent.mkdir(parents=True, exist_ok=True)
    torn.write_bytes(b"half")  # as a kill in the middle of a file leaves it
    make(base, tmp_path / "whole", library, workers=1)
    assert 0 < make(base, tree, library).written < len(read_manifest_lines(tree / MANIFEST))
    assert not torn.exists()
    assert content(tree) == content(tmp_path / "whole")


def test_a_changed_digit_of_the_mark_is_refused(base: Path, library: Library, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    make(base, root, library)
    content = json.loads((root / MARK).read_text())
    (root / MARK).write_text(json.dumps(content | {"quality": 96}))
    for read in (mark.read_mark, provenance.read_provenance):
        with pytest.raises(DataError, match="does not match its hash"):
            read(root)
    del content["sha256"]  # earlier versions wrote none
    (root / MARK).write_text(json.dumps(content))
    assert mark.read_mark(root) == content
    assert provenance.read_provenance(root).occlusion == content


def test_verify_finds_a_changed_byte(base: Path, library: Library, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    make(base, root, library, "occ-all")
    assert verify_occluded(root) == []
    victim = root / read_manifest_lines(root / MANIFEST)[5]["path"]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))
    assert verify_occluded(root) == [f"{victim.relative_to(root).as_posix()}: does not match its hash"]
    assert make(base, root, library, "occ-all").written == 1  # damaged images are made again
    assert verify_occluded(root) == []
    (root / "exp" / "test_id.txt").write_text("1\n")
    assert "exp/test_id.txt" in verify_occluded(root)[0]


def test_other_parameters_and_foreign_folders_are_refused(
    base: Path, whole: Path, library: Library, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="other parameters"):
        make(base, whole, library, "occ-all")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="did not write"):
        make(base, tmp_path, library)


def test_the_tree_is_read_by_the_ordinary_source(whole: Path, base: Path) -> None:
    result, there = load_source("occ-sysu").scan(whole), load_source("sysu").scan(base)
    np.testing.assert_array_equal(result.records.paths, there.records.paths)
    assert result.report.provenance.occlusion["preset"] == "occ-sysu"
    assert mark.MARK == provenance.OCCLUSION


def test_png_and_bmp_are_lossless() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 10, 3), dtype=np.uint8)
    for ending in (".png", ".bmp"):
        np.testing.assert_array_equal(decode(image.encode(pixels, ending, 95)), pixels)
    assert decode_image(image.encode(pixels, ".jpg", 95)).shape == (20, 10, 3)


def test_a_damaged_library_is_refused(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    made = read_library(tmp_path)
    assert {thing.pool for thing in made.occluders} == {"train", "test"}
    (tmp_path / "stop-sign-0.png").write_bytes(b"x")
    with pytest.raises(DataError, match="does not match its hash"):
        read_library(tmp_path)
    (tmp_path / INDEX).unlink()
    with pytest.raises(UsageError, match="vireid prepare occluders"):
        read_library(tmp_path)


@pytest.mark.parametrize("changes", [{"train_p": 1.5}, {"low": 0.0}, {"low": 0.8, "high": 0.7}])
def test_policies_out_of_range_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="occlusion"):
        Policy(**changes)  # type: ignore[arg-type]


def test_the_command_line(base: Path, drawn: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    (tmp_path / "SYSU-MM01").symlink_to(base)
    (tmp_path / "occluders").symlink_to(drawn)
    runner, env = CliRunner(), {"VIREID_DATA": str(tmp_path)}
    done = runner.invoke(
        app,
        ["prepare", "occluded", "--from", "sysu", "--gallery-p", "1", "--seed", "4", "--data", str(tmp_path)],
    )
    assert done.exit_code == 0, done.output
    assert "complete, content" in done.output
    assert f"next: vireid prepare occ-sysu --data {tmp_path}\n" in done.output
    assert runner.invoke(app, ["prepare", "occluded", "--verify"], env=env).exit_code == 0
    store = Engine.choose("cpu", data_dir=tmp_path).prepare("occ-sysu", (32, 16)).store
    assert store.info.provenance.occlusion["policy"]["gallery_p"] == 1.0
    out = tmp_path / "sheet.png"
    done = runner.invoke(app, ["visualize", "occlusion", "--rows", "1", "--out", str(out)], env=env)
    assert done.exit_code == 0, done.output
    assert out.is_file()
    tree = tmp_path / load_source("occ-sysu").FOLDER
    next(path for path in sorted(tree.rglob("*.jpg")) if not path.is_symlink()).unlink()
    command = (
        f"vireid prepare occluded --from sysu --root {tree} --data {tmp_path}, with the original options"
    )
    lines = Engine.choose("cpu", data_dir=tmp_path).verify_occluded("sysu")
    assert lines[-1] == f"to repair: {command}"


@pytest.mark.parametrize("name", ["regdb", "llcm"])
def test_other_layouts_and_their_trials(name: str, drawn: Path, tmp_path: Path) -> None:
    writer = {"regdb": trees.write_regdb, "llcm": trees.write_llcm}[name]
    writer(tmp_path / load_source(name).FOLDER)
    (tmp_path / "occluders").symlink_to(drawn)
    engine = Engine.choose("cpu", data_dir=tmp_path)
    trial = 3 if name == "regdb" else 1
    tree = engine.occlude(name, trial=trial)
    lines = read_manifest_lines(tree.root / MANIFEST)
    store = engine.prepare(f"occ-{name}", (32, 16)).store
    table = store.records_in_trial(trial)
    split_of = dict(zip(table.paths.tolist(), table.splits.tolist(), strict=True))
    assert len(split_of) == len(lines)
    for line in lines:
        assert (line["role"] == "train") == (split_of[line["path"]] != "test")
        assert line["role"] == "train" or line["occluded"]
    if name == "regdb":
        assert set(store.records_in_trial(4).splits.tolist()) == {"none"}
        with pytest.raises(UsageError, match="--trial 11"):
            engine.occlude(name, trial=11)
    with pytest.raises(UsageError, match=r"other parameters|trials"):
        engine.occlude(name, trial=trial + 1)
