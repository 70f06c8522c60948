"""The paper's figures stand beside ours where dataset and protocol are the same, and only there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data import trees
from vireid_cli.data.prepare import prepare
from vireid_cli.data.protocols import plans_for, published_name
from vireid_cli.data.protocols.request import LlcmProtocol, Request
from vireid_cli.data.store import Store
from vireid_cli.engine.evaluate.aggregate import check_runs
from vireid_cli.engine.evaluate.evaluate import paper_metrics
from vireid_cli.engine.evaluate.result import EvaluateOptions, evaluate_protocol
from vireid_cli.engine.evaluate.scoring import EmbeddedRows
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.study_tables import SeedResult, tables_of
from vireid_cli.errors import UsageError
from vireid_cli.metrics.verification import FAR_READINGS
from vireid_cli.recipe.load import shipped
from vireid_cli.recipe.study import Row, Study
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Embeddings

PUBLISHED = {
    "sysu": {"all-single", "all-multi", "indoor-single", "indoor-multi"},
    "regdb": {"v2i", "i2v"},
    "llcm": {"v2i", "i2v"},
    "oulu": {"faces"},
    "buaa": {"faces"},
}
WRITERS: dict[str, Callable[[Path], Path]] = {
    "regdb": trees.write_regdb,
    "llcm": trees.write_llcm,
    "oulu": trees.write_oulu,
    "buaa": trees.write_buaa,
}


def store_of(dataset: str, tmp_path: Path, sysu_tree: Path) -> Store:
    root = sysu_tree / "SYSU-MM01" if dataset == "sysu" else WRITERS[dataset](tmp_path / dataset)
    return prepare(dataset, root, tmp_path, (32, 16)).store


def beside(recipe: str, store: Store, **asked: object) -> dict[str, list[dict[str, object]]]:
    """By plan, the rows that a recipe's paper has for it."""
    request = Request(**asked)  # type: ignore[arg-type]
    return {p.name: paper_metrics(load_recipe(recipe), store, p) for p in plans_for(store, request)}


def test_sysu(tmp_path: Path, sysu_tree: Path) -> None:
    store = store_of("sysu", tmp_path, sysu_tree)
    result = beside("fdnm", store, shots=(1, 10))
    assert [row["rank1"] for row in result["all-single-seeded"]] == [77.8]
    assert [row["mAP"] for row in result["indoor-single-seeded"]] == [89.1]
    # FDNM's paper has no multi-shot figures
    assert result["all-multi-seeded"] == result["indoor-multi-seeded"] == []
    assert beside("fdnm", store, trials=3) == {"all-single-seeded": [], "indoor-single-seeded": []}
    assert beside("fdnm", store, split="val") == {"val-all-single-seeded": []}
    assert {
        published_name("sysu", plan.fingerprint) for plan in plans_for(store, Request(shots=(1, 10)))
    } == PUBLISHED["sysu"]


def test_regdb(tmp_path: Path, sysu_tree: Path) -> None:
    result = beside("fdnm-regdb", store_of("regdb", tmp_path, sysu_tree), trial=3)
    assert [row["rank1"] for row in result["v2i-trial3"]] == [95.5]
    assert [row["rank1"] for row in result["i2v-trial3"]] == [94.0]
    assert result["v2i-trial3"][0]["source"] == "main comparison, mean over 10 trials"


def test_llcm(tmp_path: Path, sysu_tree: Path) -> None:
    store = store_of("llcm", tmp_path, sysu_tree)
    usual = beside("fdnm-llcm", store)
    assert [row["rank1"] for row in usual["llcm-release-v2i"]] == [70.2]
    assert [row["rank1"] for row in usual["llcm-release-i2v"]] == [56.6]
    words = beside("fdnm-llcm", store, llcm="llcm-train")
    assert words["llcm-train-v2i"] == []  # the published figure has the roles exchanged
    assert [row["rank1"] for row in words["llcm-train-i2v"]] == [56.6]
    assert not any(beside("fdnm-llcm", store, llcm="llcm-full").values())


@pytest.mark.parametrize("dataset", ["sysu", "regdb", "llcm", "folder:x"])
def test_evaluations_of_early_versions_have_no_published_values(dataset: str) -> None:
    assert published_name(dataset, {"source": dataset}) is None


@pytest.mark.parametrize("protocol", [None, "llcm-full"])
def test_studies_have_the_same_published_values(
    tmp_path: Path, sysu_tree: Path, protocol: LlcmProtocol | None
) -> None:
    store = store_of("llcm", tmp_path, sysu_tree)
    recipe, results = load_recipe("fdnm-llcm"), {}
    draw = np.random.default_rng(0)
    for plan in plans_for(store, Request(llcm=protocol)):
        table = store.records.take(plan.rows)
        features = draw.normal(size=(len(table), 4))
        side = EmbeddedRows(Embeddings(features, table.pids, table.camids, table.modalities), plan.rows)
        fingerprint = {**plan.fingerprint, "source": "llcm"}
        measured = evaluate_protocol(plan, [side], EvaluateOptions(), fingerprint, [], None)
        results[plan.name] = {"a": {0: SeedResult(measured.content, measured.plain.people())}}
    study = Study(name="s", rows=(Row(label="a", recipe="fdnm-llcm"),), seeds=(0,))
    tables = tables_of(study, results, {"a": 1}, {("a", 0): recipe})
    assert set(tables) == {f"{protocol or 'llcm-release'}-{direction}" for direction in ("v2i", "i2v")}
    for name, rows in beside("fdnm-llcm", store, llcm=protocol).items():
        expected = {key: row[key] / 100 for row in rows for key in ("rank1", "mAP")}  # type: ignore[operator]
        assert tables[name].rows[0].published == pytest.approx(expected)
        assert bool(expected) == (protocol is None)


@pytest.mark.parametrize(("dataset", "far"), [("oulu", 92.2), ("buaa", 95.5)])
def test_faces(tmp_path: Path, sysu_tree: Path, dataset: str, far: float) -> None:
    store = store_of(dataset, tmp_path, sysu_tree)
    [plan] = plans_for(store, Request())
    assert "drawn from the layout" in str(plan.fingerprint["notes"])
    assert beside(f"fdnm-{dataset}", store) == {"faces": []}  # the people are our choice
    for path in (store.info.root / "faces").glob("*.txt"):  # lists without our mark: a paper's
        path.write_text(
            "".join(line for line in path.read_text().splitlines(True) if not line.startswith("#"))
        )
    given = prepare(dataset, store.info.root, tmp_path, (32, 16)).store
    result = beside(f"fdnm-{dataset}", given)
    assert [row["vr_far_0.001"] for row in result["faces"]] == [far]
    assert result["faces"][0]["source"] == "FDNM"
    [strict], [near] = (plans_for(given, Request(far=reading)) for reading in FAR_READINGS)
    assert (strict.name, near.name) == ("faces", "faces-nearest")
    assert strict.fingerprint == plans_for(given, Request())[0].fingerprint
    changed = {key for key, value in near.fingerprint.items() if strict.fingerprint[key] != value}
    assert changed == {"verification_rate"}
    assert (strict.far_reading, near.far_reading) == tuple(FAR_READINGS)


def test_every_reported_row_of_a_shipped_recipe_is_met_by_some_plan() -> None:
    rows = [
        (r.dataset.removeprefix("occ-"), r.protocol)
        for path in shipped()
        for r in load_recipe(str(path)).reported
    ]
    assert rows
    assert [row for row in rows if row[1] not in PUBLISHED[row[0]]] == []


def test_two_runs_of_one_trial_are_refused_before_they_are_evaluated(tmp_path: Path) -> None:
    runs = []
    for name, dataset in (("a", "regdb"), ("b", "sysu"), ("c", "sysu"), ("d", "regdb")):
        run = RunFolder(tmp_path / name)
        run.folder.mkdir()
        run.recipe_file.write_text(f"data: {{dataset: {dataset}, trial: {2 if dataset == 'regdb' else 1}}}\n")
        runs.append(run)
    check_runs(runs[1:3], None)
    with pytest.raises(UsageError, match="a and d were trained on the same trial, 2 of regdb"):
        check_runs(runs, None)


def test_runs_of_different_datasets_are_refused_before_they_are_evaluated(tmp_path: Path) -> None:
    runs = []
    for dataset in ("sysu", "occ-sysu"):
        runs.append(RunFolder(tmp_path / dataset))
        runs[-1].folder.mkdir()
        runs[-1].recipe_file.write_text(f"data: {{dataset: {dataset}}}\n")
    check_runs(runs, "sysu")
    with pytest.raises(UsageError, match="different datasets can't be averaged: sysu, occ-sysu"):
        check_runs(runs, None)
