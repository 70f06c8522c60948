"""Commands for figures that need the network of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from vireid_cli.commands.options import DataDir, Device, RunsDir, make_engine, refuse_without_effect
from vireid_cli.commands.visualize.options import Dpi, Format, Out, Runs, draw


def attention(
    context: typer.Context,
    run: Runs = None,
    ids: Annotated[int, typer.Option(min=1, max=8, help="Number of people.")] = 4,
    pid: Annotated[
        list[int] | None,
        typer.Option(help="Identity of a person to draw; repeatable.", show_default="test identities"),
    ] = None,
    steps: Annotated[
        int, typer.Option(min=1, max=256, help="Number of points on the path of averaged gradients.")
    ] = 6,
    out: Out = None,
    format: Format = None,
    dpi: Dpi = 150,
    device: Device = "auto",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Draw attention maps of a visible and an infrared image of each person, one row per run.

    Example: vireid visualize attention --ids 4
    """
    if pid:
        refuse_without_effect(context, "--pid selects the people", "ids")
    engine = make_engine(device, "auto", data, runs)
    draw("attention", run, engine, out, format, dpi, ids=ids, pids=pid or [], steps=steps)
