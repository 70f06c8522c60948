"""Trees in the layouts of RegDB and LLCM: the lists name the files, and the sources read them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.arrays import read_image
from vireid_cli.data.identity import marks
from vireid_cli.data.protocols import plans_for
from vireid_cli.data.protocols.request import Request
from vireid_cli.engine.engine import Engine
from vireid_cli.errors import UsageError
from vireid_cli.rendered import RenderOptions, read_manifest, verify_tree, write_tree
from vireid_cli.rendered.layouts import layout_names, load_layout
from vireid_cli.types import Modality

PEOPLE = {"regdb": 6, "llcm": 9}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory with both trees under ``rendered``."""
    folder = tmp_path_factory.mktemp("layouts")
    for name, ids in PEOPLE.items():
        options = RenderOptions(ids=ids, images=1, seed=5, size=(40, 20), layout=name)
        write_tree(folder / "rendered" / load_layout(name).folder, options, workers=1)
    return folder


def images(root: Path) -> list[str]:
    paths = (path for path in root.rglob("*") if path.suffix in (".jpg", ".bmp"))
    return sorted(path.relative_to(root).as_posix() for path in paths)


@pytest.mark.parametrize("name", PEOPLE)
def test_tree_is_complete_and_has_a_manifest(data: Path, name: str) -> None:
    root = data / "rendered" / load_layout(name).folder
    manifest = read_manifest(root)
    assert manifest is not None
    assert manifest["layout"] == load_layout(name).title
    assert verify_tree(root) == []
    assert len(images(root)) == sum(sum(by.values()) for by in manifest["images"].values())
    second = write_tree(root, RenderOptions(PEOPLE[name], 1, 5, (40, 20), name))
    assert second.rendered == 0
    with pytest.raises(UsageError, match=r"layout: (RegDB|LLCM) in the folder"):
        write_tree(root, RenderOptions(PEOPLE[name], 1, 5, (40, 20), "sysu"))


def test_regdb_lists_halve_the_people_in_each_trial(data: Path) -> None:
    root = data / "rendered" / "RegDB"
    every, drawn = images(root), set()
    for trial in range(1, 11):
        halves = {}
        for split in ("train", "test"):
            lines = [
                line.rsplit(" ", 1)
                for word in ("visible", "thermal")
                for line in (root / "idx" / f"{split}_{word}_{trial}.txt").read_text().splitlines()
            ]
            halves[split] = [path for path, _ in lines]
            assert sorted({int(label) for _, label in lines}) == [0, 1, 2]
        assert sorted(halves["train"] + halves["test"]) == every
        people = [{path.split("/")[1] for path in halves[split]} for split in halves]
        assert not people[0] & people[1]
        drawn.add(tuple(sorted(people[0])))
    assert len(drawn) > 1  # ten trials are not ten times the same


def test_llcm_lists_name_every_image(data: Path) -> None:
    root = data / "rendered" / "LLCM"
    lists = (root / "idx" / f"{split}_{word}.txt" for split in ("train", "test") for word in ("vis", "nir"))
    listed = [line.rsplit(" ", 1)[0] for path in lists for line in path.read_text().splitlines()]
    assert sorted(listed) == images(root)
    assert not (root / "test_nir" / "cam3").exists()
    tested = {int(pid) for pid in (root / "idx" / "test_id.txt").read_text().split(",")}
    assert tested == {int(path.split("/")[2]) for path in listed if path.startswith("test_")}


def test_llcm_searches_no_list_of_people_for_each_image() -> None:
    """A search from the first person on would make the lists quadratic in the number of people."""

    class People(tuple[int, ...]):
        __slots__ = ()

        def __contains__(self, _: object) -> bool:
            pytest.fail("searched from the first person on")

    layout = load_layout("llcm")
    plan = layout.plan(40, 0, 5)
    paths = [layout.place(replace(plan, test=People(plan.test)), 41, pid, 1) for pid in range(1, 46)]
    tested = {pid for pid, path in enumerate(paths, 1) if path.startswith("test_vis/")}
    assert tested == set(plan.test)


@pytest.mark.parametrize("name", PEOPLE)
def test_rendered_tree_is_prepared_without_a_real_dataset(data: Path, name: str) -> None:
    store = Engine.choose("cpu", data_dir=data).prepare(name, (32, 16)).store
    assert store.rendered
    assert marks(store)["dataset"] == f"rendered {load_layout(name).title} layout"
    assert "rendered" in marks(store)
    assert not any("expected" in note for note in store.info.notes)
    for plan in plans_for(store, Request(trial=2 if name == "regdb" else None)):
        assert plan.trials == (1 if name == "regdb" else 10)


def test_spectra_match_the_layouts(data: Path) -> None:
    regdb, llcm = data / "rendered" / "RegDB", data / "rendered" / "LLCM"
    for root, pattern, infrared in (
        (regdb, "Visible/*/*", False),
        (regdb, "Thermal/*/*", True),
        (llcm, "vis/*/*", False),
        (llcm, "nir/*/*", True),
    ):
        pixels = [read_image(path).astype(int) for path in root.glob(pattern)]
        spread = np.mean([np.ptp(image, axis=2).mean() for image in pixels])
        assert (spread < 1) == infrared
        if (root, infrared) == (llcm, False):
            assert np.mean([image.mean() for image in pixels]) < 80  # at night


def test_camera_keys_are_unique() -> None:
    numbers = [camid for name in layout_names() for camid in load_layout(name).cameras]
    assert len(numbers) == len(set(numbers)) == 6 + 2 + 17
    for name in layout_names():
        assert all(camid == camera.camid for camid, camera in load_layout(name).cameras.items())
    infrared = [c for c in load_layout("llcm").cameras.values() if c.modality is Modality.INFRARED]
    assert len(infrared) == 8
    with pytest.raises(UsageError, match="did you mean 'llcm'"):
        load_layout("lcm")
