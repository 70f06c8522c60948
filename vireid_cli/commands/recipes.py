"""``vireid recipes``: list, show, copy and check recipes, and their JSON Schema."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vireid_cli.commands import completion
from vireid_cli.commands.options import expanded
from vireid_cli.counts import counted
from vireid_cli.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from vireid_cli.recipe.catalogue import Entry

app = typer.Typer(
    no_args_is_help=True,
    help="List, show, copy and check recipes.\n\nExample: vireid recipes list",
)

Name = Annotated[
    str,
    typer.Argument(
        help="Path, name in ./recipes, or name of a shipped recipe.", autocompletion=completion.recipes
    ),
]


@app.command("list")
def list_recipes(
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="Only recipes with this text in name, paper, dataset or method."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List the ablations, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """List the recipes with method, dataset, the first metrics in the paper, and the paper.

    Example: vireid recipes list sepg
    """
    from vireid_cli.commands import console
    from vireid_cli.recipe.catalogue import entries

    candidates = [entry for entry in entries() if text is None or entry.matches(text)]
    matches = [entry for entry in candidates if everything or not entry.ablation]
    omitted = len(candidates) - len(matches)
    more = console.command_line("recipes", "list", text or "", "--all")
    if json:
        console.print_json([_as_json(entry) for entry in matches])
        return
    if not matches:
        hint = "List all recipes: vireid recipes list --all"
        if omitted:
            hint = f"Of the ablations, {omitted} {'matches' if omitted == 1 else 'match'}: {more}"
        raise UsageError(f"No recipe matches '{text}'.", hint)
    console.print_table(_table(matches), fold=False)
    for entry in matches:
        if entry.problem:
            console.print_note(f"{entry.path}: {entry.problem}")
    if omitted:
        console.print_line(f"and {counted(omitted, 'ablation')}: {more}", "dim")
    console.print_next(*(console.command_line("recipes", verb, matches[0].name) for verb in ("show", "copy")))


@app.command()
def show(name: Name) -> None:
    """Print a recipe with its comment and all keys, defaults included; the output is a valid recipe.

    Example: vireid recipes show sepg
    """
    from vireid_cli import reading
    from vireid_cli.commands.console import print_text
    from vireid_cli.engine.network import load_recipe
    from vireid_cli.recipe.catalogue import header, without_modeline
    from vireid_cli.recipe.load import dump, find

    recipe = load_recipe(name)
    comment = without_modeline(header(reading.read_text(find(name))))
    print_text("\n".join(part for part in (comment, dump(recipe)) if part))


@app.command()
def copy(
    name: Annotated[
        str, typer.Argument(help="Name of a shipped recipe, or a path.", autocompletion=completion.recipes)
    ],
    to: Annotated[
        Path | None,
        typer.Argument(help="File or folder to write.", show_default="./recipes", callback=expanded),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Copy a recipe with its comments, to edit it. Commands accept recipes in ./recipes by name.

    The JSON Schema of recipes is written beside the copy, unless it exists: editors with a YAML language
    server complete and check the keys.

    Example: vireid recipes copy sepg && vireid train --recipe sepg
    """
    from vireid_cli.commands.console import command_line, print_next, print_paths
    from vireid_cli.recipe import catalogue

    path = catalogue.copy(name, to, overwrite=force)
    schema = catalogue.add_schema(path.parent)
    print_paths([path, schema] if schema else [path])
    print_next(command_line("recipes", "check", path), command_line("train", "--recipe", path))


@app.command()
def check(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE", help="Paths or names of recipes.", autocompletion=completion.recipes
        ),
    ],
) -> None:
    """Validate recipes without training: print every mistake with its line and the most similar valid key.

    Exit code 0 if all recipes are valid, otherwise 2.

    Example: vireid recipes check sepg fdnm
    """
    from vireid_cli.commands import console
    from vireid_cli.engine.network import load_recipe
    from vireid_cli.recipe.load import find

    invalid = 0
    for name in names:
        try:
            recipe = load_recipe(name)
        except UsageError as error:
            invalid += 1
            console.print_error(error)
            continue
        console.print_line(
            f"{find(name)}: valid (method {recipe.method.name}, dataset {recipe.data.dataset}, "
            f"{counted(recipe.train.epochs, 'epoch')})"
        )
    if invalid:
        console.print_note(f"{invalid} of {len(names)} invalid")
        raise typer.Exit(UsageError.exit_code)


@app.command()
def schema(
    study: Annotated[bool, typer.Option("--study", help="Print the schema of studies.")] = False,
    tuning: Annotated[bool, typer.Option("--tuning", help="Print the schema of tuning studies.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for all schemas, such as recipes.", callback=expanded),
    ] = None,
) -> None:
    """Print the JSON Schema of recipes, with the options of all methods, for editors.

    A recipe names it in its first line: # yaml-language-server: $schema=recipe.schema.json

    Example: vireid recipes schema --out recipes
    """
    from vireid_cli.commands import console
    from vireid_cli.engine.recipe_schema import json_schemas, write_json_schemas
    from vireid_cli.recipe.json_schema import RECIPE_FILE, STUDY_FILE, TUNING_FILE

    if study and tuning:
        raise UsageError("--study and --tuning exclude each other.", "Remove one of them.")
    if out is None:
        name = STUDY_FILE if study else TUNING_FILE if tuning else RECIPE_FILE
        console.print_json(json_schemas()[name])
        return
    if study or tuning:
        given = "--study" if study else "--tuning"
        raise UsageError(f"--out writes all schemas: {given} has no effect; remove it.")
    console.print_paths(write_json_schemas(out))


def _table(entries: Iterable[Entry]) -> Table:
    """Return a table with one line per recipe; a narrow terminal shortens the paper."""
    from rich import box
    from rich.table import Table

    from vireid_cli.recipe.catalogue import metrics

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    for title in ("recipe", "method", "dataset", "Rank-1 / mAP, %"):
        table.add_column(title, overflow="fold", min_width=min(len(title), 12))
    table.add_column("paper", no_wrap=True, overflow="ellipsis", ratio=1)
    for entry in entries:
        name = f"{entry.name} (yours)" if entry.own else entry.name
        if entry.recipe is None:
            table.add_row(name, "–", "–", "invalid, see below", "–", style="red")
            continue
        recipe = entry.recipe
        own = [metrics(row) for row in recipe.reported if row.dataset == recipe.data.dataset]
        others = [f"{row.dataset} {metrics(row)}" for row in recipe.reported]
        reported = next(iter(own or others), "–")
        table.add_row(name, recipe.method.name, recipe.data.dataset, reported, recipe.paper)
    return table


def _as_json(entry: Entry) -> dict[str, Any]:
    """Return the JSON object of one recipe."""
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
