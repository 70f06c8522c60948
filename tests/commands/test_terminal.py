"""Foreign text on the terminal: tables, titles, messages, bars, wrong use; and a reader that goes away."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from tests.conftest import Command
from vireid_cli.commands import console
from vireid_cli.commands.terminal import Terminal
from vireid_cli.errors import UsageError

EVIL = "\x1b[31m[bold]x[/red] :smile: \u202e\udcd5\ny"
SHOWN = r"\x1b[31m[bold]x[/red] :smile: \u202e\xd5\ny"


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What both streams show on a wide terminal without colours."""
    text = io.StringIO()
    for name in ("out", "err"):
        terminal = Terminal(width=200)
        terminal.file = text
        monkeypatch.setattr(console, name, terminal)
    return text


def test_tables_show_names_as_they_are(screen: io.StringIO) -> None:
    table = Table(title=EVIL, caption=EVIL)
    table.add_column(EVIL, footer=EVIL)
    table.show_footer = True
    table.add_row(EVIL)
    console.print_table(table)
    assert screen.getvalue().count(SHOWN) == 5
    assert "\x1b" not in screen.getvalue()


def test_lines_show_names_as_they_are(screen: io.StringIO) -> None:
    reporter = console.ConsoleReporter()
    reporter.info(EVIL)
    reporter.warn(EVIL)
    console.print_line(EVIL, "dim")
    console.print_note(EVIL)
    console.print_lines([EVIL])
    console.print_paths([Path(EVIL)])
    console.print_error(UsageError(f"{EVIL} is wrong:\n  {EVIL}", f"Take {EVIL}\nor go"))
    lines = screen.getvalue().splitlines()
    assert len(lines) == 9
    assert sum(SHOWN in line for line in lines) == 9
    console.print_next(console.command_line("train", "--recipe", EVIL))
    assert screen.getvalue().splitlines()[-1].startswith(r"next: vireid train --recipe $'\x1b[31m[bold]x")


def test_a_bar_shows_its_job_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the text for a terminal
    terminal = Terminal(width=200)
    terminal.file = text
    monkeypatch.setattr(console, "err", terminal)
    monkeypatch.setattr(Terminal, "is_terminal", True)
    reporter = console.ConsoleReporter()
    reporter.advance(EVIL, 1, 3, {"loss": EVIL})
    reporter.close()
    assert text.getvalue().count("[bold]x[/red] :smile:") >= 2
    assert "\x1b[31m[bold]" not in text.getvalue()
    assert "\u202e" not in text.getvalue()


FITTING = [(200, "images/s 310"), (80, "triplet 1.104"), (60, "id 2.110")]


@pytest.mark.parametrize(("width", "expected"), FITTING)
def test_a_bar_shows_steps_and_time_first_and_fits(
    monkeypatch: pytest.MonkeyPatch, width: int, expected: str
) -> None:
    text = io.StringIO()
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the text for a terminal
    terminal = Terminal(width=width)
    terminal.file = text
    monkeypatch.setattr(console, "err", terminal)
    monkeypatch.setattr(Terminal, "is_terminal", True)
    reporter = console.ConsoleReporter()
    terms = dict.fromkeys(("triplet", "centre", "paba", "mining", "orthogonal"), "1.104")
    values = {"loss": "3.214", "id": "2.110", **terms, "epoch": "2/12", "images/s": "310"}
    reporter.advance("training", 120, 600, values)
    reporter.close()
    line = [line for line in strip(text.getvalue()).splitlines() if "training" in line][-1]
    assert len(line.rstrip()) <= width
    assert re.match(r"training\s+\S+ +120/600 +\S+:\S+ +loss 3.214", line)
    assert line.rstrip().endswith(expected), "whole terms, as many as fit"


def strip(text: str) -> str:
    """The text without escape sequences, with line breaks for carriage returns."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n")


def test_a_plain_progress_line_has_the_time_left_first(capsys: pytest.CaptureFixture[str]) -> None:
    console.ConsoleReporter().advance(
        "training", 6, 6, {"loss": "3.2", **{f"term{i}": "1.0" for i in range(40)}}
    )
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith("training 6/6  left 0 s  loss 3.2  term0 1.0")
    assert len(line) <= console.PLAIN_WIDTH


def test_json_keeps_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    console.print_json({"name": EVIL})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"name": EVIL}
    assert "\x1b" not in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize(
    "words",
    [
        ["recipes", EVIL],
        ["train", f"--{EVIL}"],
        ["train", "--recipe", "quickstart.yaml", "--device", EVIL],
        ["results", "a", f"--{EVIL}"],
        ["recipes", "check", EVIL],
        ["train", "--recipe", "quickstart.yaml", "--set", f"{EVIL}=1"],
        ["train", "--recipe", "quickstart.yaml", "--set", f"data.dataset={EVIL}"],
        ["bench", "spectra", "--shape", EVIL],
        ["results", EVIL],
        ["visualize", "curves", EVIL],
        ["evaluate", "--features", f"{EVIL}.npz", "--dataset", "sysu"],
    ],
    ids=" ".join,
)
def test_wrong_use_shows_arguments_as_they_are(vireid: Command, place: Path, words: list[str]) -> None:
    done = vireid(*words)
    assert done.code == 2
    assert "\x1b" not in done.err
    assert "\u202e" not in done.err
    assert "x1b[31m" in done.err
    assert not [line for line in done.err.splitlines() if line.startswith("y")]


SHOW = "from vireid_cli.commands.main import main; main()"


def piped(words: list[str], reader: str) -> tuple[int, str]:
    """Exit code and stderr of a command that is piped to ``reader`` in a shell."""
    line = f'"{sys.executable}" -c "{SHOW}" {" ".join(words)} | {reader}; exit ${{PIPESTATUS[0]}}'
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [["recipes", "list"], ["--help"]])
def test_a_reader_that_goes_away_is_no_failure(words: list[str]) -> None:
    code, result = piped(words, "true")
    assert code in (0, 141)
    assert result == ""


def test_a_full_disk_is_reported() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    code, result = piped(["--version", ">", "/dev/full"], "cat")
    assert code == 1
    assert "No space left" in result
    assert "Traceback" not in result


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO])
def test_lost_messages_stop_no_work(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(sys, "stderr", Gone())
    reporter = console.ConsoleReporter()
    reporter.info("half")
    reporter.warn("half")
    reporter.advance("job", 1, 1)


def test_nobody_prints_another_way() -> None:
    """Every line, table and bar goes through ``commands/console.py``, which escapes foreign text."""
    import vireid_cli

    root = Path(vireid_cli.__file__).parent
    printers = (
        *("print(", "typer.echo(", "typer.secho(", "click.echo(", "sys.stdout.write", "sys.stderr.write"),
        *("from_markup", "markup=True", "rich.print", "Console(", "Panel("),
    )
    allowed = {"commands/console.py", "commands/terminal.py"}
    for path in root.rglob("*.py"):
        name = path.relative_to(root).as_posix()
        if name in allowed:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            code = line.split("#")[0]
            for printer in printers:
                before, _, after = code.partition(printer)
                called = after and not before[-1:].isalnum() and before[-1:] not in ("_", ".", '"', "`")
                assert not called, f"{name}:{number} prints by itself: {printer}"
