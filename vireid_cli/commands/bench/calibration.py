"""``vireid bench calibration``: compare a tree with real images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vireid_cli.commands.bench.options import Json
from vireid_cli.commands.bench.output import run_benchmark
from vireid_cli.commands.options import DataDir, expanded, make_engine

if TYPE_CHECKING:
    from rich.table import Table

INSIDE = {True: "yes", False: "no", None: ""}


def calibration(
    tree: Annotated[
        Path | None,
        typer.Argument(
            help="Tree in the layout of SYSU-MM01.",
            show_default="<data>/SYSU-MM01, else the rendered one",
            callback=expanded,
        ),
    ] = None,
    data: DataDir = None,
    json: Json = False,
) -> None:
    """Compare brightness, spectra, materials and difficulty of a tree with those of real images.

    Each row has the real value, the accepted range and the values of the tree. Only rendered trees have
    values for materials.

    Example: vireid bench calibration data/rendered/SYSU-MM01
    """
    from vireid_cli.commands import console

    result = run_benchmark("calibration", make_engine("cpu", "fp32", data=data).session, root=tree)
    if json:
        console.print_json(result)
        return
    console.print_table(calibration_table(result))
    console.print_line(f"rows inside their range: {result['inside']} of {result['ranges']}")


def calibration_table(result: Mapping[str, Any]) -> Table:
    """Return a table with one row per quantity: real value, accepted range, values of the tree."""
    from rich import box
    from rich.table import Table

    version = result["version"]
    about = "real images" if version is None else f"version {version} of the renderer"
    table = Table(
        title=f"calibration of {result['root']}, {about}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
    )
    for name in ("quantity", "real", "range", "tree"):
        table.add_column(name, overflow="fold")
    table.add_column("inside")
    for row in result["rows"]:
        values = " ".join("-" if value is None else f"{value:.3g}" for value in row["values"])
        span = "" if row["low"] is None else f"{row['low']:g} to {row['high']:g}"
        table.add_row(row["name"], row["real"], span, values, INSIDE[row["inside"]])
    return table
