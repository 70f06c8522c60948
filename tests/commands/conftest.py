"""Commands as people type them, in this process, beside small data."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main

from vireid_cli.commands import main as command_line


@dataclass
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]

_built = functools.cache(typer.main.get_command)
"""The commands, built once: building takes longer than most of what they refuse."""


@pytest.fixture
def vireid(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command line in this process, as ``main`` does."""

    monkeypatch.setattr(typer.main, "get_command", _built)

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["vireid", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Said(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def place(sysu_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_recipe: Path) -> Path:
    """A working directory beside the data, with a small recipe in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIREID_DATA", str(sysu_tree))
    monkeypatch.setenv("VIREID_RUNS", str(tmp_path / "runs"))
    return tmp_path
