"""Files of two evaluations beside each other are refused by every command that reads them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.crash.conftest import OPTIONS, PROTOCOL, copy_of, engine, with_other_weights
from vireid_cli.commands import main as command_line
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.visualize import cmc
from vireid_cli.errors import DataError
from vireid_cli.lock import locked
from vireid_cli.results.run import RunFolder

READERS = (
    ("results", ()),
    ("visualize", ("ranking",)),
    ("visualize", ("cmc",)),
    ("visualize", ("distances",)),
    ("visualize", ("tsne",)),
    ("visualize", ("report",)),
)


@pytest.fixture
def mixed(data: Path, trained: RunFolder, tmp_path: Path) -> RunFolder:
    """A run with the metrics of one evaluation and the arrays of another one."""
    other = with_other_weights(copy_of(trained, tmp_path / "other"))
    engine(data, tmp_path / "other").evaluate(other, OPTIONS)
    run = copy_of(trained, tmp_path / "runs")
    for name in ("ranking.npz", "embeddings.npz"):
        shutil.copy(other.evaluation(PROTOCOL) / name, run.evaluation(PROTOCOL) / name)
    return run


@pytest.mark.parametrize(
    ("command", "figure"), READERS, ids=["results", *(words[0] for _, words in READERS[1:])]
)
def test_every_reader_notices(
    mixed: RunFolder,
    data: Path,
    command: str,
    figure: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VIREID_DATA", str(data))
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.setattr(sys, "argv", ["vireid", command, *figure, str(mixed.folder)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    error = capsys.readouterr().err
    assert ended.value.code == 1
    assert "to different evaluations" in error
    assert f"vireid evaluate {mixed.folder}" in error
    assert not mixed.figures.exists()


CHANGES = (
    ("metrics.json", '"mean": 0.', '"mean": 0.0', "results"),
    ("metrics.json", '"seed": 0', '"seed": 1', "results"),
    ("metrics.json", '"mean": 0.', '"mean": 0.0', "visualize report"),
    ("environment.json", '"seed": 0', '"seed": 1', "evaluate"),
    ("environment.json", '"torch": "', '"torch": "9', "evaluate"),
)


@pytest.mark.parametrize(("file", "old", "new", "command"), CHANGES)
def test_a_changed_value_is_noticed(
    data: Path,
    trained: RunFolder,
    tmp_path: Path,
    file: str,
    old: str,
    new: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = copy_of(trained, tmp_path / "runs")
    path = (run.evaluation(PROTOCOL) if file == "metrics.json" else run.folder) / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    monkeypatch.setenv("VIREID_DATA", str(data))
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.setattr(sys, "argv", ["vireid", *command.split(), str(run.folder)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    error = capsys.readouterr().err
    assert ended.value.code == 1
    assert f"{path} does not match its hash" in error


def test_an_evaluation_without_metrics_is_refused(
    trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(trained, tmp_path / "runs")
    (run.evaluation(PROTOCOL) / "metrics.json").unlink()
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.setattr(sys, "argv", ["vireid", "results", str(run.folder)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    error = capsys.readouterr().err
    assert ended.value.code == 1
    assert f"{PROTOCOL}/metrics.json" in error
    assert f"vireid evaluate {run.folder}" in error


def test_a_second_evaluation_is_refused_at_once(
    data: Path, trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vireid_cli.engine.evaluate import evaluate

    monkeypatch.setattr(evaluate, "load_trained", lambda *_: pytest.fail("work was begun"))
    run = copy_of(trained, tmp_path / "runs")
    home = run.folder / "evaluation"
    with locked(home, home / ".lock"), pytest.raises(DataError, match="another process") as caught:
        engine(data, tmp_path / "runs").evaluate(run, OPTIONS)
    assert "Wait" in caught.value.hint


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_figure_names_its_evaluation(data: Path, trained: RunFolder, tmp_path: Path, ending: str) -> None:
    run = copy_of(trained, tmp_path / "runs")
    output = Output(format=ending)
    path = engine(data, tmp_path / "runs").visualize("cmc", run, protocol=None, ranks=5, output=output)
    description = f"{run.name}/{PROTOCOL} {run.stored()[PROTOCOL].identifier}"
    if ending == "png":
        with Image.open(path) as image:
            assert image.info["Description"] == description
    else:
        assert description in path.read_text()


def test_a_figure_of_two_evaluations_is_not_written(
    data: Path, trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = with_other_weights(copy_of(trained, tmp_path / "runs"))
    made = engine(data, tmp_path / "runs")
    whole = cmc.cmc_curve

    def slow(*arguments: Any) -> Any:
        made.evaluate(run, OPTIONS)
        return whole(*arguments)

    monkeypatch.setattr(cmc, "cmc_curve", slow)
    with pytest.raises(DataError, match="changed during drawing"):
        made.visualize("cmc", run, protocol=None, ranks=5)
    assert not list(run.figures.glob("*"))
