"""Benchmarks of whole networks: training steps, embedding, and the activity of loss terms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vireid_cli import files
from vireid_cli.commands.bench.options import Json, Repeats
from vireid_cli.commands.bench.output import print_activity, print_benchmark, run_benchmark
from vireid_cli.commands.bench.training_table import print_training_table
from vireid_cli.commands.options import (
    Device,
    PrecisionOption,
    expanded,
    make_engine,
    refuse_overridden,
)
from vireid_cli.errors import UsageError


def train(
    recipe: Annotated[
        list[str] | None,
        typer.Option("--recipe", "-r", help="Recipe to train; repeatable; default: quickstart.yaml."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All shipped recipes without ablations.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change one key.")
    ] = None,
    repeats: Repeats = 5,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Also write the result as JSON; a table after each recipe.", callback=expanded
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Measure images per second of a whole training step (forward, backward, update) on random pixels.

    Several recipes make a table: at their own size and batch on a GPU, at 96x48 and 4 x 2 images on a CPU.
    Ctrl-C keeps its finished rows.

    Example: vireid bench train --recipe sepg.yaml --set data.sampler.images=2
    """
    if every and recipe:
        raise UsageError("--all and --recipe exclude each other: use one of them.")
    refuse_overridden(settings or [])
    session, changes = make_engine(device, precision).session, settings or []
    names = recipe or ["quickstart.yaml"]
    if every or len(names) > 1:
        from vireid_cli.bench.training_table import shipped_names

        names = shipped_names() if every else names
        print_training_table(session, json, out, recipes=names, settings=changes, repeats=repeats)
        return
    result = print_benchmark("train", session, json, recipe=names[0], settings=changes, repeats=repeats)
    if out is not None:
        files.write_json(out, result)


def extract(
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="Recipe of the network.")] = "quickstart.yaml",
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change one key.")
    ] = None,
    repeats: Repeats = 5,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    json: Json = False,
) -> None:
    """Measure images per second of embedding: unchanged, channels-last, with folded batch norms.

    Example: vireid bench extract
    """
    refuse_overridden(settings or [])
    print_benchmark(
        "extract",
        make_engine(device, precision).session,
        json,
        recipe=recipe,
        settings=settings or [],
        repeats=repeats,
    )


def steps(
    recipe: Annotated[list[str], typer.Option("--recipe", "-r", help="Recipe; at least two.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change one key in all recipes."),
    ] = None,
    repeats: Repeats = 3,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    json: Json = False,
) -> None:
    """Compare training steps of recipes: time and multiply-adds in excess of the first recipe.

    Example: vireid bench steps -r fdnm-global-local -r fdnm-agp -r fdnm-anm -r fdnm
    """
    if len(recipe) < 2:
        raise UsageError(
            "bench steps needs at least two recipes.",
            "Such as: vireid bench steps -r fdnm-global-local -r fdnm",
        )
    refuse_overridden(settings or [])
    print_benchmark(
        "steps",
        make_engine(device, precision).session,
        json,
        recipes=recipe,
        settings=settings or [],
        repeats=repeats,
    )


def activity(
    recipe: Annotated[
        list[str] | None, typer.Option("--recipe", "-r", help="Recipe; repeatable; default: all.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Number of steps per training.")] = 30,
    device: Device = "auto",
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """Check that every loss term, weight and switch of a recipe has an effect, on a small rendered benchmark.

    A term has an effect if its gradient is not negligible; a weight, if it is the factor on some terms and on
    nothing else; a switch, if its value and that of the extended recipe lead to different weights. Takes
    minutes for all recipes.

    Example: vireid bench activity --recipe dselacfp --steps 3
    """
    if json and markdown:
        raise UsageError("--json and --markdown exclude each other: use one of them.")
    session = make_engine(device, "fp32").session
    result = run_benchmark("activity", session, recipe=recipe or [], steps=steps)
    if json:
        from vireid_cli.commands.console import print_json

        print_json(result)
    else:
        print_activity(result, markdown=markdown)
