"""The tree on disk: layout, reproducible bytes, interruption, errors, verification."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import pytest
from scipy.io import loadmat

from tests.arrays import read_image
from vireid_cli import files
from vireid_cli.data.provenance import read_provenance
from vireid_cli.dial_defaults import DIALS
from vireid_cli.errors import DataError, UsageError
from vireid_cli.lock import locked
from vireid_cli.rendered import RenderOptions, read_manifest, verify_tree, write_tree
from vireid_cli.rendered import tree as tree_module
from vireid_cli.rendered.layouts import load_layout
from vireid_cli.rendered.manifest import MANIFEST, VERSION
from vireid_cli.rendered.population import plan_population

T = TypeVar("T")

OPTIONS = RenderOptions(ids=6, images=2, seed=3, size=(40, 20))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rendered") / "SYSU-MM01"
    made = write_tree(root, OPTIONS, workers=1)
    assert made.rendered == made.images > 0
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_layout_is_that_of_sysu(tree: Path) -> None:
    plan = plan_population(OPTIONS.ids, OPTIONS.seed)
    expected = {
        f"cam{camid}/{pid:04d}/{frame:04d}.jpg"
        for pid, cameras in plan.cameras.items()
        for camid in cameras
        for frame in range(1, 4 if camid in (1, 2) else 3)  # cameras 1 and 2 are richer
    }
    names = {name for name in contents(tree) if name.endswith(".jpg")}
    assert names == expected
    for name in sorted(names):
        image = read_image(tree / name, cv2.IMREAD_UNCHANGED)
        assert image.ndim == 3
        assert image.shape[2] == 3
        if name[3] in "36":
            assert np.abs(image[..., 0].astype(int) - image[..., 2]).max() <= 2


def test_people_beyond_9999_have_five_digits() -> None:
    options = RenderOptions(ids=20_000, images=1)
    plan, layout = plan_population(options.ids, options.seed), load_layout("sysu")
    assert layout.place(plan, 3, 9999, 1) == "cam3/9999/0001.jpg"
    assert layout.place(plan, 3, 10_000, 1) == "cam3/10000/0001.jpg"
    assert sorted([*plan.train, *plan.val, *plan.test]) == list(range(1, 20_001))
    with pytest.raises(UsageError, match="from 3 to 99999"):
        RenderOptions(ids=100_000)


def test_few_batches_wait_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted: list[int] = []
    done: list[int] = []

    class Counting(tree_module.ThreadPoolExecutor):
        def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
            submitted.append(1)
            assert len(submitted) - len(done) <= 2 * 2 + 6  # two a worker, and the plates of six cameras
            future = super().submit(fn, *args, **kwargs)
            future.add_done_callback(lambda _: done.append(1))
            return future

    monkeypatch.setattr(tree_module, "ThreadPoolExecutor", Counting)
    monkeypatch.setattr(tree_module, "BATCH", 2)
    write_tree(tmp_path / "SYSU-MM01", RenderOptions(ids=6, images=2, seed=3, size=(32, 16)), workers=2)
    assert len(submitted) > 30


def test_split_files_read_back(tree: Path) -> None:
    plan = plan_population(OPTIONS.ids, OPTIONS.seed)
    for name, ids in (("train", plan.train), ("val", plan.val), ("test", plan.test)):
        lines = (tree / "exp" / f"{name}_id.txt").read_text().splitlines()
        assert [int(x) for x in lines[0].split(",")] == list(ids)
        assert loadmat(tree / "exp" / f"{name}_id.mat")["id"].ravel().tolist() == list(ids)
    available = (tree / "exp" / "available_id.txt").read_text()
    assert available == ",".join(str(pid) for pid in range(1, 7)) + "\n"


def test_gallery_draws_have_the_official_format(tree: Path) -> None:
    cells = loadmat(tree / "rand_perm_cam.mat")["rand_perm_cam"]
    assert cells.shape == (6, 1)
    plan = plan_population(OPTIONS.ids, OPTIONS.seed)
    for camid in range(1, 7):
        of_camera = cells[camid - 1][0]
        assert of_camera.shape == (6, 1)
        for pid in range(1, 7):
            draws = of_camera[pid - 1][0]
            if camid in plan.cameras[pid]:
                count = 3 if camid in (1, 2) else 2
                assert draws.shape == (10, count)
                assert (np.sort(draws, axis=1) == np.arange(1, count + 1)).all()
            else:
                assert draws.size == 0


def test_bytes_do_not_depend_on_the_number_of_workers(tree: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_tree(
        tmp_path / "again", OPTIONS, workers=3, progress=lambda done, total: seen.append((done, total))
    )
    assert contents(tmp_path / "again") == contents(tree)
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_interrupted_run_resumes_to_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "broken"

    def interrupt(done: int, total: int) -> None:
        if done > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tree(root, OPTIONS, workers=1, progress=interrupt)
    manifest = read_manifest(root)
    assert manifest is not None
    assert manifest["complete"] is False
    assert verify_tree(root)
    kept = sorted(root.rglob("*.jpg"))
    assert 0 < len(kept) < len(list(tree.rglob("*.jpg")))
    before = kept[1].stat().st_mtime_ns
    # A file truncated by a power cut is detected and written again.
    kept[0].write_bytes(kept[0].read_bytes()[:100])
    write_tree(root, OPTIONS, workers=2)
    assert contents(root) == contents(tree)
    assert kept[1].stat().st_mtime_ns == before


def test_complete_tree_is_unchanged_and_a_missing_file_is_rendered(tree: Path, tmp_path: Path) -> None:
    second = write_tree(tree, OPTIONS)
    assert second.rendered == 0
    assert second.content_hash == read_manifest(tree)["content_hash"]  # type: ignore[index]
    missing = sorted(tree.rglob("*.jpg"))[0]
    data = missing.read_bytes()
    missing.unlink()
    assert write_tree(tree, OPTIONS).rendered > 0
    assert missing.read_bytes() == data
    assert verify_tree(tree) == []


@pytest.mark.parametrize("change", [{"seed": 4}, {"images": 3}, {"size": (48, 24)}, {"ids": 7}])
def test_other_parameters_raise_an_error(tree: Path, change: dict[str, object]) -> None:
    parameters = {"ids": 6, "images": 2, "seed": 3, "size": (40, 20)} | change
    with pytest.raises(UsageError, match=next(iter(change))):
        write_tree(tree, RenderOptions(**parameters))  # type: ignore[arg-type]


def test_a_changed_digit_of_the_mark_is_refused(tree: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "SYSU-MM01"))
    content = json.loads((root / MANIFEST).read_text())
    (root / MANIFEST).write_text(json.dumps(content | {"seed": content["seed"] + 1}))
    for read in (read_provenance, read_manifest):
        with pytest.raises(DataError, match="does not match its hash"):
            read(root)
    del content["sha256"]  # earlier versions wrote none
    (root / MANIFEST).write_text(json.dumps(content))
    assert read_provenance(root).rendered
    assert read_manifest(root)


def test_tree_of_an_earlier_renderer_raises_an_error(tree: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "SYSU-MM01"))
    content = json.loads((root / MANIFEST).read_text())
    files.write_sealed(root / MANIFEST, content | {"version": VERSION - 1})
    with pytest.raises(UsageError, match=f"rendered by version {VERSION - 1} of the renderer") as error:
        write_tree(root, OPTIONS)
    assert "Delete the folder" in error.value.hint


def test_folder_with_other_files_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "cam1").mkdir()
    with pytest.raises(UsageError, match="not rendered"):
        write_tree(tmp_path, OPTIONS)
    with pytest.raises(UsageError):
        verify_tree(tmp_path)


def test_changed_file_is_detected(tree: Path) -> None:
    assert verify_tree(tree) == []
    path = sorted((tree / "cam4").rglob("*.jpg"))[0]
    data = path.read_bytes()
    try:
        path.write_bytes(data[:-3] + b"\x00" + data[-2:])
        problems = verify_tree(tree)
        assert len(problems) == 1
        assert "cam4" in problems[0]
    finally:
        path.write_bytes(data)


def test_manifest_records_parameters_and_counts(tree: Path, tmp_path: Path) -> None:
    manifest = read_manifest(tree)
    assert manifest is not None
    assert manifest["parameters"] == {
        "ids": 6,
        "more_test_ids": 0,
        "images": 2,
        "seed": 3,
        "size": [40, 20],
        **DIALS,
    }
    assert sum(sum(split.values()) for split in manifest["images"].values()) == len(list(tree.rglob("*.jpg")))
    assert read_manifest(tmp_path) is None
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(DataError):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps({"other": 1}))
    with pytest.raises(DataError):
        read_manifest(tmp_path)


@pytest.mark.parametrize("wrong", [{"ids": 2}, {"images": 0}, {"seed": -1}, {"size": (10, 5)}])
def test_options_out_of_range_raise_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        RenderOptions(**wrong)  # type: ignore[arg-type]


def test_full_disk_is_reported_and_the_run_resumes(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, replace, written = tmp_path / "SYSU-MM01", os.replace, []

    def fill_up(source: Path, target: Path) -> None:
        written.append(target)
        if len(written) > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(tree_module.os, "replace", fill_up)
        with pytest.raises(DataError, match="No space left") as caught:
            write_tree(root, OPTIONS, workers=1)
    assert "finished images are kept" in caught.value.hint
    assert list(root.rglob(".*")), "the file that did not fit"
    write_tree(root, OPTIONS, workers=2)
    assert contents(root) == contents(tree)


def test_root_that_is_a_file_raises_an_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        write_tree(file, OPTIONS)
    with pytest.raises(DataError, match="cannot write"):
        write_tree(file / "below", OPTIONS)
    assert file.read_text() == "mine"


def test_run_killed_before_the_first_manifest_resumes(tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "SYSU-MM01"
    root.mkdir()
    (root / f".{MANIFEST}.abc.tmp").write_text("{")
    write_tree(root, OPTIONS)
    assert contents(root) == contents(tree)


def test_two_processes_cannot_render_one_tree(tmp_path: Path) -> None:
    root = tmp_path / "SYSU-MM01"
    with (
        locked(root, tmp_path / ".SYSU-MM01.lock"),
        pytest.raises(DataError, match=rf"another process \(process id {os.getpid()}\)"),
    ):
        write_tree(root, OPTIONS)
    assert not root.exists()
