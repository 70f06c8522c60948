"""``~`` at the beginning of a path, in options, variables, and names of runs and recipes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
import typer

from vireid_cli.commands import console
from vireid_cli.commands.main import app
from vireid_cli.commands.options import expanded, expanded_all
from vireid_cli.commands.visualize.options import FigurePath, figure_path
from vireid_cli.engine.session import Session, data_folder
from vireid_cli.recipe.load import find as find_recipe
from vireid_cli.results import run as runs


def commands(group: typer.Typer) -> Iterator[Callable[..., Any]]:
    """All functions of commands, those of nested groups included."""
    yield from (command.callback for command in group.registered_commands if command.callback)
    for nested in group.registered_groups:
        if nested.typer_instance is not None:
            yield from commands(nested.typer_instance)


def path_parameters() -> Iterator[tuple[str, Any]]:
    """Name and typer's description of each parameter that is a path or a list of paths."""
    for function in commands(app):
        for name, hint in get_type_hints(function, include_extras=True).items():
            if get_origin(hint) is Annotated and "Path" in str(get_args(hint)[0]):
                yield f"{function.__module__}.{function.__name__} {name}", get_args(hint)[1]


def test_every_path_of_the_command_line_is_expanded() -> None:
    parameters = dict(path_parameters())
    assert len(parameters) > 40
    others = [n for n, info in parameters.items() if info.callback not in (expanded, expanded_all)]
    assert [n for n in others if parameters[n].parser is not figure_path] == []


def test_the_path_of_a_figure_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert figure_path("~/a.pdf") == FigurePath(tmp_path / "a.pdf", folder=False)
    assert figure_path("~/figures/") == FigurePath(tmp_path / "figures", folder=True)
    assert figure_path("~") == FigurePath(tmp_path, folder=True)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with a run and a recipe; the working directory is another folder."""
    home, here = tmp_path / "home", tmp_path / "here"
    (home / "runs" / "a").mkdir(parents=True)
    here.mkdir()
    (home / "runs" / "a" / "recipe.yaml").write_text("paper: none\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(here)
    return home


def test_variables_and_folders_of_a_session(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIREID_DATA", "~/data")
    monkeypatch.setenv("VIREID_RUNS", "~/runs")
    session = Session.choose("cpu")
    assert (session.data_dir, session.runs_dir) == (home / "data", home / "runs")
    session = Session.choose("cpu", data_dir=Path("~/x"), runs_dir=Path("~/y"))
    assert (session.data_dir, session.runs_dir) == (home / "x", home / "y")
    assert data_folder() == home / "data"
    assert console.command_line("train", data=home / "data", runs=home / "runs") == "vireid train"


def test_names_of_runs_and_recipes(home: Path) -> None:
    assert runs.find("~/runs/a").folder == home / "runs" / "a"
    assert runs.find("a", runs=home / "runs").folder == home / "runs" / "a"
    assert find_recipe("~/runs/a/recipe") == home / "runs" / "a" / "recipe.yaml"


def test_an_unknown_user_is_left_as_it_is() -> None:
    assert expanded(Path("~no-such-user/x")) == Path("~no-such-user/x")
    assert expanded(None) is None
    assert expanded_all([Path("~no-such-user/x")]) == [Path("~no-such-user/x")]
    assert expanded_all(None) is None
