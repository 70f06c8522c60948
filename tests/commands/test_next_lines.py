"""The commands that are printed can be copied: quoted, for the run and the directories that were named."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.data.trees import write_image, write_regdb
from vireid_cli.commands.console import command_line
from vireid_cli.commands.main import app
from vireid_cli.data.occluded import restrict_to_trial
from vireid_cli.data.sources import load_source, occ_regdb
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.tune.report import TrialRow, TuningResult
from vireid_cli.recipe.tuning import load_tuning


def test_quoted_and_with_directories_that_are_not_the_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIREID_DATA", raising=False)
    monkeypatch.setenv("VIREID_RUNS", "/elsewhere")
    assert command_line("evaluate", Path("my runs/a")) == "vireid evaluate 'my runs/a'"
    assert command_line("export", "onnx", "") == "vireid export onnx"
    usual = command_line("evaluate", data=Path("data"), runs=Path("/elsewhere"))
    assert usual == "vireid evaluate"
    assert (
        command_line("evaluate", data=Path("/a b"), runs=Path("runs"))
        == "vireid evaluate --data '/a b' --runs runs"
    )


def test_the_lines_that_are_printed_run(tiny_recipe: Path, sysu_tree: Path, tmp_path: Path) -> None:
    """From ``train`` to the figure, in a folder with a space, by nothing but the printed lines."""
    run = CliRunner().invoke
    first = [
        "train",
        "--recipe",
        str(tiny_recipe),
        "--set",
        "train.epochs=1",
        "--set",
        "train.steps_per_epoch=1",
    ]
    place = ["--data", str(sysu_tree), "--runs", str(tmp_path / "my runs")]
    trained = run(app, [*first, *place])
    assert trained.exit_code == 0, trained.output
    evaluated = run(app, _next(trained.output, "evaluate"))
    assert evaluated.exit_code == 0, evaluated.output
    drawn = run(app, _next(evaluated.output, "visualize"))
    assert drawn.exit_code == 0, drawn.output
    assert len(list((tmp_path / "my runs").glob("tiny-*/figures/ranking.png"))) == 1


def test_the_best_recipe_is_trained_beside_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = load_tuning("quickstart-rates")
    best = TrialRow(0, "complete", 0.5, 1, 1.0, {}, "", "")
    result = TuningResult(study, tmp_path / "runs" / study.name, (best,), best, {}, ())
    monkeypatch.setattr(Engine, "tune", lambda *_: result)
    place = ["--data", str(tmp_path / "data"), "--runs", str(tmp_path / "runs")]
    done = CliRunner().invoke(app, ["tune", study.name, *place])
    assert done.exit_code == 0, done.output
    words = _next(done.output, "train")
    assert words == ["train", "--recipe", str(result.folder / "best.yaml"), *place]


def _next(output: str, command: str) -> list[str]:
    """The words after ``vireid`` of the printed line with that command."""
    result = next(text for text in output.splitlines() if text.startswith(f"next: vireid {command}"))
    return shlex.split(result.removeprefix("next: vireid "))


@pytest.mark.parametrize(("share", "following"), [("0", "evaluate --dataset folder:site"), ("0.5", "train")])
def test_a_folder_without_training_people_is_evaluated(tmp_path: Path, share: str, following: str) -> None:
    for number in range(1, 5):
        for k, modality in enumerate(("visible", "infrared")):
            write_image(tmp_path / "site" / modality / str(number) / "0.png", 10 * number + k)
    place = ["--root", str(tmp_path / "site"), "--data", str(tmp_path / "data"), "--size", "32x16"]
    prepared = CliRunner().invoke(app, ["prepare", "folder", "--name", "site", "--split", share, *place])
    assert prepared.exit_code == 0, prepared.output
    assert f"next: vireid {following} " in prepared.output


@pytest.mark.parametrize(("trial", "more"), [(None, ""), (1, ""), (3, " --set data.trial=3")])
def test_regdb_is_trained_on_a_trial_with_training_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: int | None, more: str
) -> None:
    root, name = write_regdb(tmp_path / "RegDB"), "regdb"
    if trial is not None:
        scan = load_source("regdb").scan(root)
        occluded, name = replace(scan, records=restrict_to_trial(scan.records, trial)), "occ-regdb"
        monkeypatch.setattr(occ_regdb, "scan", lambda root: occluded)
    place = ["--root", str(root), "--data", str(tmp_path / "data"), "--size", "32x16"]
    prepared = CliRunner().invoke(app, ["prepare", name, *place])
    assert prepared.exit_code == 0, prepared.output
    expected = f"next: vireid train --recipe quickstart.yaml --dataset {name}{more} --data "
    assert expected in prepared.output
