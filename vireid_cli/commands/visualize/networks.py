"""Figures for which a run's network looks at images."""

from __future__ import annotations

from typing import Annotated

import typer

from vireid_cli.commands.options import DataDir, Device, RunsDir, make_engine, refuse_idle
from vireid_cli.commands.visualize.options import Dpi, Format, Out, Runs, draw


def attention(
    context: typer.Context,
    run: Runs = None,
    ids: Annotated[int, typer.Option(min=1, max=8, help="People shown.")] = 4,
    pid: Annotated[
        list[int] | None, typer.Option(help="A person shown; may be given again.", show_default="test ones")
    ] = None,
    steps: Annotated[
        int, typer.Option(min=1, max=256, help="Points of the path whose gradients are averaged.")
    ] = 6,
    out: Out = None,
    format: Format = None,
    dpi: Dpi = 150,
    device: Device = "auto",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Where the embedding looks, in a visible and an infrared image of each person; a row a run.

    Example: vireid visualize attention --ids 4
    """
    if pid:
        refuse_idle(context, "--pid names the people", "ids")
    engine = make_engine(device, "auto", data, runs)
    draw("attention", run, engine, out, format, dpi, ids=ids, pids=pid or [], steps=steps)
