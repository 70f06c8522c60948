"""``vireid results``."""

from __future__ import annotations

from typing import Annotated

import typer

from vireid_cli.commands.options import RunName, RunsDir
from vireid_cli.errors import DataError, UsageError


def results(
    run: RunName = None,
    json: Annotated[bool, typer.Option("--json", help="Print every metrics.json instead.")] = False,
    runs: RunsDir = None,
) -> None:
    """Print a run's results tables and the paths of everything that was made from it.

    Example: vireid results
    """
    from vireid_cli.commands import console
    from vireid_cli.results import run as folders
    from vireid_cli.results.export import read_export, records_in

    found = folders.find_results(run, runs=runs)
    evaluations = found.evaluations()
    if json:
        console.print_json(evaluations)
        return
    if not evaluations:
        raise UsageError(f"{found.folder} has not been evaluated.", f"Do it: vireid evaluate {found.folder}")
    console.print_evaluations(evaluations.values())
    for record in records_in(found.exports):
        try:
            read_export(record)
        except DataError as error:
            console.ConsoleReporter().warn(f"{error.message} {error.hint}")
    for path in sorted(found.folder.rglob("*")):
        if not path.is_file() or any(p.startswith(".") for p in path.relative_to(found.folder).parts):
            continue  # locks, and files that are being written
        console.print_line(f"{path}  ({path.stat().st_size / 1e6:.2f} MB)")
