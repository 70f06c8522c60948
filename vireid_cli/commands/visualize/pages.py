"""Pages to read: the report."""

from __future__ import annotations

from typing import Annotated

import typer

from vireid_cli.commands.options import DataDir, Device, RunsDir, make_engine
from vireid_cli.commands.visualize.options import Out, Protocol, Runs, Seed, draw


def report(
    run: Runs = None,
    protocol: Protocol = None,
    ids: Annotated[int, typer.Option(min=2, help="People in the t-SNE chart.")] = 24,
    latency: Annotated[
        bool,
        typer.Option("--latency", help="Measure milliseconds an image, too: bytes then differ each time."),
    ] = False,
    seed: Seed = 0,
    out: Out = None,
    device: Device = "cpu",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """One self-contained HTML page of a run, or of several side by side: open it in any browser.

    Example: vireid visualize report
    """
    engine = make_engine(device, data=data, runs=runs)
    draw("report", run, engine, out, None, 150, protocol=protocol, ids=ids, seed=seed, latency=latency)
