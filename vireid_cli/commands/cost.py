"""``vireid cost``: parameters, multiply-adds and latency of networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from vireid_cli.commands import completion
from vireid_cli.commands.evaluate_options import Json
from vireid_cli.commands.options import (
    DataDir,
    Device,
    PrecisionOption,
    RunsDir,
    make_engine,
    parse_size,
    refuse_without_effect,
)
from vireid_cli.errors import UsageError

if TYPE_CHECKING:
    from vireid_cli.engine.engine import Engine

Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN",
        help="Run folders or their names; default: the newest run.",
        autocompletion=completion.runs,
    ),
]
Recipes = Annotated[
    list[str] | None,
    typer.Option("--recipe", help="Recipe instead of a run; repeatable.", autocompletion=completion.recipes),
]
InputSize = Annotated[
    str | None, typer.Option("--size", help="Image size, HEIGHTxWIDTH.", show_default="of the recipe")
]


def cost(
    context: typer.Context,
    run: Runs = None,
    recipe: Recipes = None,
    size: InputSize = None,
    artifacts: Annotated[
        bool, typer.Option("--artifacts", help="Measure size and latency of the exported files, on the CPU.")
    ] = False,
    json: Json = False,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Measure parameters, multiply-adds and latency of the networks of runs or recipes.

    Example: vireid cost --recipe agw --recipe fdnm
    """
    if artifacts:
        refuse_without_effect(context, "--artifacts measures files in their own precision", "precision")
        _print_artifacts(make_engine("cpu", data=data, runs=runs), run or [], recipe or [], size, json)
        return
    print_costs_of(make_engine(device, precision, data, runs), run or [], recipe or [], size, json)


def _print_artifacts(
    engine: Engine, runs: Sequence[str], recipes: Sequence[str], size: str | None, json: bool
) -> None:
    """Measure and print the exported files of runs; without a run, of the newest.

    Raises:
        UsageError: An option has no effect on exported files, or a run has none.
    """
    from dataclasses import asdict

    from vireid_cli.commands import console
    from vireid_cli.commands.cost_table import print_artifacts

    if recipes or size:
        raise UsageError("--recipe and --size have no effect on exported files: remove them.")
    names: list[str | None] = [*runs] or [None]
    for name in names:
        costs = [asdict(cost) for cost in engine.cost_of_artifacts(name)]
        if json:
            console.print_json(costs)
        else:
            print_artifacts(costs)


def print_costs_of(
    engine: Engine, runs: Sequence[str], recipes: Sequence[str], size: str | None, json: bool
) -> None:
    """Measure and print the costs of runs or recipes; without either, of the newest run.

    Raises:
        UsageError: Both runs and recipes, a size of another form, or a run or recipe that does not exist.
    """
    from vireid_cli.commands import console
    from vireid_cli.commands.cost_table import print_costs

    if runs and recipes:
        raise UsageError("RUN and --recipe exclude each other: use one of them.")
    pixels = parse_size(size) if size else None
    if recipes:
        costs = [engine.cost(recipe=name, size=pixels) for name in recipes]
    else:
        costs = [engine.cost(name, size=pixels) for name in runs] or [engine.cost(size=pixels)]
    if json:
        console.print_json(costs if len(costs) > 1 else costs[0])
    else:
        print_costs(costs)
