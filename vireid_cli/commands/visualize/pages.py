"""Command for the HTML report."""

from __future__ import annotations

from typing import Annotated

import typer

from vireid_cli.commands.options import DataDir, Device, RunsDir, make_engine
from vireid_cli.commands.visualize.options import Out, Protocol, Runs, Seed, draw


def report(
    run: Runs = None,
    protocol: Protocol = None,
    ids: Annotated[int, typer.Option(min=2, help="Number of people in the t-SNE chart.")] = 24,
    latency: Annotated[
        bool,
        typer.Option("--latency", help="Also measure latency; the file then differs between calls."),
    ] = False,
    seed: Seed = 0,
    out: Out = None,
    device: Device = "cpu",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Write a self-contained HTML page about one run, or about several side by side.

    Example: vireid visualize report
    """
    engine = make_engine(device, data=data, runs=runs)
    draw("report", run, engine, out, None, 150, protocol=protocol, ids=ids, seed=seed, latency=latency)
