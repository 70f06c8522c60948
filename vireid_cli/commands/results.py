"""``vireid results`` and ``vireid runs``: print evaluations and files of runs, and list all runs."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli.commands.evaluate_options import Verbose
from vireid_cli.commands.options import RunsDir, refuse_without_effect
from vireid_cli.errors import DataError, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from vireid_cli.results.listing import ListedRun
    from vireid_cli.results.run import RunFolder
    from vireid_cli.results.run_tables import RunTable


class SortKey(StrEnum):
    """Column that sorts the list of runs; see ``results.listing.Key``."""

    date = "date"
    name = "name"
    recipe = "recipe"
    dataset = "dataset"
    epochs = "epochs"
    rank1 = "rank1"
    mAP = "mAP"


def results(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Run folders or their names; default: the newest run."),
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="Only this evaluation.", show_default="all")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX tables (booktabs).")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print one CSV line per run and metric.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print all metrics.json files.")] = False,
    verbose: Verbose = False,
    runs: RunsDir = None,
) -> None:
    """Print the result tables of one run with its files, or of several runs side by side.

    Example: vireid results RUN_A RUN_B --latex
    """
    from vireid_cli.commands import console, evaluation_output
    from vireid_cli.results import run_tables
    from vireid_cli.results.run import find_results

    formats = {"--markdown": markdown, "--latex": latex, "--csv": csv, "--json": json}
    chosen = [option for option, on in formats.items() if on]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} exclude each other.", "Use one of them.")
    _check_verbose(context, chosen, len(names or ()))
    folders = [find_results(name, runs=runs) for name in names] if names else [find_results(runs=runs)]
    tables = run_tables.tables_of(folders, protocol)
    if json:
        contents = run_tables.as_json(tables)
        console.print_json(contents if len(folders) > 1 else next(iter(contents.values())))
    elif markdown or latex or csv:
        form = run_tables.as_markdown if markdown else run_tables.as_latex if latex else run_tables.as_csv
        console.print_text(form(tables))
    elif len(folders) > 1:
        for table in tables:
            _print_side_by_side(table)
        words = [str(name) for name in names or ()]
        console.print_next(console.command_line("results", *words, "--latex", runs=runs))
    else:
        evaluation_output.print_evaluations(
            (content for table in tables for content in table.contents), verbose
        )
        _print_files(folders[0])


def _check_verbose(context: typer.Context, formats: Sequence[str], runs: int) -> None:
    """Refuse ``--verbose`` with another format or several runs.

    Raises:
        UsageError: The command line has it.
    """
    for option in formats:
        refuse_without_effect(context, f"{option} prints no lines about the settings", "verbose")
    if runs > 1:
        refuse_without_effect(context, "Several runs are printed side by side, without settings", "verbose")


def _print_side_by_side(table: RunTable) -> None:
    """Print one protocol's table with a row per run, and its notes."""
    from rich import box
    from rich.table import Table

    from vireid_cli.commands import console, evaluation_output
    from vireid_cli.results.formatting import column_name, evaluation_title

    def build(metrics: list[str]) -> Table:
        """Build a table of some metrics."""
        shown = Table(
            title=evaluation_title(table.described),
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        shown.add_column("%, ± sd over trials", overflow="fold", max_width=24)
        for name in metrics:
            shown.add_column(column_name(name), justify="right", no_wrap=True)
        for i, label in enumerate(table.labels):
            shown.add_row(label, *(table.cell(i, name) for name in metrics))
        shown.add_row("chance", *map(table.chance, metrics), style="dim")
        return shown

    evaluation_output.print_in_parts(build, table.metrics)
    for note in table.notes:
        console.print_line(note, "yellow")


def _print_files(folder: RunFolder) -> None:
    """Print the paths of a run's files with their sizes, and warn of damaged exports."""
    from vireid_cli.commands import console
    from vireid_cli.results.export import read_export, records_in

    for record in records_in(folder.exports):
        try:
            read_export(record)
        except DataError as error:
            console.ConsoleReporter().warn(f"{error.message} {error.hint}")
    for path in sorted(folder.folder.rglob("*")):
        if not path.is_file() or any(p.startswith(".") for p in path.relative_to(folder.folder).parts):
            continue  # lock files and unfinished files
        console.print_line(f"{path}  ({path.stat().st_size / 1e6:.2f} MB)")


def list_runs(
    sort: Annotated[
        SortKey,
        typer.Option(
            metavar="COLUMN",
            help="Column that sorts the list, newest or best first: date, name, recipe, dataset, epochs, "
            "rank1 or mAP.",
        ),
    ] = SortKey.date,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    runs: RunsDir = None,
) -> None:
    """List all runs: recipe, dataset, finished epochs, Rank-1 and mAP of the first evaluation, date.

    Example: vireid runs --sort mAP
    """
    from vireid_cli.commands import console
    from vireid_cli.results import listing
    from vireid_cli.results.run import runs_folder

    folder = runs or runs_folder()
    rows = listing.list_runs(folder, sort.value)
    if json:
        console.print_json([row.as_json() for row in rows])
        return
    if not rows:
        raise UsageError(f"{folder} has no runs.", "Train one first: vireid train --recipe quickstart.yaml")
    console.print_table(_runs_table(rows))
    for row in rows:
        if row.problem:
            console.ConsoleReporter().warn(f"{row.name}: {row.problem}")
    if any(row.rendered for row in rows):
        console.print_line("*: on rendered people, not comparable with real images", "dim")
    if unlike := listing.unlike_note(rows):
        console.print_line(f"not strictly comparable: {unlike}", "dim")
    console.print_next(
        console.command_line("results", *(row.name for row in rows[:2]), runs=runs),
    )


def _runs_table(rows: Sequence[ListedRun]) -> Table:
    from rich import box
    from rich.table import Table

    from vireid_cli.results.formatting import percent

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold", min_width=10)
    table.add_column("recipe", overflow="fold")
    table.add_column("dataset", overflow="fold")
    for name in ("epochs", "Rank-1", "mAP"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("date", no_wrap=True)
    for row in rows:
        star = "*" if row.rendered else ""
        table.add_row(
            f"{row.name} (latest)" if row.latest else row.name,
            row.recipe or "–",
            row.dataset or "–",
            f"{row.epochs}/{row.planned}",
            f"{percent(row.rank1)}{star}",
            f"{percent(row.mAP)}{star}",
            row.date,
        )
    return table
