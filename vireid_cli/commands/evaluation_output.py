"""Output of evaluations: tables that fit the terminal, and lines about protocol, data and model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.table import Table

from vireid_cli.commands import console, tables
from vireid_cli.results.formatting import RENDERED

if TYPE_CHECKING:
    from vireid_cli.results.schema import EvaluationFile


def print_evaluations(contents: Iterable[EvaluationFile], verbose: bool = False) -> None:
    """Print evaluations: table of metrics, breakdown, and four lines about protocol, data and model.

    Args:
        contents: Contents of ``metrics.json``.
        verbose: Print the whole fingerprint, and the methods of intervals and differences, instead of the
            four lines.
    """
    for content in contents:
        print_in_parts(partial(tables.evaluation_table, content), list(content["metrics"]))
        for table in tables.breakdown_tables(content["breakdown"]) if "breakdown" in content else ():
            console.print_table(table)
        lines = (
            tables.full_provenance(content)
            if verbose
            else tables.provenance(content["fingerprint"], bool(content.get("interval")))
        )
        for line in lines:
            console.print_line(line if verbose else shorten_line(line, console.out.width), "dim")
        if note := content["fingerprint"].get("protocol_note"):
            console.print_line(str(note), "yellow")
        if warning := content["fingerprint"].get("overlap"):
            console.print_line(f"warning: {warning}", "yellow")
        if content["fingerprint"].get("rendered"):
            console.print_line(RENDERED, "yellow")


def print_in_parts(build: Callable[[list[str]], Table], names: Sequence[str]) -> None:
    """Print a table with one column per name, as several tables below each other on a narrow terminal.

    Args:
        build: Creates the table with some of the columns.
        names: Names of all columns.
    """
    for count in range(1, len(names) + 1):
        size = math.ceil(len(names) / count)
        tables = [build(list(names[start : start + size])) for start in range(0, len(names), size)]
        if all(map(console.fits, tables)):
            break
    for number, table in enumerate(tables):
        table.title = None if number else table.title
        console.print_table(table)


def shorten_line(text: str, width: int) -> str:
    """Shorten a line to ``width`` columns, with an ellipsis at its end."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
