"""A run is evaluated on another dataset of its kind: its own folders, its mark, the leak guard kept."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import TEST, write_sysu_tree
from tests.data import trees
from vireid_cli.data.damage import OCCLUSION_LINES
from vireid_cli.data.protocols.request import Request
from vireid_cli.data.provenance import OCCLUSION
from vireid_cli.data.store import Store, open_store
from vireid_cli.engine.engine import Engine, FigureOptions
from vireid_cli.engine.evaluate.result import EvaluateOptions
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.visualize import ranking as ranking_drawing
from vireid_cli.errors import RecipeError, UsageError
from vireid_cli.recipe.study import Evaluate, Row, Study
from vireid_cli.results.formatting import evaluation_title
from vireid_cli.results.run import RunFolder

MARK = {
    "complete": True,
    "content_hash": hashlib.sha256(b"").hexdigest(),
    "from": "sysu",
    "library": {"name": "builtin", "sha256": "a" * 64},
    "policy": {"train_p": 0.5, "query_p": 1.0, "gallery_p": 0.0, "query_modality": "infrared"},
    "preset": "occ-sysu",
    "seed": 3,
    "version": 1,
}
QUICK = ("train.epochs=1", "train.steps_per_epoch=1")
ALL = Request(modes=("all",), trials=2)


def darken(root: Path) -> None:
    """Stand for an occluder: the infrared images of the tree become another image."""
    for camera in ("cam3", "cam6"):
        paths = sorted((root / camera).rglob("*.jpg"))
        for path, other in zip(paths, [*paths[1:], paths[0]], strict=True):
            shutil.copyfile(other, path.with_suffix(".new"))
        for path in paths:
            path.with_suffix(".new").replace(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_sysu_tree(folder / "SYSU-MM01", images=2)
    write_sysu_tree(folder / "Occ-SYSU-MM01", images=2)
    darken(folder / "Occ-SYSU-MM01")
    (folder / "Occ-SYSU-MM01" / OCCLUSION).write_text(json.dumps(MARK))
    (folder / "Occ-SYSU-MM01" / OCCLUSION_LINES).write_text("")
    return folder


def trained(data: Path, recipe: Path, runs: Path, dataset: str = "sysu") -> tuple[Engine, RunFolder]:
    engine = Engine.choose("cpu", "fp32", data_dir=data, runs_dir=runs)
    return engine, engine.train(str(recipe), [*QUICK, f"data.dataset={dataset}"])


def test_evaluations_of_both_datasets_are_kept(
    data: Path, tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, run = trained(data, tiny_recipe, tmp_path / "runs")
    [own] = engine.evaluate(run, EvaluateOptions(ALL))
    [other] = engine.evaluate(run, EvaluateOptions(ALL, dataset="occ-sysu"))
    assert own.folder == run.folder / "evaluation" / "all-single-seeded"
    assert other.folder == run.folder / "evaluation" / "occ-sysu-all-single-seeded"
    stored = run.evaluations()["all-single-seeded"]
    assert {key: value for key, value in stored.items() if key != "sha256"} == own.content
    ours, theirs = own.content["fingerprint"], other.content["fingerprint"]
    assert "occlusion" not in ours
    assert "preset occ-sysu" in theirs["occlusion"]
    assert "seed 3" in theirs["occlusion"]
    assert "library builtin aaaaaaaaaaaa" in theirs["occlusion"]
    assert (ours["source"], theirs["source"]) == ("sysu", "occ-sysu")
    assert ours["trained_on"] == theirs["trained_on"] == f"SYSU-MM01 {ours['data']}"
    assert ours["data"] != theirs["data"]
    assert own.content["metrics"] != other.content["metrics"]
    shown: list[str] = []

    def ensure(name: str, *_: object) -> Store:
        shown.append(name)
        return open_store(data, name)

    monkeypatch.setattr(ranking_drawing, "ensure_prepared", ensure)
    for protocol in run.evaluations():
        out = Output(tmp_path / f"{protocol}.png")
        options: FigureOptions = {"queries": 1, "order": "worst", "seed": 0, "protocol": protocol}
        assert engine.visualize("ranking", run, output=out, **options).is_file()
    assert shown == ["sysu", "occ-sysu"]


def test_a_run_is_evaluated_on_an_own_folder(data: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    engine, run = trained(data, tiny_recipe, tmp_path / "runs")
    root = trees.write_folder(tmp_path / "site")
    engine.prepare("folder:site", (64, 32), root=root, workers=1)
    results = engine.evaluate(run, dataset="folder:site")
    assert [result.protocol for result in results] == ["folder-v2i", "folder-i2v"]
    mark = results[0].content["fingerprint"]
    assert (mark["dataset"], mark["cross_dataset"]) == ("folder:site", "trained on SYSU-MM01")
    assert "overlap" not in mark, "people with equal numbers are other people"
    assert evaluation_title(results[0].content).startswith(
        "folder:site (cross-dataset: trained on SYSU-MM01) · folder-v2i"
    )
    assert results[0].folder == run.folder / "evaluation" / "folder-site-folder-v2i"
    assert "cross_dataset" not in engine.evaluate(run, EvaluateOptions(ALL))[0].content["fingerprint"]
    own = engine.train(str(tiny_recipe), [*QUICK, "data.dataset=folder:site", "data.sampler.identities=2"])
    assert own.name.startswith("tiny-folder-site-")
    assert "cross_dataset" not in engine.evaluate(own)[0].content["fingerprint"]
    [back] = engine.evaluate(own, EvaluateOptions(ALL, dataset="sysu"))
    assert back.content["fingerprint"]["cross_dataset"] == "trained on folder:site"


def test_the_leak_guard_sees_through_occluders(data: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    engine, run = trained(data, tiny_recipe, tmp_path / "runs", "occ-sysu")
    shutil.copytree(data / "SYSU-MM01", tmp_path / "SYSU-MM01")
    (tmp_path / "SYSU-MM01" / "exp" / "test_id.txt").write_text(f"1,{TEST[0]}\n")
    (tmp_path / "SYSU-MM01" / "exp" / "train_id.txt").write_text("2,3,4\n")
    elsewhere = Engine.choose("cpu", "fp32", data_dir=tmp_path, runs_dir=tmp_path / "runs")
    with pytest.raises(UsageError, match="1 of 2 test identities were trained on"):
        elsewhere.evaluate(run, EvaluateOptions(ALL, dataset="sysu"))
    [allowed] = elsewhere.evaluate(run, EvaluateOptions(ALL, dataset="sysu", allow_overlap=True))
    assert allowed.content["fingerprint"]["overlap"] == "1 test identities were trained on"
    assert "preset occ-sysu" in allowed.content["fingerprint"]["trained_on"]
    assert [e.folder for e in engine.evaluate(run, EvaluateOptions(ALL))] == [
        run.folder / "evaluation" / "all-single-seeded"
    ]


def test_incompatible_options_are_refused(data: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    engine, run = trained(data, tiny_recipe, tmp_path / "runs")
    _, occluded = trained(data, tiny_recipe, tmp_path / "runs", "occ-sysu")
    with pytest.raises(UsageError, match="protocols differ") as caught:
        engine.evaluate(run, EvaluateOptions(ALL, dataset="regdb"))
    assert "occ-sysu, sysu, folder:NAME" in caught.value.hint
    with pytest.raises(UsageError, match="other images"):
        engine.evaluate_against(run, occluded, EvaluateOptions(ALL))
    [result] = engine.evaluate_against(run, occluded, EvaluateOptions(ALL, dataset="occ-sysu"))
    assert result.content["against"]["name"] == occluded.name


def test_a_study_with_a_table_for_each_dataset(data: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    engine = Engine.choose("cpu", "fp32", data_dir=data, runs_dir=tmp_path / "runs")
    shared = {"train.epochs": 1, "train.steps_per_epoch": 1}
    whole = Row(label="whole", recipe=str(tiny_recipe))
    rows = (whole, Row(label="occluded", recipe=str(tiny_recipe), set={"data.dataset": "occ-sysu"}))
    with pytest.raises(RecipeError, match=r"trained on occ-sysu, sysu"):
        engine.compare(Study(name="both", seeds=(0,), set=shared, rows=rows))
    with pytest.raises(RecipeError, match="row 'whole': A run on sysu can't be evaluated on llcm"):
        engine.compare(
            Study(name="both", seeds=(0,), set=shared, rows=rows, evaluate=Evaluate(datasets=("llcm",)))
        )
    assert not (tmp_path / "runs").exists()
    engine.compare(Study(name="first", seeds=(0,), set=shared, rows=(whole,)))
    study = Study(
        name="both",
        seeds=(0,),
        set=shared,
        rows=rows,
        runs="first",
        evaluate=Evaluate(datasets=("sysu", "occ-sysu")),
    )
    result = engine.compare(study, EvaluateOptions(ALL))
    assert list(result.tables) == ["sysu-all-single-seeded", "occ-sysu-all-single-seeded"]
    for name, table in result.tables.items():
        assert [row.label for row in table.rows] == ["whole", "occluded"]
        assert ("occlusion" in table.fingerprint) == name.startswith("occ-")
        assert "trained_on" not in table.fingerprint
    assert result.path == tmp_path / "runs" / "both" / "study.json"
    assert len(list((tmp_path / "runs" / "first").glob("tiny-*/recipe.yaml"))) == 2
