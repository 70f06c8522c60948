"""``vireid results``: print the evaluations and files of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from vireid_cli.commands.options import RunName, RunsDir
from vireid_cli.errors import DataError, UsageError


def results(
    run: RunName = None,
    json: Annotated[bool, typer.Option("--json", help="Print all metrics.json files instead.")] = False,
    runs: RunsDir = None,
) -> None:
    """Print the result tables of a run and the paths of all its files.

    Example: vireid results
    """
    from vireid_cli.commands import console
    from vireid_cli.results.export import read_export, records_in
    from vireid_cli.results.run import find_results

    run_results = find_results(run, runs=runs)
    evaluations = run_results.evaluations()
    if json:
        console.print_json(evaluations)
        return
    if not evaluations:
        folder = run_results.folder
        raise UsageError(f"{folder} has no evaluation.", f"Evaluate it: vireid evaluate {folder}")
    console.print_evaluations(evaluations.values())
    for record in records_in(run_results.exports):
        try:
            read_export(record)
        except DataError as error:
            console.ConsoleReporter().warn(f"{error.message} {error.hint}")
    for path in sorted(run_results.folder.rglob("*")):
        if not path.is_file() or any(p.startswith(".") for p in path.relative_to(run_results.folder).parts):
            continue  # lock files and unfinished files
        console.print_line(f"{path}  ({path.stat().st_size / 1e6:.2f} MB)")
