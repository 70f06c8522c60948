"""Each command's help answers, ends in a runnable example, and starts no heavy import."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from vireid_cli.commands.main import app

RUNNER = CliRunner()


def commands(group: typer.Typer, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command and group as its words."""
    result = [prefix]
    for info in group.registered_commands:
        name = info.name or info.callback.__name__.replace("_", "-")  # type: ignore[union-attr]
        result.append((*prefix, name))
    for child in group.registered_groups:
        result += commands(child.typer_instance, (*prefix, child.name or ""))  # type: ignore[arg-type]
    return result


@pytest.mark.parametrize("words", commands(app), ids=" ".join)
def test_help_ends_in_an_example(words: tuple[str, ...]) -> None:
    result = RUNNER.invoke(app, [*words, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0, result.output
    assert "[[" not in result.output, "typer adds the brackets of an optional argument"
    lines = [line.strip() for line in result.output.splitlines()]
    examples = [line for line in lines if line.startswith("Example: vireid ")]
    assert examples, result.output
    example = examples[-1].removeprefix("Example: vireid ").split(" && ")[0].split()
    assert tuple(example[: len(words)]) == words or not words


def test_defaults_of_a_protocol_are_shown() -> None:
    """A default within ``help`` would be hidden, because rich takes ``[default: …]`` for markup."""
    result = RUNNER.invoke(app, ["evaluate", "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    shown = " ".join(result.output.replace("│", " ").split())
    for value in ("both", "1", "10", "not-exceeded"):
        assert f"[default: ({value})]" in shown


@pytest.mark.parametrize("words", [[], ["train"], ["evaluate"], ["visualize", "tsne"], ["recipes", "check"]])
def test_help_imports_no_torch(words: list[str]) -> None:
    code = (
        "import sys; from vireid_cli.commands.main import app\n"
        f"try: app({[*words, '--help']!r})\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
