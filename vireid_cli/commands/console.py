"""Output of the commands: lines, progress bars, tables. Results go to stdout, messages to stderr."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from vireid_cli import files, plugins
from vireid_cli.commands.plugin_option import WITHOUT
from vireid_cli.commands.terminal import Terminal, exit_unread
from vireid_cli.engine.reporter import Reporter, duration
from vireid_cli.errors import Interrupted, VireidError
from vireid_cli.printable import (
    printable,
    printable_block,
    printable_json,
    printable_lines,
    shell_line,
)

PLAIN_EVERY = 10.0
"""Seconds between two progress lines if stderr is not a terminal."""

PLAIN_WIDTH = 160
"""Width of a table in columns if stdout is not a terminal."""

BAR_WIDTH = 10
"""Width of a progress bar in columns."""


def terminal_width() -> int:
    """Width of stdout in columns."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PLAIN_WIDTH


out = Terminal(width=terminal_width())
err = Terminal(stderr=True)


class ConsoleReporter(Reporter):
    """Reporter that prints to stderr: progress bars on a terminal, otherwise a line every ten seconds."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[str, Any] = {}
        self._started: dict[str, tuple[float, int]] = {}
        self._printed: dict[str, float] = {}
        self._marks: dict[str, list[tuple[float, int]]] = {}

    def info(self, text: str) -> None:
        """Print one line."""
        _print_lines(self._console(), text)

    def warn(self, text: str) -> None:
        """Print one line in yellow, with the prefix "warning:"."""
        _print_lines(self._console(), f"warning: {text}", style="yellow")

    def advance(self, job: str, done: int, total: int, shown: Mapping[str, str] | None = None) -> None:
        """Update the progress bar, or print a line if the last one is ``PLAIN_EVERY`` seconds old."""
        now = time.monotonic()
        start, first = self._started.setdefault(job, (now, done))
        values = dict(shown or {})
        if "images/s" not in values and now > start:
            values["per second"] = f"{(done - first) / (now - start):.0f}"
        if err.is_terminal:
            self._bar(job, done, total, values)
        elif done >= total or now - self._printed.get(job, start) >= PLAIN_EVERY:
            self._printed[job] = now
            left = self._remaining(job, now, done, total)
            start_of_line = f"{job} {done}/{total}  left {duration(left)}"
            details = _fitting(values, PLAIN_WIDTH - len(start_of_line) - 2)
            self.info("  ".join(part for part in (start_of_line, details) if part))
        if done >= total:
            self._finish(job)

    def _remaining(self, job: str, now: float, done: int, total: int) -> float:
        """Estimate the remaining seconds from the last two printed lines, because speed varies over time."""
        marks = self._marks.setdefault(job, [self._started[job]])
        since, before = marks[-2:][0]
        marks.append((now, done))
        return (now - since) / max(1, done - before) * (total - done)

    def close(self) -> None:
        """Remove all progress bars of this reporter."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._tasks.clear()
            _with_bars.remove(self)

    def _console(self) -> Console:
        return self._bars.console if self._bars is not None else err

    def _bar(self, job: str, done: int, total: int, values: Mapping[str, str]) -> None:
        if self._bars is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(BAR_WIDTH),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[shown]}", markup=False, table_column=Column(no_wrap=True)),
            )
            self._bars = Progress(*columns, console=err, refresh_per_second=4)
            self._bars.start()
            _with_bars.append(self)
        # description, bar, done/total, h:mm:ss, and a blank between each two columns
        others = max(map(len, (job, *self._tasks))) + BAR_WIDTH + 2 * len(str(total)) + len("/-:--:--") + 4
        text = printable(_fitting(values, err.width - others))
        if job not in self._tasks:
            self._tasks[job] = self._bars.add_task(printable(job), total=total, shown=text)
        self._bars.update(self._tasks[job], completed=done, total=total, shown=text)

    def _finish(self, job: str) -> None:
        self._started.pop(job, None)
        self._printed.pop(job, None)
        self._marks.pop(job, None)
        self._tasks.pop(job, None)
        if not self._tasks:
            self.close()


def _fitting(values: Mapping[str, str], width: int) -> str:
    """Join names and values, without those at the end that exceed ``width`` columns."""
    text = ""
    for name, value in values.items():
        longer = f"{text}  {name} {value}" if text else f"{name} {value}"
        if len(longer) > width:
            break
        text = longer
    return text


_with_bars: list[ConsoleReporter] = []
"""Reporters with progress bars on the terminal."""


@atexit.register
def close_bars() -> None:
    """Remove progress bars after a failure, which shows the cursor and leaves the last line complete."""
    for reporter in list(_with_bars):
        reporter.close()


def print_diagnostic(text: str) -> None:
    """Print a line of diagnostics to stderr, above the progress bars."""
    console = _with_bars[-1]._console() if _with_bars else err
    _print_lines(console, text, style="dim")


def print_error(error: VireidError) -> None:
    """Print an error and its hint to stderr."""
    close_bars()
    word, style = ("interrupted", "yellow") if isinstance(error, Interrupted) else ("error", "bold red")
    _print_lines(err, f"{word}: {error.message}", style=style)
    if error.hint:
        _print_lines(err, error.hint, advice=True)


def _print_lines(console: Console, text: str, *, style: str | None = None, advice: bool = False) -> None:
    """Print a message line by line, with the names in it escaped."""
    for line in printable_lines(text, advice=advice):
        console.print(line, style=style)


def print_json(content: Any) -> None:
    """Print JSON to stdout."""
    _write(printable_json(json.dumps(content, indent=2, ensure_ascii=False)) + "\n")


def print_text(text: str) -> None:
    """Print a text of several lines, such as a Markdown table or a recipe, with its line breaks."""
    _write(printable_block(text) + ("" if text.endswith("\n") else "\n"))


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        exit_unread()


def print_table(table: RenderableType, *, fold: bool = True) -> None:
    """Print a table of rich with cells, headings and title that are plain strings.

    The title is a line of its own, which the terminal wraps.

    Args:
        table: The table.
        fold: Whether to fold the cells of a table that is wider than the terminal; otherwise those columns
            that do not wrap are shortened.
    """
    if isinstance(table, Table):
        if isinstance(table.title, str):
            print_line(table.title, str(table.title_style or "italic"))
            table.title = None
        if fold and not fits(table):
            for column in table.columns:
                column.no_wrap, column.overflow = False, "fold"
    out.print(table)


def fits(table: Table) -> bool:
    """Whether the terminal is wide enough for a table without folded cells."""
    wide = out.options.update_width(10_000)  # rich limits a measurement to the width of its options
    return bool(out.measure(table, options=wide).maximum <= out.width)


def print_line(text: str, style: str | None = None) -> None:
    """Print one line of a result, in rich's style (``dim``, ``yellow``)."""
    out.print(text, style=style)


def print_note(text: str) -> None:
    """Print one line to stderr."""
    err.print(text)


def print_paths(paths: Iterable[Path]) -> None:
    """Print the written paths, one per line."""
    for path in paths:
        print_line(f"wrote {path}")


def command_line(*words: object, data: Path | None = None, runs: Path | None = None) -> str:
    """Return a ``vireid`` command, quoted for a shell.

    Args:
        words: Sub-command and arguments; empty ones are omitted.
        data, runs: Values of ``--data`` and ``--runs``; the defaults are omitted.
    """
    arguments = [str(word) for word in words if str(word)]
    for option, folder, default in (
        ("--data", data, os.environ.get("VIREID_DATA") or "data"),
        ("--runs", runs, os.environ.get("VIREID_RUNS") or "runs"),
    ):
        if folder is not None and folder != files.expand(Path(default)):
            arguments += [option, str(folder)]
    if words and words[0] not in WITHOUT:
        arguments += [part for path in plugins.added() for part in ("--plugin", str(path))]
    return shell_line(["vireid", *arguments])


def print_next(*commands: str) -> None:
    """Print suggestions for the next command."""
    for command in commands:
        print_line(f"next: {command}")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines to stdout."""
    for line in lines:
        print_line(line)


def print_differences(differences: Iterable[str]) -> None:
    """Print differences between files and their hashes, one per line.

    Raises:
        typer.Exit: There is a difference; exit code 1.
    """
    lines = list(differences)
    print_lines(lines)
    if lines:
        raise typer.Exit(1)
