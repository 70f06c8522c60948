"""Training and evaluation on every layout: same loop, each dataset's own identities and protocol."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.data import trees
from vireid_cli import documents, files
from vireid_cli.data.protocols.request import Request
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.evaluate.result import EvaluateOptions
from vireid_cli.errors import UsageError
from vireid_cli.results import schema

WRITERS = {
    "regdb": ("RegDB", trees.write_regdb),
    "llcm": ("LLCM", trees.write_llcm),
    "oulu": ("Oulu-CASIA", trees.write_oulu),
    "buaa": ("BUAA-VisNir", trees.write_buaa),
    "folder": ("folder", trees.write_folder),
}
TINY = ["data.size=[32, 16]", "data.sampler={identities: 2, images: 1}", "train.epochs=1"]


def engine(tmp_path: Path, dataset: str) -> Engine:
    folder, write = WRITERS[dataset]
    write(tmp_path / "data" / folder)
    return Engine.choose("cpu", data_dir=tmp_path / "data", runs_dir=tmp_path / "runs")


def settings(dataset: str, *more: str) -> list[str]:
    return [*TINY, "train.steps_per_epoch=1", f"data.dataset={dataset}", *more]


@pytest.mark.parametrize(
    ("dataset", "identities", "protocols"),
    [
        ("llcm", 4, ["llcm-release-v2i", "llcm-release-i2v"]),
        ("oulu", 3, ["faces"]),
        ("buaa", 2, ["faces"]),
        ("folder", 3, ["folder-v2i", "folder-i2v"]),
    ],
)
def test_trains_and_evaluates(
    tmp_path: Path, tiny_recipe: Path, dataset: str, identities: int, protocols: list[str]
) -> None:
    there = engine(tmp_path, dataset)
    run = there.train(str(tiny_recipe), settings(dataset))
    assert run.environment()["num_identities"] == identities
    result = there.evaluate(run)
    assert [evaluation.content["protocol"] for evaluation in result] == protocols
    assert all(0.0 < evaluation.content["metrics"]["mAP"]["mean"] <= 1.0 for evaluation in result)


def test_a_model_knows_its_trial(tmp_path: Path, tiny_recipe: Path) -> None:
    there = engine(tmp_path, "regdb")
    run = there.train(str(tiny_recipe), settings("regdb", "data.trial=4"))
    assert run.environment()["num_identities"] == 6
    result = there.evaluate(run)
    assert [evaluation.content["protocol"] for evaluation in result] == ["v2i-trial4", "i2v-trial4"]
    with pytest.raises(UsageError, match="test identities were trained on"):
        there.evaluate(run, EvaluateOptions(Request(trial=5)))
    with pytest.raises(UsageError, match="RegDB has the trials 1 to 10"):
        there.train(str(tiny_recipe), settings("regdb", "data.trial=11"))


def test_trials_belong_to_regdb(tmp_path: Path, tiny_recipe: Path) -> None:
    there = engine(tmp_path, "folder")
    with pytest.raises(UsageError, match="one split, no trials"):
        there.train(str(tiny_recipe), settings("folder", "data.trial=2"))
    with pytest.raises(UsageError, match="a single split and no trials"):
        there.train_trials(str(tiny_recipe), settings("folder"))


def test_all_trials_give_a_run_each_and_their_mean_a_file(tmp_path: Path, tiny_recipe: Path) -> None:
    there = engine(tmp_path, "regdb")
    trained = there.train_trials(str(tiny_recipe), settings("regdb"))
    assert [run.environment()["num_identities"] for run in trained] == [6] * 10
    only = EvaluateOptions(Request(directions=("v2i",)))
    by_run, [mean] = there.evaluate_runs(trained[:2], only)
    assert [evaluations[0].content["protocol"] for evaluations in by_run] == ["v2i-trial1", "v2i-trial2"]
    assert mean.folder is not None
    stored = files.read_json(mean.folder / schema.METRICS)
    assert stored == documents.sealed(mean.content)
    assert stored["runs"] == sorted(run.name for run in trained[:2])
    assert mean.folder.parents[2] == tmp_path / "runs" / "means"
    # other runs' mean lies elsewhere; the same runs in another order write the same folder again
    _, [repeated] = there.evaluate_runs([trained[1], trained[0]], only)
    assert repeated.folder == mean.folder
    _, [other] = there.evaluate_runs(trained[1:3], only)
    assert other.folder != mean.folder


def test_the_runs_of_all_trials_are_found(tmp_path: Path, tiny_recipe: Path) -> None:
    there = engine(tmp_path, "regdb")
    run = there.train(str(tiny_recipe), settings("regdb"))

    def like(name: str, trial: int, **change: str) -> str:
        """A copy of the run that says to be of another trial."""
        folder = shutil.copytree(run.folder, run.folder.with_name(name))
        text = run.recipe_file.read_text()
        assert "trial: 1\n" in text
        for old, new in {"trial: 1\n": f"trial: {trial}\n", **change}.items():
            text = text.replace(old, new)
        (folder / schema.RECIPE).write_text(text)
        return folder.name

    of = {trial: like(f"x{trial}-1", trial) for trial in (2, 4)}
    of[2] = like("x2-2", 2)  # the newer one
    like("y3", 3, **{"seed: 0\n": "seed: 5\n"})  # another recipe
    like("z3", 3, **{"epochs: 1\n": "epochs: 9\n"})  # another one, unfinished
    with pytest.raises(UsageError, match="was trained on trial 3, 5, 6, 7, 8, 9, 10") as error:
        there.runs_of_trials(run)
    assert "--trial 3" in error.value.hint
    of |= {trial: like(f"x{trial}", trial) for trial in (3, *range(5, 11))}
    result = there.runs_of_trials(of[7])
    assert [result.name for result in result] == [run.name, *(of[trial] for trial in range(2, 11))]


def test_trials_exist_for_datasets_with_trials_only(tmp_path: Path, tiny_recipe: Path) -> None:
    there = engine(tmp_path, "folder")
    run = there.train(str(tiny_recipe), settings("folder"))
    with pytest.raises(UsageError, match="a single split and no trials"):
        there.runs_of_trials(run)
