"""Figures of a run's results and of its training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vireid_cli.commands.options import DataDir, RunsDir, make_engine, refuse_idle
from vireid_cli.commands.visualize.options import Dpi, Format, Order, Out, Protocol, Runs, Seed, draw


def ranking(
    context: typer.Context,
    run: Runs = None,
    queries: Annotated[
        int | None, typer.Option(min=1, max=50, help="How many queries.", show_default="6")
    ] = None,
    order: Annotated[
        Order | None,
        typer.Option(
            help="Which: random, or best or worst by the first run's average precision.",
            show_default="random",
        ),
    ] = None,
    pid: Annotated[list[int] | None, typer.Option(help="Queries of this person only; repeatable.")] = None,
    query: Annotated[
        list[str] | None, typer.Option(help="This very query, by its path in the dataset; repeatable.")
    ] = None,
    protocol: Protocol = None,
    seed: Seed = 0,
    out: Out = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Queries with their first ten matches: right ones framed green, wrong ones red.

    Several runs (at most four) stand one above another, beside the query that they share.

    Example: vireid visualize ranking --order worst
    """
    if query or order in (Order.best, Order.worst):
        refuse_idle(context, "Nothing is drawn at random beside --query or --order best", "seed")
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
    ranks: Annotated[int, typer.Option(min=2, max=50, help="Up to this rank.")] = 20,
    protocol: Protocol = None,
    out: Out = None,
    format: Format = None,
    dpi: Dpi = 150,
    runs: RunsDir = None,
) -> None:
    """CMC curves of runs with 95 % bootstrap bands over people, and the chance level.

    Example: vireid visualize cmc --ranks 20
    """
    draw("cmc", run, make_engine("cpu", runs=runs), out, format, dpi, protocol=protocol, ranks=ranks)


def curves(
    run: Runs = None, out: Out = None, format: Format = None, dpi: Dpi = 150, runs: RunsDir = None
) -> None:
    """Loss terms and learning rate over the steps of runs, validation over their epochs.

    Example: vireid visualize curves
    """
    draw("curves", run, make_engine("cpu", runs=runs), out, format, dpi)


def sweep(
    folder: Annotated[
        Path, typer.Argument(help="Folder of run folders, or a study's name in the folder of runs.")
    ],
    key: Annotated[
        str | None, typer.Option(help="What is swept; its last parts do.", show_default="the one that varies")
    ] = None,
    metric: Annotated[str, typer.Option(help="Metrics, by comma.")] = "rank1,mAP",
    where: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE that runs must have; repeatable.")
    ] = None,
    protocol: Protocol = None,
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="FOLDER/figures/…")] = None,
    format: Format = None,
    dpi: Dpi = 150,
    runs: RunsDir = None,
) -> None:
    """Metrics over a hyperparameter, from the runs of a folder: mean and deviation over seeds.

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
