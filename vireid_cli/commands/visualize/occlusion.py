"""Command for figures of occluded people."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from vireid_cli.commands.options import DataDir, LibraryFolder, make_engine, refuse_without_effect
from vireid_cli.commands.visualize.options import Dpi, FigureOut, Format, Seed, output_of


class Grouping(StrEnum):
    """Property that the rows of a sheet are grouped by."""

    camera = "camera"
    category = "category"
    modality = "modality"


def occlusion(
    context: typer.Context,
    dataset: Annotated[str, typer.Option(help="Dataset of the people.")] = "sysu",
    by: Annotated[
        Grouping,
        typer.Option(metavar="NAME", help="Property to group pairs by: camera, category or modality."),
    ] = Grouping.camera,
    rows: Annotated[int, typer.Option(min=1, max=40, help="Number of pairs per group.")] = 5,
    library_sheet: Annotated[
        bool, typer.Option("--library-sheet", help="Draw the occluders instead of people.")
    ] = False,
    seed: Seed = 0,
    library: LibraryFolder = None,
    out: FigureOut = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
) -> None:
    """Draw people with and without occluders, grouped by camera, category or modality; or the library.

    Example: vireid visualize occlusion --by category --rows 4
    """
    from vireid_cli.commands.console import print_paths

    if library_sheet:
        refuse_without_effect(
            context, "--library-sheet draws all occluders, without people", "dataset", "by", "rows", "seed"
        )
    output = output_of(out, format, dpi)
    output.check_format()
    engine = make_engine("cpu", data=data)
    path = engine.visualize(
        "occlusion",
        dataset,
        output=output,
        by=by.value,
        rows=rows,
        seed=seed,
        library=library,
        library_sheet=library_sheet,
    )
    print_paths([path])
