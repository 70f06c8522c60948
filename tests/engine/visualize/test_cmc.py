"""CMC with bands from run folders: the stored intervals, older files, runs that do not go together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.conftest import Listener
from tests.engine.conftest import MakeRun
from vireid_cli import files
from vireid_cli.engine.embed import select_checkpoint
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.session import Session
from vireid_cli.engine.subjects.cmc import cmc_curve
from vireid_cli.engine.subjects.evaluations import identifiers_of, labels_of, shared_evaluation
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.visualize import cmc as drawing
from vireid_cli.errors import DataError, UsageError
from vireid_cli.figures import style
from vireid_cli.figures.cmc import CmcCurve
from vireid_cli.recipe.schema import Method, Recipe
from vireid_cli.results import schema
from vireid_cli.results.run import RunFolder

PROTOCOL = "all-single-seeded"
SESSION = Session.choose("cpu")


def as_version_1(run: RunFolder) -> None:
    """Rewrite an evaluation as it was before version 2."""
    folder = run.evaluation(PROTOCOL)
    content = json.loads((folder / schema.METRICS).read_text())
    content["version"] = 1
    del content["chance_cmc"], content["identifier"], content["sha256"]
    files.write_json(folder / schema.METRICS, content)
    for name, kept in ((schema.RANKING, schema.RANKING_ARRAYS), (schema.EMBEDDINGS, schema.EMBEDDING_ARRAYS)):
        with np.load(folder / name) as file:
            arrays = {key: file[key] for key in kept}
        files.write_npz(folder / name, **arrays)


def band_at(curve: CmcCurve, rank: int) -> list[float]:
    assert curve.low is not None
    assert curve.high is not None
    return [float(curve.low[rank - 1]), float(curve.high[rank - 1])]


def test_curve_and_band_are_those_of_the_metrics(evaluated_run: MakeRun) -> None:
    run = evaluated_run("a")
    content = run.evaluations()[PROTOCOL]
    curve = cmc_curve(run, SESSION, "a", None, 20)
    np.testing.assert_allclose(curve.cmc, content["cmc"], rtol=0, atol=1e-12)
    for k in (1, 5, 10, 20):
        metric = content["metrics"][f"rank{k}"]
        assert band_at(curve, k) == pytest.approx(metric["interval"], rel=0, abs=1e-12)
    assert curve.chance is not None
    assert curve.chance[0] == pytest.approx(content["chance"]["rank1"], abs=1e-12)
    assert len(content["chance_cmc"]) == 50


def test_trials_with_queries_of_their_own(evaluated_run: MakeRun) -> None:
    run = evaluated_run("a", queries=(np.arange(12), np.arange(9, 30)))
    content = run.evaluations()[PROTOCOL]
    curve = cmc_curve(run, SESSION, "a", None, 5)
    np.testing.assert_allclose(curve.cmc, content["cmc"][:5], rtol=0, atol=1e-12)
    assert band_at(curve, 1) == pytest.approx(content["metrics"]["rank1"]["interval"])


def test_ranks_beyond_the_stored_cmc(evaluated_run: MakeRun) -> None:
    curve = cmc_curve(evaluated_run("a"), SESSION, "a", PROTOCOL, 40)
    assert curve.low is not None
    assert curve.chance is not None
    assert len(curve.cmc) == len(curve.low) == len(curve.chance) == 40
    assert curve.cmc[-1] == 1.0  # six identities: everybody is found


def test_an_old_evaluation_is_drawn_without_a_band(evaluated_run: MakeRun, listener: Listener) -> None:
    run = evaluated_run("a")
    as_version_1(run)
    curve = cmc_curve(run, replace(SESSION, reporter=listener), "a", PROTOCOL, 10)
    np.testing.assert_array_equal(curve.cmc, run.evaluations()[PROTOCOL]["cmc"][:10])
    assert curve.low is None
    assert curve.chance is None
    assert f"vireid evaluate {run.folder}" in listener.warnings[0]
    with pytest.raises(UsageError, match="vireid evaluate"):
        cmc_curve(run, SESSION, "a", PROTOCOL, 21)


def test_the_subtitle_mentions_a_band_only_if_it_is_drawn(
    evaluated_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result: list[str] = []

    def figure(curves: object, title: str, subtitle: str) -> Figure:
        result.append(subtitle)
        return style.blank(1, 1)

    monkeypatch.setattr(drawing.cmc, "cmc_figure", figure)
    run = evaluated_run("a")
    engine = Engine.choose(device="cpu", data_dir=tmp_path, runs_dir=tmp_path / "runs")
    for old in (False, True):
        if old:
            as_version_1(run)
        engine.visualize("cmc", run, output=Output(), protocol=None, ranks=5)
    assert "30 queries, ranks count identities\nmean of 2 trials; 95 % pointwise bootstrap band" in result[0]
    assert "bootstrap" not in result[1]


def test_runs_share_a_protocol_and_images(evaluated_run: MakeRun) -> None:
    one, other = evaluated_run("a"), evaluated_run("b", noise=2.0)
    assert shared_evaluation([one, other], None) == PROTOCOL
    with pytest.raises(UsageError, match="no evaluation 'indoor'"):
        shared_evaluation([one, other], "indoor")
    elsewhere = evaluated_run("c", protocol="v2i")
    repeated = rf"\n  vireid evaluate {one.folder}\n  vireid evaluate {{}}$"
    each = r"in common.*\n.*a: all-single-seeded(.|\n)*c: v2i"
    with pytest.raises(UsageError, match=each + r"(.|\n)*" + repeated.format(elsewhere.folder)):
        shared_evaluation([one, elsewhere], None)
    others = evaluated_run("d", data="other")
    with pytest.raises(UsageError, match=r"different images(.|\n)*" + repeated.format(others.folder)):
        shared_evaluation([one, others], None)
    bare = RunFolder(one.folder.parent / "bare")
    with pytest.raises(UsageError, match="vireid evaluate"):
        shared_evaluation([one, bare], None)


def test_runs_with_different_test_people_are_refused(evaluated_run: MakeRun) -> None:
    def of(name: str, protocol: str, **data: object) -> RunFolder:
        recipe = Recipe.model_validate({"name": name, "paper": "none", "data": data})
        return evaluated_run(name, recipe=recipe, protocol=protocol, data=name)

    sysu, occluded = of("a", "all", dataset="sysu"), of("b", "all", dataset="occ-sysu")
    trials = [of(f"r{trial}", f"v2i-trial{trial}", dataset="regdb", trial=trial) for trial in (1, 2)]
    for runs, why, lines in (
        ([sysu, trials[0]], "several datasets (sysu, regdb) with different protocols.", ["sysu", "regdb"]),
        ([sysu, occluded], "several datasets (sysu, occ-sysu).", ["sysu", "occ-sysu"]),
        (trials, "several trials of regdb, each with test people of its own.", ["trial 1", "trial 2"]),
    ):
        with pytest.raises(UsageError) as refused:
            shared_evaluation(runs, None)
        assert refused.value.message == f"These runs can't be compared: they are of {why}"
        listed = [f"  {name}: {run.folder}" for name, run in zip(lines, runs, strict=True)]
        assert refused.value.hint.splitlines()[1:] == listed


@pytest.mark.parametrize("content", [b"name: [a\n", b"\xff\xfe", b"hello", b"nonsense: 3\n", None])
def test_a_damaged_recipe_of_a_run_is_a_failure_of_the_run(
    evaluated_run: MakeRun, tmp_path: Path, content: bytes | None
) -> None:
    run, other = evaluated_run("a"), evaluated_run("b")
    engine = Engine.choose(device="cpu", data_dir=tmp_path, runs_dir=tmp_path / "runs")
    run.recipe_file.write_bytes(content) if content is not None else run.recipe_file.unlink()
    output = Output()
    for use in (
        lambda: labels_of([other, run]),
        lambda: engine.visualize("ranking", run, queries=1, order=None, seed=0, protocol=None, output=output),
        lambda: engine.visualize("report", run, ids=4, seed=0, latency=False, protocol=None, output=output),
        lambda: engine.visualize("attention", run, output=Output(), ids=1, steps=1),
        lambda: select_checkpoint(run),
        lambda: engine.resume(run),
    ):
        with pytest.raises(DataError, match=r"recipe.yaml(.|\n)*The run is damaged: restore its folder"):
            use()


def test_labels_tell_runs_apart(evaluated_run: MakeRun) -> None:
    def seeded(folder: str, name: str, seed: int) -> RunFolder:
        recipe = Recipe(name=name)
        train = recipe.train.model_copy(update={"seed": seed})
        return evaluated_run(folder, recipe=recipe.model_copy(update={"train": train}))

    a, b, c = seeded("x", "fdnm", 0), seeded("y", "agw", 0), seeded("z", "fdnm", 1)
    assert labels_of([a, b]) == ("fdnm", "agw")
    assert labels_of([a, b, c]) == ("fdnm, seed 0", "agw, seed 0", "fdnm, seed 1")
    assert labels_of([a, b, seeded("w", "fdnm", 0)]) == ("x", "y", "w")
    margin = Recipe(name="fdnm", method=Method(name="fdnm", options={"margin": 0.5}))
    other = margin.model_copy(update={"method": Method(name="fdnm", options={"margin": 0.7})})
    runs = [evaluated_run("m", recipe=margin), evaluated_run("n", recipe=other)]
    assert labels_of(runs) == ("fdnm, margin 0.5", "fdnm, margin 0.7")
    same = seeded("elsewhere/x", "fdnm", 0)
    assert labels_of([a, same]) == (str(a.folder), str(same.folder))
    assert list(identifiers_of([a, same])) == [f"{run.folder}/all-single-seeded" for run in (a, same)]


def test_several_runs_are_drawn(evaluated_run: MakeRun, tmp_path: Path) -> None:
    runs = [evaluated_run("a"), evaluated_run("b", noise=2.0)]
    engine = Engine.choose(device="cpu", data_dir=tmp_path, runs_dir=tmp_path / "runs")
    path = engine.visualize("cmc", runs, output=Output(), protocol=None, ranks=6)
    assert path == runs[0].figures / "cmc-2-runs.png"
    assert path.stat().st_size > 5000
    folder = tmp_path / "figures"
    folder.mkdir()
    output = Output(folder, "pdf", labels=("A", "B"), width=85 / 25.4, title=False)
    assert engine.visualize("cmc", runs, output=output, ranks=6) == folder / "cmc-2-runs.pdf"
    with pytest.raises(UsageError, match=r"--labels has 1 label \(A\) for 2 runs"):
        engine.visualize("cmc", runs, output=Output(labels=("A",)), ranks=6)
    alone = engine.visualize("cmc", "a", output=Output(format="svg"), protocol=None, ranks=6)
    assert alone == runs[0].figures / "cmc.svg"
