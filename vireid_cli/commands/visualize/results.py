"""Commands for figures of results and training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vireid_cli.commands.options import DataDir, RunsDir, expanded, make_engine, refuse_without_effect
from vireid_cli.commands.visualize.options import (
    OUT_HELP,
    Dpi,
    FigurePath,
    Format,
    Order,
    Out,
    Protocol,
    Runs,
    Seed,
    draw,
    figure_path,
)


def ranking(
    context: typer.Context,
    run: Runs = None,
    queries: Annotated[
        int | None, typer.Option(min=1, max=50, help="Number of queries.", show_default="6")
    ] = None,
    order: Annotated[
        Order | None,
        typer.Option(
            help="Queries: random, or best or worst by average precision in the first run.",
            show_default="random",
        ),
    ] = None,
    pid: Annotated[list[int] | None, typer.Option(help="Only queries of this person; repeatable.")] = None,
    query: Annotated[
        list[str] | None, typer.Option(help="Path of a query in the dataset; repeatable.")
    ] = None,
    protocol: Protocol = None,
    seed: Seed = 0,
    out: Out = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Draw queries with their first ten matches: correct ones framed green, wrong ones red.

    Up to four runs are compared on the same queries, one row per run.

    Example: vireid visualize ranking --order worst
    """
    if query or order in (Order.best, Order.worst):
        refuse_without_effect(context, "--query and --order best or worst use no random numbers", "seed")
    draw(
        "ranking",
        run,
        make_engine("cpu", data=data, runs=runs),
        out,
        format,
        dpi,
        protocol=protocol,
        queries=queries,
        order=order.value if order else None,
        seed=seed,
        pids=pid or (),
        paths=query or (),
    )


def cmc(
    run: Runs = None,
    ranks: Annotated[int, typer.Option(min=2, max=50, help="Largest rank.")] = 20,
    protocol: Protocol = None,
    out: Out = None,
    format: Format = None,
    dpi: Dpi = 150,
    runs: RunsDir = None,
) -> None:
    """Draw CMC curves of runs with 95 % bootstrap bands over people, and the chance level.

    Example: vireid visualize cmc --ranks 20
    """
    draw("cmc", run, make_engine("cpu", runs=runs), out, format, dpi, protocol=protocol, ranks=ranks)


def curves(
    run: Runs = None, out: Out = None, format: Format = None, dpi: Dpi = 150, runs: RunsDir = None
) -> None:
    """Draw loss terms and learning rate over steps, and validation metrics over epochs.

    Example: vireid visualize curves
    """
    draw("curves", run, make_engine("cpu", runs=runs), out, format, dpi)


def sweep(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder of run folders, or name of a study in the folder of runs.", callback=expanded
        ),
    ],
    key: Annotated[
        str | None,
        typer.Option(
            help="Recipe key on the x axis; its last parts suffice.", show_default="the key that varies"
        ),
    ] = None,
    metric: Annotated[str, typer.Option(help="Metrics, separated by commas.")] = "rank1,mAP",
    where: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE: only runs with this recipe setting; repeatable.")
    ] = None,
    protocol: Protocol = None,
    out: Annotated[
        FigurePath | None,
        typer.Option(metavar="PATH", help=OUT_HELP, show_default="FOLDER/figures/…", parser=figure_path),
    ] = None,
    format: Format = None,
    dpi: Dpi = 150,
    runs: RunsDir = None,
) -> None:
    """Draw metrics over a hyperparameter, from the runs in a folder: mean and deviation over seeds.

    Example: vireid visualize sweep runs/fdnm-margin --key cnm.margin --metric rank1,mAP
    """
    engine = make_engine("cpu", runs=runs)
    draw(
        "sweep",
        folder if folder.is_dir() else engine.session.runs_dir / folder,
        engine,
        out,
        format,
        dpi,
        key=key,
        metrics=tuple(name.strip() for name in metric.split(",") if name.strip()),
        protocol=protocol,
        where=where or (),
    )
