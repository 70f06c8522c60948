"""``vireid methods``: list methods, and check one's own against the contract."""

from __future__ import annotations

from typing import Annotated

import typer

from vireid_cli.errors import UsageError

app = typer.Typer(
    no_args_is_help=True,
    help="List methods, and check one of your own.\n\nExample: vireid methods list",
)


@app.command("list")
def list_methods(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """List all methods with their origin: vireid, the path of --plugin, or an installed package.

    Example: vireid methods list
    """
    from vireid_cli import methods
    from vireid_cli.commands import console

    external = methods.external()
    origins = {name: external[name].origin if name in external else "vireid" for name in methods.available()}
    if json:
        console.print_json(
            [
                {"name": name, "origin": origin}
                | ({"sha256": external[name].sha256()} if name in external else {})
                for name, origin in origins.items()
            ]
        )
        return
    width = max(map(len, origins))
    console.print_lines(f"{name:{width}}  {origin}" for name, origin in origins.items())


@app.command()
def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="METHOD", help="Methods; default: all of --plugin.")
    ] = None,
) -> None:
    """Check methods against the contract on a small batch: losses, embeddings, groups, export, precision.

    Prints one line per check. Exit code 0 if all checks pass, otherwise 1.

    Example: vireid methods check baseline
    """
    from vireid_cli import methods
    from vireid_cli.commands import console
    from vireid_cli.engine import contract

    chosen = list(dict.fromkeys(names or methods.external()))
    if not chosen:
        raise UsageError(
            "There is no method to check.", "Name one, or the folder of yours: --plugin my_methods"
        )
    failed = 0
    for name in chosen:
        outcomes = contract.check(name)
        failed += any(outcome.problem for outcome in outcomes)
        for outcome in outcomes:
            result = f"FAILED: {outcome.problem}" if outcome.problem else "passed"
            console.print_line(f"{name}: {outcome.promise}: {result}")
    if failed:
        console.print_note(f"methods that break the contract: {failed} of {len(chosen)}")
        raise typer.Exit(1)
