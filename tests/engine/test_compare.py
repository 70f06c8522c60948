"""A study trains each row with each seed once, and not again."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file

from vireid_cli.engine import study_runs, study_tables
from vireid_cli.engine.embed import load_trained
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.evaluate import evaluate
from vireid_cli.engine.evaluate.result import EvaluateOptions
from vireid_cli.engine.runtime import Runtime
from vireid_cli.errors import DataError, Interrupted, RecipeError
from vireid_cli.figures import differences, style
from vireid_cli.files import read_json, write_sealed
from vireid_cli.lock import locked
from vireid_cli.recipe.study import Row, Start, Study
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Modality

SHARED = {"data.size": [64, 32], "train.epochs": 1, "train.steps_per_epoch": 2}


def test_rows_by_seeds_and_a_second_call_trains_nothing(
    sysu_tree: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    engine = Engine.choose(device="cpu", precision="fp32", data_dir=sysu_tree, runs_dir=tmp_path / "runs")
    rows = (
        Row(label="plain", recipe=str(tiny_recipe)),
        Row(label="gem", recipe=str(tiny_recipe), set={"method.options.pool": "gem"}),
    )
    study = Study(name="tiny", seeds=(0, 1), set=SHARED, rows=rows, parent="plain")
    result = engine.compare(study)
    table = result.tables["all-single-seeded"].rows
    assert [row.label for row in table] == ["plain", "gem"]
    assert all(row.seeds == (0, 1) and row.parameters > 0 for row in table)
    each = [
        engine.evaluate(run)[0].content["metrics"]["mAP"]["mean"]
        for run in sorted((tmp_path / "runs" / "tiny").glob("tiny-*"))[::2]
    ]
    assert table[0].metrics["mAP"].mean == pytest.approx(sum(each) / 2)
    difference = table[1].differences["mAP"]
    assert difference.mean == pytest.approx(table[1].metrics["mAP"].mean - table[0].metrics["mAP"].mean)
    assert difference.low <= difference.mean <= difference.high
    figures = tmp_path / "runs" / "tiny" / "figures"
    assert result.figures == (
        figures / "differences-all-single-seeded.png",
        figures / "differences-indoor-single-seeded.png",
    )
    folders = set((tmp_path / "runs" / "tiny").iterdir())
    repeated = engine.compare(study)
    assert repeated.tables == result.tables
    assert set((tmp_path / "runs" / "tiny").iterdir()) == folders
    written = read_json(result.path)["protocols"]["all-single-seeded"]["rows"][0]
    assert written["label"] == "plain"
    assert len(set(written["evaluations"])) == 2
    assert all(len(identifier) == 32 for identifier in written["evaluations"])
    folder = result.path.parent
    with locked(folder, folder / ".lock"), pytest.raises(DataError, match="another process"):
        engine.compare(study)


def test_an_interrupted_call_keeps_all_finished_rows_in_the_table(
    sysu_tree: Path, tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine.choose(device="cpu", precision="fp32", data_dir=sysu_tree, runs_dir=tmp_path / "runs")
    plain = Row(label="plain", recipe=str(tiny_recipe))
    gem = Row(label="gem", recipe=str(tiny_recipe), set={"method.options.pool": "gem"})
    first = engine.compare(Study(name="tiny", seeds=(0, 1), set=SHARED, rows=(gem,)))
    tables = []

    def interrupt(*_: object) -> RunFolder:
        raise Interrupted("The training was stopped.")

    def tables_of(*given: Any) -> Any:
        tables.append(given)
        return study_tables_of(*given)

    study_tables_of = study_tables.tables_of
    monkeypatch.setattr(study_runs, "train", interrupt)
    monkeypatch.setattr(study_tables, "tables_of", tables_of)
    first.path.unlink()
    with pytest.raises(Interrupted):
        engine.compare(Study(name="tiny", seeds=(0, 1), set=SHARED, rows=(plain, gem)))
    (row,) = read_json(first.path)["protocols"]["all-single-seeded"]["rows"]
    assert (row["label"], row["seeds"]) == ("gem", [0, 1]), "although it follows the unfinished row"
    assert len(tables) == 1, "the intervals of stored results are computed once"
    monkeypatch.undo()
    result = engine.compare(Study(name="tiny", seeds=(1, 0), set=SHARED, rows=(plain, gem)))
    assert [(row.label, row.seeds) for row in result.tables["all-single-seeded"].rows] == [
        ("plain", (1, 0)),
        ("gem", (1, 0)),
    ]


def test_the_figure_names_what_its_intervals_are_over(
    sysu_tree: Path, tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subtitles: list[str] = []

    def figure(lines: object, metrics: object, title: str, subtitle: str) -> Figure:
        subtitles.append(subtitle)
        return style.blank(1, 1)

    monkeypatch.setattr(differences, "difference_figure", figure)
    engine = Engine.choose(device="cpu", precision="fp32", data_dir=sysu_tree, runs_dir=tmp_path / "runs")
    rows = tuple(Row(label=label, recipe=str(tiny_recipe)) for label in ("a", "b"))
    for seeds in ((0,), (0, 1)):
        engine.compare(Study(name="tiny", seeds=seeds, set=SHARED, rows=rows, parent="a"))
    assert subtitles[0] == "all-single-seeded; 1 seed; 95 % intervals over people"
    assert subtitles[-1] == "indoor-single-seeded; 2 seeds; 95 % intervals over people and seeds"


def test_runs_of_earlier_versions_count(sysu_tree: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    engine = Engine.choose(device="cpu", precision="fp32", data_dir=sysu_tree, runs_dir=tmp_path / "runs")
    shared = {**SHARED, "train.steps_per_epoch": 1}
    study = Study(name="tiny", seeds=(0,), set=shared, rows=(Row(label="a", recipe=str(tiny_recipe)),))
    engine.compare(study)
    [run] = (tmp_path / "runs" / "tiny").glob("tiny-*")
    file = run / "recipe.yaml"
    text = file.read_text().replace("size: 64x32", "size:\n  - 64\n  - 32")
    file.write_text(re.sub(r"\n +nesterov: true", "", text))
    engine.compare(study)
    assert list((tmp_path / "runs" / "tiny").glob("tiny-*")) == [run], "nothing is trained again"


def test_finished_evaluations_are_not_repeated(
    sysu_tree: Path, tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine.choose(device="cpu", precision="fp32", data_dir=sysu_tree, runs_dir=tmp_path / "runs")
    row = Row(label="a", recipe=str(tiny_recipe))
    study = Study(name="tiny", seeds=(0,), set={**SHARED, "train.epochs": 2}, rows=(row,))
    measured = []
    measure = evaluate.evaluate_run

    def counted(run: RunFolder, *given: Any) -> list[evaluate.Evaluation]:
        measured.append(run.name)
        return measure(run, *given)

    monkeypatch.setattr(evaluate, "evaluate_run", counted)
    first = engine.compare(study)
    assert len(measured) == 1
    assert engine.compare(study).tables == first.tables
    assert len(measured) == 1, "nothing has changed"
    (folder,) = (tmp_path / "runs" / "tiny").glob("tiny-*/evaluation/all-single-seeded")

    def again(expected: int) -> None:
        engine.compare(study)
        assert len(measured) == expected
        engine.compare(study)
        assert len(measured) == expected

    (folder / "embeddings.npz").unlink()
    again(2)
    content = read_json(folder / "metrics.json")
    for key, other in (("checkpoint", "last (epoch 1 of 2)"), ("data", "another"), ("trials", 9)):
        changed = {**content, "fingerprint": {**content["fingerprint"], key: other}}
        write_sealed(folder / "metrics.json", changed)
        again(len(measured) + 1)
    (folder / "metrics.json").write_text("{")
    again(6)
    engine.session = replace(engine.session, runtime=Runtime.choose("cpu", "bf16"))
    again(7)
    engine.compare(study, EvaluateOptions(breakdown=True))
    assert len(measured) == 8


def test_a_run_on_other_data_is_not_taken(sysu_tree: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    engine = Engine.choose(device="cpu", precision="fp32", data_dir=sysu_tree, runs_dir=tmp_path / "runs")
    study = Study(name="tiny", seeds=(0,), set=SHARED, rows=(Row(label="a", recipe=str(tiny_recipe)),))
    engine.compare(study)
    (first,) = (tmp_path / "runs" / "tiny").glob("tiny-*")
    environment = read_json(first / "environment.json")
    environment["data"]["fingerprint"] = "another"
    write_sealed(first / "environment.json", environment)
    engine.compare(study)
    assert len(list((tmp_path / "runs" / "tiny").glob("tiny-*"))) == 2


def test_all_wrong_rows_are_named_before_training(sysu_tree: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    engine = Engine.choose(device="cpu", data_dir=sysu_tree, runs_dir=tmp_path / "runs")
    rows = (
        *(
            Row(label=label, recipe=str(tiny_recipe), set={key: 1})
            for label, key in (("a", "train.epoch"), ("b", "method.options.gemm"))
        ),
        Row(label="c", recipe="no-such-recipe"),
    )
    with pytest.raises(RecipeError) as caught:
        engine.compare(Study(name="wrong", rows=rows))
    assert "row 'a'" in str(caught.value)
    assert "row 'b'" in str(caught.value)
    assert "row 'c'" in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_rows_start_from_the_trunk_of_a_run(sysu_tree: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    """Before its first step, both stems and the trunk of a row have the weights of the starting run."""
    engine = Engine.choose(device="cpu", precision="fp32", data_dir=sysu_tree, runs_dir=tmp_path / "runs")
    start = Start(recipe=str(tiny_recipe), set={**SHARED, "method.options.stem": "shared", "train.seed": 5})
    still = {"train.optimizer": {"name": "sgd", "lr": 1e-30}}
    row = Row(label="plain", recipe=str(tiny_recipe), set=still)
    study = Study(name="tiny", seeds=(0,), set=SHARED, start=start, rows=(row,))
    engine.compare(study)
    folder = tmp_path / "runs" / "tiny"
    (weights,) = folder.glob("start-*.safetensors")
    runs = {engine.find(path).environment()["weights"]: path for path in folder.glob("tiny-*")}
    assert set(runs) == {"none", str(weights)}
    first = load_file(runs["none"] / "checkpoints" / "last" / "model.safetensors")
    then = load_file(runs[str(weights)] / "checkpoints" / "last" / "model.safetensors")
    for stem in ("visible", "infrared"):
        torch.testing.assert_close(then[f"trunk.stem.{stem}.conv1.weight"], first["trunk.stem.conv1.weight"])
    torch.testing.assert_close(
        then["trunk.layer4.1.conv2.weight"], first["trunk.layer4.1.conv2.weight"], rtol=0, atol=0
    )
    assert len(load_file(weights)) == 120
    engine.compare(study)
    assert len(list(folder.glob("tiny-*"))) == 2


def test_who_the_trunk_was_trained_on_is_not_evaluated_on(
    sysu_tree: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    """From a trunk that has seen 'trainval', training on 'train' alone: val identities stay trained on."""
    engine = Engine.choose(device="cpu", precision="fp32", data_dir=sysu_tree, runs_dir=tmp_path / "runs")
    few = [f"{key}={value}" for key, value in SHARED.items()]
    wide = engine.train(str(tiny_recipe), [*few, "data.split=trainval"])
    trunk = engine.export_backbone(wide, modality=Modality.VISIBLE)
    narrow = engine.train(str(tiny_recipe), [*few, "data.split=train"])
    heir = engine.train(str(tiny_recipe), [*few, "data.split=train", f"backbone.weights={trunk}"])
    known = {run.name: set(load_trained(run, engine.session).tokens) for run in (wide, narrow, heir)}
    assert known[narrow.name] < known[wide.name]
    assert known[heir.name] == known[wide.name]


def test_a_start_that_is_wrong_is_named(sysu_tree: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    engine = Engine.choose(device="cpu", data_dir=sysu_tree, runs_dir=tmp_path / "runs")
    start = Start(recipe=str(tiny_recipe), set={"train.epoch": 1})
    with pytest.raises(RecipeError, match=r"row 'start'(?s:.)*train\.epoch"):
        engine.compare(Study(name="w", start=start, rows=(Row(label="a", recipe=str(tiny_recipe)),)))


def test_rows_are_compared_with_the_papers_of_their_recipes(
    sysu_tree: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    """Three recipes with published values; the fourth has one of another dataset."""
    engine = Engine.choose(device="cpu", precision="fp32", data_dir=sysu_tree, runs_dir=tmp_path / "runs")
    rows = []
    for number, (dataset, rank1) in enumerate([("sysu", 40), ("sysu", 50), ("sysu", 60), ("regdb", 70)]):
        reported = [{"dataset": dataset, "protocol": "all-single", "rank1": rank1}]
        changes = {"method.options.margin": 0.1 * (number + 1), "reported": reported}
        rows.append(Row(label=f"row {number}", recipe=str(tiny_recipe), set=changes))
    result = engine.compare(Study(name="papers", seeds=(0,), set=SHARED, rows=tuple(rows)))
    table = result.tables["all-single-seeded"]
    assert [row.published for row in table.rows] == [{"rank1": 0.4}, {"rank1": 0.5}, {"rank1": 0.6}, {}]
    written = read_json(result.path)["protocols"]["all-single-seeded"]
    if table.agreements:  # undefined if all rows have the same Rank-1
        assert written["kendall_tau"]["rank1"]["rows"] == 3
