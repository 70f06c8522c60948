"""What a person sees: lines, progress bars, tables. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vireid_cli.commands.terminal import Terminal, leave_unread
from vireid_cli.engine.reporter import Reporter, duration
from vireid_cli.errors import Interrupted, VireidError
from vireid_cli.printable import (
    printable,
    printable_block,
    printable_json,
    printable_lines,
    shell_line,
)
from vireid_cli.results.wording import RENDERED

if TYPE_CHECKING:
    from vireid_cli.results.schema import EvaluationFile

PLAIN_EVERY = 10.0
"""Seconds between two progress lines where the output is not a terminal."""

PLAIN_WIDTH = 160
"""Columns of a table where the output is not a terminal."""

NARROWEST = 100
"""Columns of a table on any terminal: a narrower one wraps its lines rather than cut a metric short."""


def _columns() -> int:
    """Columns of what goes to stdout."""
    return max(NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else PLAIN_WIDTH


out = Terminal(width=_columns())
err = Terminal(stderr=True)


class ConsoleReporter(Reporter):
    """Prints to stderr: bars on a terminal, a plain line now and then elsewhere."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[str, Any] = {}
        self._began: dict[str, tuple[float, int]] = {}
        self._printed: dict[str, float] = {}
        self._marks: dict[str, list[tuple[float, int]]] = {}

    def info(self, text: str) -> None:
        """Print one line."""
        _print_lines(self._console(), text)

    def warn(self, text: str) -> None:
        """Print one line that stands out."""
        _print_lines(self._console(), f"warning: {text}", style="yellow")

    def advance(self, job: str, done: int, total: int, shown: Mapping[str, str] | None = None) -> None:
        """Move the bar, or print a line if the last one is old enough."""
        now = time.monotonic()
        began, first = self._began.setdefault(job, (now, done))
        values = dict(shown or {})
        if "images/s" not in values and now > began:
            values["per second"] = f"{(done - first) / (now - began):.0f}"
        if err.is_terminal:
            self._bar(job, done, total, values)
        elif done >= total or now - self._printed.get(job, began) >= PLAIN_EVERY:
            self._printed[job] = now
            left = self._left(job, now, done, total)
            details = "  ".join(f"{name} {value}" for name, value in values.items())
            self.info(f"{job} {done}/{total}  {details}  left {duration(left)}")
        if done >= total:
            self._finish(job)

    def _left(self, job: str, now: float, done: int, total: int) -> float:
        """Seconds left at the speed since two printed lines ago: a machine's speed changes."""
        marks = self._marks.setdefault(job, [self._began[job]])
        since, before = marks[-2:][0]
        marks.append((now, done))
        return (now - since) / max(1, done - before) * (total - done)

    def close(self) -> None:
        """End every bar."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._tasks.clear()
            _showing.remove(self)

    def _console(self) -> Console:
        return self._bars.console if self._bars is not None else err

    def _bar(self, job: str, done: int, total: int, values: Mapping[str, str]) -> None:
        if self._bars is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[shown]}", markup=False),
            )
            self._bars = Progress(*columns, console=err, refresh_per_second=4)
            self._bars.start()
            _showing.append(self)
        text = printable("  ".join(f"{name} {value}" for name, value in values.items()))
        if job not in self._tasks:
            self._tasks[job] = self._bars.add_task(printable(job), total=total, shown=text)
        self._bars.update(self._tasks[job], completed=done, total=total, shown=text)

    def _finish(self, job: str) -> None:
        self._began.pop(job, None)
        self._printed.pop(job, None)
        self._marks.pop(job, None)
        self._tasks.pop(job, None)
        if not self._tasks:
            self.close()


_showing: list[ConsoleReporter] = []
"""Those with bars on the terminal."""


@atexit.register
def close_bars() -> None:
    """End every bar that a failure left: the cursor comes back, and lines stand by themselves."""
    for reporter in list(_showing):
        reporter.close()


def print_error(error: VireidError) -> None:
    """What is wrong, and what to do."""
    close_bars()
    word, style = ("interrupted", "yellow") if isinstance(error, Interrupted) else ("error", "bold red")
    _print_lines(err, f"{word}: {error.message}", style=style)
    if error.hint:
        _print_lines(err, error.hint, advice=True)


def _print_lines(console: Console, text: str, *, style: str | None = None, advice: bool = False) -> None:
    """Print a message of our own, in which names may stand, line by line."""
    for line in printable_lines(text, advice=advice):
        console.print(line, style=style)


def print_json(content: Any) -> None:
    """JSON to stdout, and nothing else."""
    _write(printable_json(json.dumps(content, indent=2, ensure_ascii=False)) + "\n")


def print_text(text: str) -> None:
    """Print lines whose breaks are meant, such as a table in Markdown or a recipe, as they are."""
    _write(printable_block(text) + ("" if text.endswith("\n") else "\n"))


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        leave_unread()


def print_table(table: RenderableType) -> None:
    """Print a table of rich, whose cells, headings and title are plain strings."""
    out.print(table)


def print_line(text: str, style: str | None = None) -> None:
    """Print one line of a result, in rich's style (``dim``, ``yellow``)."""
    out.print(text, style=style)


def print_note(text: str) -> None:
    """Print one line beside the results, to stderr."""
    err.print(text)


def print_paths(paths: Iterable[Path]) -> None:
    """The paths that a command wrote, a line each."""
    for path in paths:
        print_line(f"wrote {path}")


def line(*words: object, data: Path | None = None, runs: Path | None = None) -> str:
    """A command to copy: ``vireid`` and its words, quoted for a shell, with the directories once more.

    Args:
        words: Sub-command and arguments; empty ones are left out.
        data, runs: As given with ``--data`` and ``--runs``; what is the default anyhow is not repeated.
    """
    given = [str(word) for word in words if str(word)]
    for option, folder, usual in (
        ("--data", data, os.environ.get("VIREID_DATA") or "data"),
        ("--runs", runs, os.environ.get("VIREID_RUNS") or "runs"),
    ):
        if folder is not None and folder != Path(usual):
            given += [option, str(folder)]
    return shell_line(["vireid", *given])


def print_next(*commands: str) -> None:
    """The command that one would give next."""
    for command in commands:
        print_line(f"next: {command}")


def print_lines(lines: Iterable[str]) -> None:
    """Sentences to stdout, a line each."""
    for line in lines:
        print_line(line)


def print_evaluations(contents: Iterable[EvaluationFile]) -> None:
    """The results table, each row with chance level and number of queries, and what was measured."""
    from vireid_cli.commands import tables

    for content in contents:
        print_table(tables.evaluation_table(content))
        if interval := content.get("interval"):
            print_line(f"interval: {interval}", "dim")
        if against := content.get("against"):
            print_line(f"difference: {against['test']}", "dim")
        for table in tables.breakdown_tables(content["breakdown"]) if "breakdown" in content else ():
            print_table(table)
        print_line(tables.fingerprint_text(content["fingerprint"]), "dim")
        if content["fingerprint"].get("rendered"):
            print_line(RENDERED, "yellow")
