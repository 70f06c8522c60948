"""``vireid compare``: train and evaluate the recipes of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli.commands import completion
from vireid_cli.commands.evaluate_options import Verbose
from vireid_cli.commands.options import (
    DataDir,
    Device,
    Gpus,
    PrecisionOption,
    Processes,
    RunsDir,
    launched,
    make_engine,
    refuse_without_effect,
)
from vireid_cli.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from vireid_cli.results.compare import Comparison


def compare(
    context: typer.Context,
    study: Annotated[
        str,
        typer.Argument(
            help="Path, name in ./recipes/studies, or name of a shipped study.",
            autocompletion=completion.studies,
        ),
    ],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print study.json instead.")] = False,
    verbose: Verbose = False,
    spread: Annotated[
        bool, typer.Option("--spread", help="Several processes: each trains rows of its own.")
    ] = False,
    gpus: Gpus = None,
    processes: Processes = None,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Train and evaluate every row of a study with every seed, and print mean ± standard deviation.

    Rows with a parent show their paired difference from it, with an interval over test people and seeds.
    Finished rows are reused, and unfinished trainings resume.

    Example: vireid compare methods
    """
    from vireid_cli import files
    from vireid_cli.commands import console

    if json:
        refuse_without_effect(context, "--json prints study.json, without tables", "markdown", "verbose")
    if launched(gpus, processes):
        return
    engine = make_engine(device, precision, data, runs)
    if spread and not engine.session.runtime.world.several:
        raise UsageError(
            "--spread distributes rows over several processes; there is one.",
            "Add --processes N or --gpus N, or remove --spread.",
        )
    result = engine.compare(study, spread=spread)
    if not engine.session.runtime.world.first:
        return
    if json:
        console.print_json(files.read_json(result.path))
        return
    for protocol, table in result.tables.items():
        _print_table(result.study.name, protocol, table, markdown, verbose)
    console.print_paths([result.path, *result.figures])


def _print_table(study: str, protocol: str, table: Comparison, as_markdown: bool, verbose: bool) -> None:
    """Print the table of one protocol with its provenance."""
    from vireid_cli.commands import console
    from vireid_cli.commands.tables import fingerprint_text, provenance
    from vireid_cli.results.compare import markdown, notes
    from vireid_cli.results.formatting import RENDERED

    if as_markdown:
        console.print_text(f"\n{protocol}\n\n{markdown(table)}\n\n")
    else:
        console.print_table(_table(f"{study} · {protocol}", table))
        console.print_lines(notes(table))
    if verbose:
        console.print_line(fingerprint_text(table.fingerprint), "dim")
    else:
        console.print_lines(provenance(table.fingerprint))
    if table.rendered:
        console.print_line(RENDERED, "yellow")


def _table(title: str, comparison: Comparison) -> Table:
    """Return the table of one protocol: a row per recipe, and the chance level."""
    from rich.table import Table

    from vireid_cli.results.compare import difference_columns, percent_difference, percent_spread

    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("%, mean ± sd over seeds", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    rows = comparison.rows
    for name in rows[0].metrics:
        table.add_column(name.replace("rank", "Rank-"), justify="right", no_wrap=True)
    compared = difference_columns(comparison)
    for name in compared:
        table.add_column(f"Δ {name.replace('rank', 'Rank-')} [95 %]", justify="right", no_wrap=True)
    table.add_column("seeds", justify="right")
    for row in rows:
        cells = [percent_spread(spread) for spread in row.metrics.values()]
        cells += [percent_difference(row.differences.get(name)) for name in compared]
        table.add_row(row.label, f"{row.parameters / 1e6:.2f} M", *cells, str(len(row.seeds)))
    table.add_row("chance", "", f"{100 * rows[0].chance:.1f}")
    return table
