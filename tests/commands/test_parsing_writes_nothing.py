"""Options only convert their values: neither a parsed nor a refused command line leaves a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.conftest import Command
from vireid_cli.commands.main import app
from vireid_cli.commands.root import CLICK_ERROR
from vireid_cli.errors import UsageError


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that name it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words, command
        return
    for name, child in inner.items():
        yield from leaves(child, (*words, name))


COMMANDS = dict(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_path_is_not_created(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = COMMANDS[words]
    for parameter in command.params:
        if parameter.param_type_name != "option" or parameter.is_flag or parameter.name == "version":
            continue
        try:
            with command.make_context("vireid", [parameter.opts[0], "new/folder/"], resilient_parsing=False):
                pass
        except (CLICK_ERROR, UsageError):
            pass  # an argument is missing, or the value is of another kind
    assert list(tmp_path.iterdir()) == []


def test_a_refused_figure_leaves_no_folder(vireid: Command, sysu_tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    arguments = ("visualize", "sheet", "--data", str(sysu_tree), "--images", "4", "--out", f"{folder}/")
    code, _, err = vireid(*arguments, "--dpi", "1")
    assert (code, "--dpi 1" in err) == (2, True)
    assert not folder.exists()
    assert vireid(*arguments).code == 0
    assert [path.name for path in folder.iterdir()] == ["sheet-sysu.png"]


REFUSED = """
train --recipe nope
train --recipe quickstart.yaml
train --resume nope
train --recipe quickstart.yaml --name a/b
evaluate nope
evaluate-features nope.npz --dataset sysu --out new/a
embed nope --images images --out new/a.npz
embed nope --images images --out new/a.parquet
explain nope
cost nope
crop nope.mp4 --out new --weights nope.pth
import nope.t --from agw
compare nope
results nope
runs
index create new/people nope.npz
index add nope nope.npz
serve nope
search nope nope.jpg
export onnx nope
export torch nope
export backbone nope
prepare sysu
prepare folder --root nope --name a
prepare occluded --from sysu --root new
prepare occluders --images nope --library new
prepare synthetic --ids 0 --root new
prepare synthetic --size 5x5 --root new
recipes copy nope
recipes check nope
methods check nope
visualize cmc nope --out new/
visualize sweep nope --out new/
visualize phase-swap --out new/
visualize report nope --out new/
bench calibration nope
"""


@pytest.mark.parametrize("line", REFUSED.strip().splitlines())
def test_a_refused_command_leaves_nothing(
    line: str, vireid: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("VIREID_DATA", "VIREID_RUNS"):
        monkeypatch.delenv(variable, raising=False)
    assert vireid(*line.split()).code in (1, 2)
    assert [path.name for path in tmp_path.rglob("*")] == []
