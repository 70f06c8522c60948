"""Help in groups, 80 columns wide, without a broken word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.main import get_command

from vireid_cli.commands.help_groups import GROUPS, LEAST_OPTIONS
from vireid_cli.commands.main import app


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, child in getattr(command, "commands", {}).items():
        yield from leaves(child, (*words, name))
    if not hasattr(command, "commands"):
        yield words, command


ROOT = get_command(app)
COMMANDS = dict(leaves(ROOT))

Help = Callable[[tuple[str, ...]], str]


@pytest.fixture
def help_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Help:
    """A function (words of a command) → its help in 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")

    def read(words: tuple[str, ...]) -> str:
        ROOT.main([*words, "--help"], prog_name="vireid", standalone_mode=False)
        return capsys.readouterr().out

    return read


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_word_is_broken_in_80_columns(words: tuple[str, ...], help_of: Help) -> None:
    output = help_of(words)
    assert max(map(len, output.splitlines())) <= 80
    choices = [line for line in output.splitlines() if re.search(r"<\w[^ >]* (?!range)|^│ +[^ ]*> ", line)]
    assert not choices, "give the option a metavar, and list its choices in the help"
    shown = set(re.sub("[│╭╮╰╯─]", " ", output).split())
    for parameter in COMMANDS[words].params:
        if not getattr(parameter, "hidden", False):
            texts = [parameter.help or "", str(parameter.metavar or "")]
            texts += parameter.opts if parameter.param_type_name == "option" else []
            needed = {part for text in texts for part in text.split()}
            broken = {part for part in needed if not any(part in word for word in shown)}
            assert not broken, parameter.name


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_shared_options_are_in_groups(words: tuple[str, ...]) -> None:
    options = [p for p in COMMANDS[words].params if p.param_type_name == "option" and not p.hidden]
    titles = {name: title for title, names in GROUPS.items() for name in names}
    for option in options if len(options) >= LEAST_OPTIONS else ():
        assert option.rich_help_panel == titles.get(option.name, option.rich_help_panel)


def test_evaluate_has_the_four_groups_in_order(help_of: Help) -> None:
    output = help_of(("evaluate",))
    places = [output.index(f"─ {title} ─") for title in ("Protocol", "Data", "Output", "Device")]
    assert min(places) > 0


def test_long_choices_are_in_the_help(help_of: Help) -> None:
    text = " ".join(re.sub("[│╭╮╰╯─]", " ", help_of(("evaluate",))).split())
    for name in ("seeded", "official", "llcm-train", "llcm-release", "llcm-full", "k-reciprocal"):
        assert f" {name}" in text
