"""Figures and reports of datasets other than SYSU-MM01: cameras are named only if a modality has several."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from tests.data import trees
from tests.engine.test_datasets import TINY, WRITERS, engine
from tests.occlusion.test_compose import library
from vireid_cli.data import protocols
from vireid_cli.data.protocols.request import LlcmProtocol, Request
from vireid_cli.engine.engine import Engine, FigureOptions
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.visualize import occlusion
from vireid_cli.errors import UsageError
from vireid_cli.results.formatting import protocol_label
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Modality, Record, RecordTable

SIZE = (32, 16)
LLCM: tuple[LlcmProtocol, ...] = ("llcm-train", "llcm-release", "llcm-full")
RANKING = {"protocol": None, "queries": 2, "order": None, "seed": 0}


@dataclass(frozen=True, slots=True)
class Words(Output):
    """Keeps a figure's texts and writes nothing."""

    words: list[str] = field(default_factory=list)

    def save(self, figure: Figure, default: Path) -> Path:
        self.words.extend(text.get_text() for text in figure.findobj(Text) if text.get_text())
        return default


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Engine]:
    """An engine for each set."""
    return {name: engine(tmp_path_factory.mktemp(name), name) for name in WRITERS}


@pytest.fixture(scope="module")
def runs(there: dict[str, Engine], tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    """A run of a set with cameras and two of sets without, evaluated."""
    recipe = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    text = "method: {name: baseline}\nbackbone: {name: resnet18, weights: none, width: 16}\n"
    recipe.write_text(f"paper: none\n{text}")
    settings = [*TINY, "train.steps_per_epoch=1"]
    result: dict[str, RunFolder] = {}
    for name in ("regdb", "llcm", "oulu"):
        result[name] = there[name].train(str(recipe), [*settings, f"data.dataset={name}"])
        there[name].evaluate(result[name])
    return result


def words_of(engine: Engine, figure: str, subject: RunFolder | str, **options: Any) -> list[str]:
    output = Words()
    engine.visualize(figure, subject, output=output, **options)
    return output.words


def named(words: list[str]) -> list[str]:
    return [word for word in words if re.search(r"\bcam", word)]


def test_cameras_are_meaningful_if_a_modality_has_several() -> None:
    def table(*camids: tuple[int, Modality]) -> RecordTable:
        return RecordTable.of([Record(f"{i}.jpg", 1, c, m, "test") for i, (c, m) in enumerate(camids)])

    one, two = Modality.VISIBLE, Modality.INFRARED
    assert not table((1, one), (2, two), (1, one)).has_cameras
    assert not table((1, one), (1, two)).has_cameras
    assert table((1, one), (2, one), (3, two)).has_cameras
    assert table((1, one), (1, two), (2, two)).has_cameras


@pytest.mark.parametrize("name", ["regdb", "llcm", "folder"])
def test_the_querying_modality_is_named(there: dict[str, Engine], name: str) -> None:
    store = ensure_prepared(name, there[name].session, SIZE, "lanczos")
    of: dict[str, list[Request]] = {
        "llcm": [Request(llcm=protocol) for protocol in LLCM],
        "regdb": [Request(trial=1)],
    }
    requests = of.get(name, [Request()])
    plans = [plan for request in requests for plan in protocols.plans_for(store, request)]
    assert len(plans) == 2 * len(requests)
    for plan in plans:
        [asking] = {Modality.of(code) for code in store.records.modalities[plan.queries[0]]}
        [asked] = {Modality.of(code) for code in store.records.modalities[plan.galleries[0]]}
        words = protocol_label(plan.name)
        assert f"{asking} queries, " in words
        assert f"{asked} " in words.partition("queries, ")[2]


@pytest.mark.parametrize(("name", "cameras"), [("regdb", 0), ("oulu", 0), ("llcm", 2), ("folder", 2)])
def test_figures_of_images(there: dict[str, Engine], name: str, cameras: int) -> None:
    spectrum = words_of(there[name], "spectrum", name, size=SIZE)
    assert len(named(spectrum)) == cameras
    assert {"visible", "infrared"} <= set(spectrum)
    seg = words_of(there[name], "seg", name, size=SIZE, ids=2, images=4, seed=0)
    rows = [word for word in seg if word.startswith("pid ")]
    assert len(rows) == 2
    assert len(named(rows)) == cameras
    sheet = words_of(there[name], "sheet", name, images=40, seed=0)
    assert bool(named(sheet)) == bool(cameras)
    assert cameras or {word.split(" · ")[1] for word in sheet[1:]} == {"visible", "infrared"}


@pytest.fixture(autouse=True)
def one_occluder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library of one thing in either pool: the built-in one takes long to draw."""
    one = library()
    things = tuple(replace(one.occluders[0], name=pool, pool=pool) for pool in ("train", "test"))
    both = replace(one, occluders=things, cutouts=one.cutouts * 2)
    monkeypatch.setattr(occlusion, "ensure_library", lambda *_: both)


@pytest.mark.parametrize(("name", "by"), [("regdb", "modality"), ("llcm", "camera")])
def test_before_and_after(there: dict[str, Engine], name: str, by: str) -> None:
    words = words_of(there[name], "occlusion", name, rows=1)
    assert words[0].replace("\n", " ").endswith(f": before and after, by {by}")
    assert words[1].startswith("ε: ")
    places = words[2::2]
    assert places == {"modality": ["infrared", "visible"], "camera": ["cam 1", "cam 2", "cam 3"]}[by]


def test_a_list_in_place_of_a_layout_is_drawn(tmp_path: Path) -> None:
    root = tmp_path / "data" / "folder"
    rows = [
        (f"{pid}-{side}-{camid}.png", pid, camid, side, "train" if pid < 3 else "test")
        for pid in (1, 2, 3, 4)
        for side, camids in (("visible", (1, 2)), ("infrared", (5,)))
        for camid in camids
    ]
    for name, pid, *_ in rows:
        trees.write_image(root / name, pid)
    text = "".join(
        ",".join(map(str, row)) + "\n" for row in [("path", "pid", "camid", "modality", "split"), *rows]
    )
    (root / "records.csv").write_text(text)
    listed = Engine.choose("cpu", data_dir=tmp_path / "data", runs_dir=tmp_path / "runs")
    words = words_of(listed, "occlusion", "folder", rows=1)
    assert words[2::2] == ["cam 1", "cam 2", "cam 5"]
    assert len(named(words_of(listed, "sheet", "folder", images=40, seed=0))) == len(rows)


def test_numbers_of_people_may_be_huge_and_one_modality_is_enough(tmp_path: Path) -> None:
    root = tmp_path / "data" / "folder"
    huge = 123456789012
    rows = [
        (f"{pid}-{i}.png", pid, i, "visible", split)
        for pid, images, split in ((1, 1, "test"), (2, 2, "train"), (huge, 3, "test"))
        for i in range(1, images + 1)
    ]
    for name, pid, *_ in rows:
        trees.write_image(root / name, pid)
    lines = [("path", "pid", "camid", "modality", "split"), *rows]
    (root / "records.csv").write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
    listed = Engine.choose("cpu", data_dir=tmp_path / "data", runs_dir=tmp_path / "runs")
    sheet = words_of(listed, "sheet", "folder", images=40, seed=0)
    counts = (huge, 3), (2, 2), (1, 1)
    assert sheet[1:] == [f"pid\n{pid}\ncam {i}" for pid, n in counts for i in range(1, n + 1)]

    two = {"size": SIZE, "modality": Modality.VISIBLE}
    swap = words_of(listed, "phase-swap", "folder", **two)
    assert any(f"pid {huge}" in word for word in swap), "the first test identity with two images"
    assert any("pid 2" in word for word in words_of(listed, "phase-swap", "folder", pid=2, **two))
    with pytest.raises(UsageError, match=r"nobody has two infrared images(.|\n)*--modality"):
        words_of(listed, "phase-swap", "folder", **{**two, "modality": Modality.INFRARED})
    with pytest.raises(UsageError, match="pid 1 has 1 visible image, not two"):
        words_of(listed, "phase-swap", "folder", pid=1, **two)
    with pytest.raises(UsageError, match=rf"pid 9 does not exist(.|\n)*--pid {huge}"):
        words_of(listed, "phase-swap", "folder", pid=9, **two)
    with pytest.raises(UsageError, match="nobody has images of both modalities"):
        words_of(listed, "phase-swap", "folder", **{**two, "modality": None})


def test_a_sheet_shows_both_modalities_of_a_camera(there: dict[str, Engine]) -> None:
    sheet = words_of(there["llcm"], "sheet", "llcm", images=40, seed=0)
    assert len(sheet) == 1 + 7 * 5, "7 people, three visible cameras, two infrared ones; and the title"
    assert sheet.count("pid 7 · cam 1") == 2
    assert sheet.count("pid 7 · cam 3") == 1


@pytest.mark.parametrize(("name", "cameras"), [("regdb", False), ("oulu", False), ("llcm", True)])
def test_rankings_and_reports(
    there: dict[str, Engine], runs: dict[str, RunFolder], tmp_path: Path, name: str, cameras: bool
) -> None:
    ranking = words_of(there[name], "ranking", runs[name], **RANKING)
    assert bool(named(ranking)) == cameras
    queries = [word for word in ranking if "\nAP " in word]
    assert len(queries) == 2
    assert cameras or all(" · infrared\n" in word for word in queries), "both protocols drawn are i2v"
    [about] = [word for word in ranking if "cosine similarity" in word]
    assert (", trial 0," in about) == (name == "llcm"), "of one gallery there are no trials"
    assert name == "oulu" or ("i2v" in about and "(infrared queries, visible gallery)" in about)
    options: FigureOptions = {"protocol": None, "ids": 4, "seed": 0, "latency": False}
    path = there[name].visualize("report", runs[name], output=Output(tmp_path / "r.html"), **options)
    text = path.read_text(encoding="utf-8")
    assert ('id="cameras"' in text) == ('href="#cameras"' in text) == cameras
    assert ('id="filter-camera"' in text) == cameras
    result = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert result
    data = json.loads(result[1])
    assert data["gallery"]["cameras"] is cameras
    assert (", first trial, each" in text) == (name == "llcm")
    assert "<dt>seed</dt><dd>0</dd>" in text
    assert f"<dt>shots</dt><dd>{'1' if name == 'llcm' else 'all images'}</dd>" in text
    assert (data["charts"]["tsne-0"]["camera"] is not None) == cameras
