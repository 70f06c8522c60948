"""Completion of names in the shell, by the protocol of zsh and bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vireid_cli.commands import completion
from vireid_cli.recipe.load import shipped


def complete(line: str, folder: Path) -> list[str]:
    """The completions of a command line, as zsh gets them."""
    code = (
        "import sys; from vireid_cli.commands.main import app\n"
        "try: app(prog_name='vireid')\n"
        "finally: assert 'torch' not in sys.modules"
    )
    environment = os.environ | {
        "_VIREID_COMPLETE": "complete_zsh",
        "_TYPER_COMPLETE_ARGS": line,
        "PYTHONPATH": str(Path(completion.__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=environment, check=True
    )
    return [line.strip().strip('"') for line in done.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two runs, a recipe and a study of its user."""
    for place in ("runs/agw-sysu-20260102-000000", "runs/sepg-sysu-20260101-000000"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "recipe.yaml").touch()
    (tmp_path / "runs" / "no-run").mkdir()
    (tmp_path / "recipes" / "studies").mkdir(parents=True)
    (tmp_path / "recipes" / "mine.yaml").touch()
    (tmp_path / "recipes" / "studies" / "mine-too.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIREID_RUNS", raising=False)
    return tmp_path


def test_a_shell_gets_runs_without_torch(folder: Path) -> None:
    text = " ".join(complete("vireid evaluate ", folder))
    assert "agw-sysu-20260102-000000" in text
    assert "sepg-sysu-20260101-000000" in text
    assert "no-run" not in text


def test_recipes_are_the_shipped_and_the_users(folder: Path) -> None:
    assert set(completion.recipes("")) == {"mine", *(path.stem for path in shipped())}
    assert completion.recipes("min") == ["mine"]


def test_studies_and_datasets(folder: Path) -> None:
    assert "mine-too" in completion.studies("m")
    assert "methods" in completion.studies("m")
    assert completion.datasets("occ-s") == ["occ-sysu"]


def test_keys_have_descriptions_and_values() -> None:
    keys = dict(completion.settings("train.ep"))
    assert keys == {"train.epochs=": "Number of epochs"}
    assert dict(completion.settings("method.options.agp.")).keys() >= {"method.options.agp.after="}
    assert "train=" not in dict(completion.settings("train")), "a section has no value"
    values = [value for value, _ in completion.settings("train.optimizer.name=a")]
    assert values == ["train.optimizer.name=adam", "train.optimizer.name=adamw"]
    assert [v for v, _ in completion.settings("method.options.gate=")][:1] == ["method.options.gate=true"]
    assert completion.settings("no.such=") == []
