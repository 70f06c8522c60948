"""Sweeps from run folders: the varied key, a study's layout, and errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.conftest import Listener
from tests.engine.conftest import MakeRun
from vireid_cli import files
from vireid_cli.engine import compare
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.visualize import sweep as drawing
from vireid_cli.errors import DataError, UsageError
from vireid_cli.recipe.study import Row, Start, Study
from vireid_cli.results.run import RunFolder

PROTOCOL = "all-single-seeded"


@pytest.fixture
def engine(tmp_path: Path, listener: Listener) -> Engine:
    return Engine.choose(device="cpu", reporter=listener, data_dir=tmp_path, runs_dir=tmp_path / "runs")


@pytest.fixture
def swept(evaluated_run: MakeRun) -> list[RunFolder]:
    """FDNM's fifth figure: a weight and a margin, one at a time, around the full method; one value twice."""
    return [
        evaluated_run(f"{recipe}-{seed}", noise=noise, recipe=load_recipe(recipe, (f"train.seed={seed}",)))
        for recipe, seed, noise in (
            ("fdnm-weight-0.1", 0, 2.0),
            ("fdnm-full", 0, 0.5),
            ("fdnm-full", 1, 1.0),
            ("fdnm-weight-2.0", 0, 1.5),
            ("fdnm-margin-0.0", 0, 3.0),
        )
    ]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Arguments of the figure, call by call."""
    seen: list[tuple[Any, ...]] = []
    real = drawing.sweep.sweep_figure

    def figure(*given: Any) -> Figure:
        seen.append(given)
        return real(*given)

    monkeypatch.setattr(drawing.sweep, "sweep_figure", figure)
    return seen


def draw(engine: Engine, folder: Path, **options: Any) -> Path:
    wanted: dict[str, Any] = {"key": None, "metrics": ("rank1", "mAP"), "protocol": None, **options}
    return engine.visualize("sweep", folder, output=Output(dpi=50), **wanted)


def mAP(run: RunFolder) -> float:
    return run.evaluations()[PROTOCOL]["metrics"]["mAP"]["mean"]


def test_a_weight_with_its_seeds_from_one_folder(
    engine: Engine, swept: list[RunFolder], figures: list[tuple[Any, ...]], tmp_path: Path, listener: Listener
) -> None:
    path = draw(engine, tmp_path / "runs", key="cnm.weight")
    assert path == tmp_path / "runs" / "figures" / "sweep-cnm-weight.png"
    key, values, (rank1, precision), title, about = figures[0]
    assert (key, values, title) == ("method.options.cnm.weight", [0.1, 0.5, 2.0], f"runs: {PROTOCOL}")
    assert (rank1.label, precision.label) == ("Rank-1", "mAP")
    low, one, other, high = (mAP(run) for run in swept[:4])
    np.testing.assert_allclose(precision.means, [low, (one + other) / 2, high], rtol=0, atol=1e-15)
    np.testing.assert_allclose(precision.stds, [np.nan, abs(one - other) / np.sqrt(2), np.nan], atol=1e-15)
    assert about.splitlines() == [
        "points: mean over 1 to 2 seeds; bars: ± one standard deviation over seeds",
        "fixed: cnm.margin = 0.2",
    ]
    assert listener.lines == ["1 of 5 runs are not part of this sweep"]
    with pytest.raises(UsageError, match=r"2 keys vary(.|\n)*cnm.margin: 0, 0.2\n.*cnm.weight: 0.1, 0.5, 2"):
        draw(engine, tmp_path / "runs")


def test_runs_that_are_not_evaluated_are_left_out_and_named(
    engine: Engine, swept: list[RunFolder], figures: list[tuple[Any, ...]], tmp_path: Path, listener: Listener
) -> None:
    shutil.rmtree(swept[3].evaluation(PROTOCOL))
    draw(engine, tmp_path / "runs", key="cnm.weight")
    assert figures[0][1] == [0.1, 0.5]
    assert f"skipping 1 of 5 runs without evaluation {PROTOCOL}, first fdnm-weight-2.0-0" in listener.lines
    for run in swept:
        shutil.rmtree(run.evaluation(PROTOCOL), ignore_errors=True)
    with pytest.raises(UsageError, match=r"None of the 5 runs(.|\n)*vireid evaluate"):
        draw(engine, tmp_path / "runs")


def test_runs_with_a_damaged_evaluation_are_left_out_and_named(
    engine: Engine, swept: list[RunFolder], figures: list[tuple[Any, ...]], tmp_path: Path, listener: Listener
) -> None:
    files.write_text(swept[3].evaluation(PROTOCOL) / "metrics.json", "{")
    draw(engine, tmp_path / "runs", key="cnm.weight")
    assert figures[0][1] == [0.1, 0.5]
    assert listener.lines[0].startswith("skipping 1 of 5 runs with a damaged evaluation, first ")
    assert "fdnm-weight-2.0-0" in listener.lines[0]
    with pytest.raises(UsageError, match="has the key 'nope'"):
        draw(engine, tmp_path / "runs", key="nope")
    with pytest.raises(UsageError, match="have the metric 'foo'"):
        draw(engine, tmp_path / "runs", metrics=("foo",))
    for run in swept:
        files.write_text(run.evaluation(PROTOCOL) / "metrics.json", "{")
    with pytest.raises(DataError, match=r"metrics.json(.|\n)*Evaluate it again"):
        draw(engine, tmp_path / "runs")


def test_links_to_runs_count_once(
    engine: Engine, swept: list[RunFolder], figures: list[tuple[Any, ...]], tmp_path: Path, listener: Listener
) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    for run in swept[:4]:
        (folder / run.name).symlink_to(run.folder)
    (folder / "again").symlink_to(swept[0].folder)
    (folder / "latest").symlink_to(swept[4].folder)
    draw(engine, folder)
    assert figures[0][:2] == ("method.options.cnm.weight", [0.1, 0.5, 2.0])
    assert listener.lines == []


def test_sweeps_that_cannot_be_drawn_are_refused(
    engine: Engine, swept: list[RunFolder], evaluated_run: MakeRun, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    for folder, result in (
        (runs / "nowhere", "There is no folder"),
        (tmp_path, rf"has no run folders itself(.|\n)*{runs}"),
        (swept[0].folder, rf"is one run(.|\n)*{runs}"),
        (swept[0].folder / "evaluation", "no run in"),
    ):
        with pytest.raises(UsageError, match=result):
            draw(engine, folder)
    with pytest.raises(UsageError, match=rf"evaluation 'indoor'(.|\n)*{PROTOCOL}"):
        draw(engine, runs, protocol="indoor")
    evaluated_run("elsewhere", recipe=load_recipe("fdnm-weight-1.0"), data="other")
    with pytest.raises(UsageError, match="different images"):
        draw(engine, runs, key="cnm.weight")


def test_methods_are_drawn_as_categories(
    engine: Engine, evaluated_run: MakeRun, figures: list[tuple[Any, ...]], tmp_path: Path, listener: Listener
) -> None:
    for recipe in ("agw", "fdnm", "deen"):
        evaluated_run(recipe, recipe=load_recipe(recipe))
    draw(engine, tmp_path / "runs", key="method.name", metrics=("mAP",))
    key, values, _, _, about = figures[0]
    assert (key, values) == ("method.name", ["agw", "deen", "fdnm"])
    assert about.startswith("one seed each\nchange with it: ")
    draw(engine, tmp_path / "runs", key="name", where=["data.dataset=sysu"])
    assert figures[1][0] == "recipe"
    assert figures[1][-1].splitlines()[1] == "where data.dataset=sysu"
    assert "the effect may be theirs" in listener.lines[0]


def test_a_study_with_runs_in_the_folder_of_another(
    engine: Engine, evaluated_run: MakeRun, figures: list[tuple[Any, ...]], tmp_path: Path, tiny_recipe: Path
) -> None:
    rows = tuple(
        Row(label=str(m), recipe=str(tiny_recipe), set={"method.options.margin": m}) for m in (0.1, 0.5)
    )
    study = Study(name="margins", runs="shared", seeds=(0, 1), rows=rows)
    for row in (*rows, Row(label="x", recipe=str(tiny_recipe), set={"method.options.margin": 9.0})):
        for seed in (0, 1):
            recipe = load_recipe(row.recipe, tuple(study.settings(row, seed)))
            evaluated_run(f"shared/{row.label}-{seed}", noise=1.0 + seed, recipe=recipe)
    content = {"version": 1, "study": study.model_dump(mode="json"), "protocols": {}}
    files.write_json(tmp_path / "runs" / "margins" / "study.json", json.loads(json.dumps(content)))
    path = draw(engine, tmp_path / "runs" / "margins")
    assert path.parent == tmp_path / "runs" / "margins" / "figures"
    key, values, *_ = figures[0]
    assert (key, values) == ("method.options.margin", [0.1, 0.5])
    draw(engine, tmp_path / "runs" / "shared")
    assert figures[1][1] == [0.1, 0.5, 9.0]


def test_a_study_omits_the_runs_that_its_rows_start_from(
    engine: Engine,
    evaluated_run: MakeRun,
    figures: list[tuple[Any, ...]],
    tmp_path: Path,
    tiny_recipe: Path,
    listener: Listener,
) -> None:
    rows = tuple(
        Row(label=str(m), recipe=str(tiny_recipe), set={"method.options.margin": m}) for m in (0.1, 0.5)
    )
    begin = Start(recipe=str(tiny_recipe), set={"train.epochs": 9})
    study = Study(name="tiny", seeds=(0,), rows=rows, start=begin)
    start = load_recipe(str(tiny_recipe), ("train.epochs=9",))
    evaluated_run("tiny/start", recipe=start)
    weights = compare.start_weights(Path("called/otherwise/then"), start)
    for row in rows:
        recipe = load_recipe(row.recipe, (*study.settings(row, 0), f"backbone.weights={weights}"))
        evaluated_run(f"tiny/{row.label}", recipe=recipe)
    content = {"version": 1, "study": study.model_dump(mode="json"), "protocols": {}}
    folder = tmp_path / "runs" / "tiny"
    files.write_json(folder / "study.json", content)
    draw(engine, folder)
    assert figures[0][:2] == ("method.options.margin", [0.1, 0.5])
    assert listener.lines == []
    tiny_recipe.unlink()
    with pytest.raises(UsageError, match="keys vary"):
        draw(engine, folder)
    assert "using all runs in" in listener.lines[0]
