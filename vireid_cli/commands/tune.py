"""``vireid tune``: search for the values of a recipe's keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli.commands import completion
from vireid_cli.commands.options import DataDir, Device, PrecisionOption, RunsDir, make_engine

if TYPE_CHECKING:
    from rich.table import Table

    from vireid_cli.engine.tune.report import TuningResult

MOST_ROWS = 20
"""Largest number of trials in the printed table; tune.json has all."""


def tune(
    study: Annotated[
        str,
        typer.Argument(
            help="Path, name in ./recipes/tuning, or name of a shipped tuning study.",
            autocompletion=completion.tuning_studies,
        ),
    ],
    trials: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Number of trials in total; 0 only writes the report.",
            show_default="of the study",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print tune.json instead.")] = False,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Search for the values of a recipe's keys with the best validation, and write the best recipe.

    Trials train without the validation identities and are compared on them; the test identities are never
    used. The same command in several processes, or on several machines, shares the trials.

    Example: vireid tune quickstart-rates --trials 8
    """
    from vireid_cli import files
    from vireid_cli.commands import console
    from vireid_cli.engine.tune.report import BEST, RESULT

    engine = make_engine(device, precision, data, runs)
    result = engine.tune(study, trials)
    if json:
        console.print_json(files.read_json(result.folder / RESULT))
        return
    console.print_table(_table(result))
    console.print_line(", ".join(f"{number} {state}" for state, number in result.counts().items()))
    for note in result.notes:
        console.print_line(note)
    console.print_paths(result.paths)
    if result.best is not None:
        console.print_next(
            console.command_line("train", "--recipe", result.folder / BEST, data=data, runs=runs)
        )


def _table(result: TuningResult) -> Table:
    """Return a table of the trials with results, the best first, and of the others by number."""
    from rich.table import Table

    from vireid_cli.results.settings import format_value

    order = {"complete": 0, "pruned": 1}
    rows = sorted(result.rows, key=lambda row: (order.get(row.state, 2), -(row.value or 0.0), row.number))
    more = f", first {MOST_ROWS} of {len(rows)} trials" if len(rows) > MOST_ROWS else ""
    title = f"{result.study.name} · {result.study.objective} on validation identities{more}"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("%", justify="right", no_wrap=True)
    table.add_column("epochs", justify="right", no_wrap=True)
    for key in result.study.space:
        table.add_column(key.removeprefix("method.options.").removeprefix("train."), justify="right")
    table.add_column("note")
    for row in rows[:MOST_ROWS]:
        value = "–" if row.value is None else f"{100 * row.value:.2f}"
        cells = [
            format_value(row.settings[key]) if key in row.settings else "–" for key in result.study.space
        ]
        table.add_row(str(row.number), row.state, value, str(row.epochs), *cells, row.note)
    return table
