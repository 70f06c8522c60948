"""The report of evaluated runs: it shows the measured values; wrong use is refused."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.arrays import decode_image
from vireid_cli import files
from vireid_cli.data.store import Store
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.prepare import prepare_dataset
from vireid_cli.engine.subjects import report_images
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.subjects.report_gallery import people_shown
from vireid_cli.engine.subjects.report_images import Album, encode
from vireid_cli.engine.subjects.report_results import facts_of
from vireid_cli.engine.visualize import report as drawing
from vireid_cli.errors import DataError, MissingExtra, UsageError
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Embeddings

SIZE = (64, 32)
PROTOCOL = "all-single-seeded"


@pytest.fixture
def engine(sysu_tree: Path, tmp_path: Path) -> Engine:
    return Engine.choose("cpu", "fp32", data_dir=sysu_tree, runs_dir=tmp_path / "runs")


def report(engine: Engine, out: Path, *runs: RunFolder, **options: Any) -> str:
    wanted = {"protocol": None, "ids": 4, "seed": 0, "latency": False, **options}
    path = engine.visualize("report", list(runs), output=Output(out), **wanted)
    return path.read_text(encoding="utf-8")


def data_of(text: str, name: str = "data") -> Any:
    result = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.S)
    assert result
    return json.loads(result[1])


def test_the_report_shows_the_measured_values(
    engine: Engine, evaluated: Callable[..., RunFolder], tmp_path: Path
) -> None:
    run = evaluated("a")
    text = report(engine, tmp_path / "a.html", run)
    content = run.evaluations()[PROTOCOL]
    for metric in content["metrics"].values():
        assert f">{100 * metric['mean']:.2f}<" in text
        low, high = (100 * bound for bound in metric["interval"] or ())
        assert f"<small>{low:.1f}–{high:.1f}</small>" in text
    assert "54.10" in text
    assert content["fingerprint"]["data"] in text
    assert "a machine" in text
    assert run.recipe_file.read_text().splitlines()[-1] in text
    data = data_of(text)
    [cmc, _] = data["charts"]["cmc-0"]["series"]
    np.testing.assert_allclose(cmc["y"], 100 * np.array(content["cmc"]), atol=0.006)
    assert all(low <= y <= high for low, y, high in zip(cmc["low"], cmc["y"], cmc["high"], strict=True))


def test_the_gallery_is_the_ranking_of_trial_0_and_its_images_are_those(
    engine: Engine, evaluated: Callable[..., RunFolder], store: Store, tmp_path: Path
) -> None:
    run = evaluated("a")
    text = report(engine, tmp_path / "a.html", run)
    gallery, images = data_of(text)["gallery"], data_of(text, "images")
    with np.load(run.evaluation(PROTOCOL) / schema.RANKING) as ranking:
        arrays = dict(ranking)
    assert gallery["query"]["path"] == arrays["query_paths"].tolist()
    [one] = gallery["rankings"]
    for query, top in enumerate(one["top"]):
        wanted = arrays["gallery_paths"][arrays["top"][query][arrays["top"][query] >= 0]].tolist()
        assert [gallery["gallery"]["path"][i] for i in top if i >= 0] == wanted
        assert [gallery["gallery"]["pid"][i] for i in top if i >= 0] == [int(p.split("/")[1]) for p in wanted]
    assert len(set(images)) == len(images)
    paths = gallery["query"]["path"] + gallery["gallery"]["path"]
    for path, place in zip(paths, gallery["query"]["image"] + gallery["gallery"]["image"], strict=True):
        coded = base64.b64decode(images[place].partition(",")[2])
        shown = decode_image(coded)[:, :, ::-1].astype(float)
        row = int(np.searchsorted(store.records.paths, path))
        assert np.abs(shown - store.batch(SIZE, np.array([row]))[0]).mean() < 12  # another image: over 40


def test_same_runs_same_bytes_and_an_interrupted_write_leaves_the_old_page(
    engine: Engine, evaluated: Callable[..., RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = evaluated("a")
    first = report(engine, tmp_path / "a.html", run)
    assert report(engine, tmp_path / "b.html", run) == first

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(report_images, "webp_files", fail)
    with pytest.raises(KeyboardInterrupt):
        report(engine, tmp_path / "a.html", run)
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == first


def test_differences_between_evaluations_are_listed_by_run() -> None:
    first = {"dataset": "SYSU-MM01", "embedding": "256-d", "shots": 1, "rendered": True, "flip": False}
    second = {**first, "embedding": "2560-d", "shots": None}
    third = {**first, "overlap": "3 people", "flip": None}
    assert facts_of([first, second, third], ["a", "b", "c"]) == (
        ("dataset", "SYSU-MM01"),
        ("embedding", "a · c: 256-d\nb: 2560-d"),
        ("shots", "a · c: 1\nb: all images"),
        ("rendered", "True"),
        ("overlap", "a · b: –\nc: 3 people"),
    )
    assert facts_of([second], ["b"])[2] == ("shots", "all images")


def test_runs_side_by_side(engine: Engine, evaluated: Callable[..., RunFolder], tmp_path: Path) -> None:
    good, bad = evaluated("good", 0.2), evaluated("bad", 3.0)
    text = report(engine, tmp_path / "c.html", good, bad)
    means = [run.evaluations()[PROTOCOL]["metrics"]["mAP"]["mean"] for run in (good, bad)]
    assert f"{100 * (means[0] - means[1]):+.2f}".replace("-", "−") in text
    assert "good − bad" in text
    data = data_of(text)
    assert data["runs"] == ["good", "bad"]
    assert len(data["gallery"]["rankings"]) == 2
    assert [s["name"] for s in data["charts"]["cmc-0"]["series"]] == ["good", "bad", "chance"]
    assert [s["name"] for s in data["charts"]["training-0"]["series"]] == ["good", "bad"]
    assert {"tsne-0", "tsne-1", "distances-0", "distances-1"} <= data["charts"].keys()
    assert ">name<" in text  # a key of the recipes that differs


def test_wrong_use_is_refused(engine: Engine, evaluated: Callable[..., RunFolder], tmp_path: Path) -> None:
    run = evaluated("a")
    bare = RunFolder(tmp_path / "runs" / "bare")
    files.write_text(bare.recipe_file, run.recipe_file.read_text())
    with pytest.raises(UsageError, match="vireid evaluate"):
        report(engine, tmp_path / "x.html", bare)
    with pytest.raises(UsageError, match="no evaluation 'other'"):
        report(engine, tmp_path / "x.html", run, protocol="other")
    with pytest.raises(UsageError, match="HTML page"):
        report(engine, tmp_path / "x.png", run)
    with pytest.raises(UsageError, match="no evaluation in common"):
        report(engine, tmp_path / "x.html", run, evaluated("b", mode="indoor"))
    embeddings = run.evaluation(PROTOCOL) / schema.EMBEDDINGS
    with np.load(embeddings) as stored:
        arrays = dict(stored)
    arrays["features"] = arrays["features"][::-1]
    files.write_npz(embeddings, **arrays)
    with pytest.raises(DataError, match="Evaluate again"):
        report(engine, tmp_path / "x.html", run)


def test_images_stay_within_their_budget(store: Store, engine: Engine) -> None:
    session = engine.session
    album = Album.of([store.records.paths[::9], store.records.paths[::18]])
    large = encode(album, session, store, SIZE)
    assert (large.size, len(large.files)) == (SIZE, len(album.paths))
    assert large.quality == report_images.LADDER[0][1]
    with pytest.raises(DataError, match="do not fit"):
        encode(album, session, store, SIZE, sum(map(len, large.files)) // 20)
    tall = prepare_dataset("sysu", session, (160, 80), workers=1).store
    full = encode(album, session, tall, (160, 80))
    assert full.size == (160, 80)
    total = sum(map(len, full.files))
    for share in (0.5, 0.3):
        small = encode(album, session, tall, (160, 80), int(share * total))
        assert sum(map(len, small.files)) <= share * total
        assert small.size[0] < 160
        assert small.size[1] == small.size[0] // 2


def test_tsne_shows_a_few_images_of_each_person_and_modality() -> None:
    random = np.random.default_rng(0)
    pids, modalities = random.integers(0, 5, 300), random.integers(0, 2, 300)
    columns = (pids, pids, modalities.astype(np.uint8), np.arange(300).astype(str))
    rows = people_shown(Embeddings(np.zeros((300, 2)), *columns), np.arange(5), 3)
    assert (np.diff(rows) > 0).all()
    for pid in range(5):
        for modality in range(2):
            wanted = min(12, ((pids == pid) & (modalities == modality)).sum()) if pid < 3 else 0
            assert ((pids[rows] == pid) & (modalities[rows] == modality)).sum() == wanted


def test_without_scikit_learn_the_rest_is_there(
    engine: Engine, evaluated: Callable[..., RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MissingExtra("scikit-learn", "figures", "The t-SNE figure")

    monkeypatch.setattr(drawing, "tsne_points", refuse)
    text = report(engine, tmp_path / "a.html", evaluated("a"))
    assert "pip install &#39;vireid[figures]&#39;" in text
    charts = data_of(text)["charts"]
    assert "cmc-0" in charts
    assert "tsne-0" not in charts


def test_latency_is_measured_on_request(
    engine: Engine, evaluated: Callable[..., RunFolder], tmp_path: Path
) -> None:
    run = evaluated("a")
    assert " ms</td>" not in report(engine, tmp_path / "a.html", run)
    assert len(re.findall(r">\d+\.\d\d ms<", report(engine, tmp_path / "b.html", run, latency=True))) == 2
