"""The README is right: its commands parse, its files exist, its Python runs. Its commands run in
``test_readme_commands.py``."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from vireid_cli.commands.main import app
from vireid_cli.errors import UsageError

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def shown_commands(text: str = README) -> list[str]:
    """Every ``vireid …`` line of code of a page, by default the README, in its order."""
    lines: list[str] = []
    for block, inline in re.findall(r"```\w*\n(.*?)```|`(vireid\s[^`]+)`", text, flags=re.S):
        lines += block.splitlines() or [" ".join(inline.split())]
    commands = [line.strip().removeprefix("$ ").split("  #")[0] for line in lines]
    parts = [part.strip() for line in commands if line.startswith("vireid ") for part in line.split("&&")]
    return list(dict.fromkeys(parts))


def pages() -> list[Path]:
    """README and the pages of the site."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", pages(), ids=[str(page.relative_to(ROOT)) for page in pages()])
def test_commands_parse(page: Path) -> None:
    for line in shown_commands(page.read_text(encoding="utf-8")):
        if "…" not in line and not re.search(r"\b[A-Z]{3,}\b", line) and "[" not in line.split(" --set")[0]:
            parse(line)


@cache
def program() -> Any:
    """The command line; it takes a while to build."""
    return typer.main.get_command(app)


def parse(line: str) -> None:
    """Parse a command line as the program does, without running it."""
    words = shlex.split(line)[1:]
    command = program()
    while hasattr(command, "commands"):
        if not words:
            return  # the name of a group
        if words[0].startswith("-"):
            break  # an option of the group
        assert words[0] in command.commands, line
        command = command.commands[words.pop(0)]
    if not words or hasattr(command, "commands"):
        return  # a bare name stands for the command with its arguments
    try:
        with command.make_context("vireid", words, resilient_parsing=False) as context:
            assert context.params is not None
    except UsageError as error:  # a path of the example, which an option reads at once
        if "does not exist" not in error.message:
            raise AssertionError(line) from error


def test_the_four_lines_are_shown() -> None:
    for line in (
        "vireid prepare sysu",
        "vireid train --recipe sepg.yaml",
        "vireid evaluate --mode indoor",
        "vireid visualize phase-swap",
    ):
        assert line in shown_commands()


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in [*re.findall(r"make ([a-z]+)`", README), "demo", "test"]:
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_python_runs(sysu_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that import the package, on a small tree."""
    blocks = [
        b for b in re.findall(r"```python\n(.*?)```", README, flags=re.S) if "from vireid_cli import" in b
    ]
    assert blocks
    monkeypatch.setenv("VIREID_DATA", str(sysu_tree))
    monkeypatch.setenv("VIREID_RUNS", str(tmp_path / "runs"))
    for block in blocks:
        names: dict[str, object] = {}
        exec(compile(block, "README.md", "exec"), names)
        assert names["vectors"].shape[0] == 2  # type: ignore[attr-defined]
