"""``vireid recipes``: list, show, copy and check recipes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vireid_cli.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from vireid_cli.recipe.catalogue import Entry

app = typer.Typer(
    no_args_is_help=True,
    help="List, show, copy and check recipes.\n\nExample: vireid recipes list",
)

Name = Annotated[str, typer.Argument(help="A path, a name in ./recipes, or a shipped recipe.")]


@app.command("list")
def list_recipes(
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="Only those whose name, paper, dataset or method holds it."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """List every recipe with its paper, dataset, method and the metrics that the paper reports.

    Example: vireid recipes list sepg
    """
    from vireid_cli.commands import console
    from vireid_cli.recipe.catalogue import entries

    found = [entry for entry in entries() if text is None or entry.matches(text)]
    if json:
        console.print_json([_as_json(entry) for entry in found])
        return
    if not found:
        raise UsageError(f"No recipe holds '{text}'.", "See all: vireid recipes list")
    console.print_table(_table(found))
    for entry in found:
        if entry.problem:
            console.print_note(f"{entry.path}: {entry.problem}")
    console.print_next(*(console.line("recipes", verb, found[0].name) for verb in ("show", "copy")))


@app.command()
def show(name: Name) -> None:
    """Print a recipe as it is trained: its comment, then every key, defaults included; itself a recipe.

    Example: vireid recipes show sepg
    """
    from vireid_cli import reading
    from vireid_cli.commands.console import print_text
    from vireid_cli.engine.network import load_recipe
    from vireid_cli.recipe.catalogue import header
    from vireid_cli.recipe.load import dump, find

    recipe = load_recipe(name)
    comment = header(reading.read_text(find(name)))
    print_text("\n".join(part for part in (comment, dump(recipe)) if part))


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="A shipped recipe, or a path.")],
    to: Annotated[
        Path | None, typer.Argument(help="File or folder of the copy.", show_default="./recipes")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Copy a recipe with its comments, to change it; a recipe in ./recipes is found by its name.

    Example: vireid recipes copy sepg && vireid train --recipe sepg
    """
    from vireid_cli.commands.console import line, print_next, print_paths
    from vireid_cli.recipe import catalogue

    path = catalogue.copy(name, to, overwrite=force)
    print_paths([path])
    print_next(line("recipes", "check", path), line("train", "--recipe", path))


@app.command()
def check(
    names: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="Paths or names.")],
) -> None:
    """Check recipes without training them: every mistake with its line, and the nearest right key.

    Leaves with 0 if all are right, else with 2.

    Example: vireid recipes check sepg fdnm
    """
    from vireid_cli.commands import console
    from vireid_cli.engine.network import load_recipe
    from vireid_cli.recipe.load import find

    refused = 0
    for name in names:
        try:
            recipe = load_recipe(name)
        except UsageError as error:
            refused += 1
            console.print_error(error)
            continue
        console.print_line(
            f"{find(name)}: right (method {recipe.method.name}, dataset {recipe.data.dataset}, "
            f"{recipe.train.epochs} epochs)"
        )
    if refused:
        console.print_note(f"{refused} of {len(names)} refused")
        raise typer.Exit(UsageError.exit_code)


def _table(found: Iterable[Entry]) -> Table:
    """One row a recipe."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from vireid_cli.printable import printable_block
    from vireid_cli.recipe.catalogue import metrics

    table = Table(box=box.SIMPLE_HEAD)
    for title in ("recipe", "method", "dataset", "reported: Rank-1 / mAP, %", "paper"):
        table.add_column(title, no_wrap=title in ("recipe", "method", "dataset"), overflow="fold")
    for entry in found:
        name = f"{entry.name} (yours)" if entry.own else entry.name
        if entry.recipe is None:
            table.add_row(name, "–", "–", "refused, see below", "–", style="red")
            continue
        recipe = entry.recipe
        rows = "\n".join(
            metrics(row) if row.dataset == recipe.data.dataset else f"{row.dataset} {metrics(row)}"
            for row in recipe.reported
        )
        table.add_row(
            name, recipe.method.name, recipe.data.dataset, Text(printable_block(rows or "–")), recipe.paper
        )
    return table


def _as_json(entry: Entry) -> dict[str, Any]:
    """What a script wants of an entry."""
    content: dict[str, Any] = {"name": entry.name, "path": str(entry.path), "own": entry.own}
    if entry.recipe is None:
        return content | {"problem": entry.problem}
    recipe = entry.recipe
    return content | {
        "paper": recipe.paper,
        "dataset": recipe.data.dataset,
        "method": recipe.method.name,
        "reported": [row.model_dump(mode="json", exclude_none=True) for row in recipe.reported],
    }
