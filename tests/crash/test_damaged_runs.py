"""Damaged checkpoints of a run are refused by every command, with the file's name and without a traceback."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.crash.conftest import copy_of
from vireid_cli.commands import main as command_line
from vireid_cli.results.run import RunFolder


def flip(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def cut(folder: Path) -> None:
    path = folder / "state.safetensors"
    save_file(dict(list(load_file(path).items())[:3]), path)


def rename_key(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file({f"module.{key}": value for key, value in load_file(path).items()}, path)


def not_finite(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    key = next(key for key, value in tensors.items() if value.is_floating_point())
    save_file({**tensors, key: torch.full_like(tensors[key], torch.nan)}, path)


def number(key: str, value: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "state.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))

    return change


def without_hashes(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """The same damage to a checkpoint of an earlier version, which has no hashes."""

    def both(folder: Path) -> None:
        change(folder)
        path = folder / "state.json"
        content = json.loads(path.read_text())
        del content["files"], content["sha256"]
        path.write_text(json.dumps({**content, "version": 1}))

    return both


EVERY = ("train --resume", "evaluate")
RESUME = ("train --resume",)
DAMAGES: dict[str, tuple[Callable[[Path], None], str, tuple[str, ...]]] = {
    "a flipped bit": (flip, "model.safetensors", (*EVERY, "export backbone", "export onnx")),
    "a cut optimizer": (cut, "state.safetensors", RESUME),
    "step -1": (number("step", -1), "step is -1", EVERY),
    "step 10**9": (number("step", 10**9), "step 1,000,000,000", EVERY),
    "other keys": (rename_key, "model.safetensors", EVERY),
    "older: a cut optimizer": (without_hashes(cut), "parameters only", RESUME),
    "older: epoch 99": (without_hashes(number("epoch", 99)), "beyond the recipe's 3 epochs", EVERY),
    "older: global_step 10**9": (without_hashes(number("global_step", 10**9)), "is step 2", RESUME),
    "older: NaN": (without_hashes(not_finite), "holds NaN", EVERY),
    "older: other keys": (without_hashes(rename_key), "unknown: module.", EVERY),
}


@pytest.fixture
def unfinished(trained: RunFolder, tmp_path: Path) -> RunFolder:
    """A run with two of three epochs done."""
    run = copy_of(trained, tmp_path / "runs")
    text = run.recipe_file.read_text()
    assert "epochs: 2\n" in text
    run.recipe_file.write_text(text.replace("epochs: 2\n", "epochs: 3\n"))
    return run


def call(words: str, run: RunFolder, data: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("VIREID_DATA", str(data))
    monkeypatch.setenv("VIREID_RUNS", str(run.folder.parent))
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.setattr(sys, "argv", ["vireid", *words.split(), str(run.folder)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("name", list(DAMAGES))
def test_damage_is_named(
    unfinished: RunFolder,
    data: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change, words, commands = DAMAGES[name]
    change(unfinished.checkpoints / "last")
    for command in commands:
        assert call(command, unfinished, data, monkeypatch) == 1
        error = capsys.readouterr().err
        assert words in error
        assert "Traceback" not in error
        assert "train again" in error


def test_an_older_checkpoint_is_resumed_with_a_warning(
    unfinished: RunFolder, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_hashes(lambda folder: None)(unfinished.checkpoints / "last")
    assert call("train --resume", unfinished, data, monkeypatch) == 0
    assert "has no hashes" in capsys.readouterr().err
    assert json.loads((unfinished.checkpoints / "last" / "state.json").read_text())["version"] == 2
