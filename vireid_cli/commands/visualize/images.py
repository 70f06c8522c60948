"""Figures of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vireid_cli.commands.options import DataDir, make_engine, parse_size
from vireid_cli.commands.visualize.options import Dpi, FigureOut, Format, Seed, draw
from vireid_cli.errors import UsageError


def phase_swap(
    dataset: Annotated[str, typer.Option(help="Dataset that the person is taken from.")] = "sysu",
    pid: Annotated[int | None, typer.Option(help="The person.", show_default="a test identity")] = None,
    visible: Annotated[Path | None, typer.Option(help="A visible image file, with --infrared.")] = None,
    infrared: Annotated[Path | None, typer.Option(help="An infrared image file, with --visible.")] = None,
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH that the images are taken at.")] = "288x144",
    out: FigureOut = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
) -> None:
    """A person in both modalities: images, amplitudes, phases, swapped, phase-only, amplitude-only.

    Example: vireid visualize phase-swap --pid 6 --out swap.svg
    """
    if (visible is None) != (infrared is None):
        raise UsageError("--visible and --infrared go together.")
    if visible is not None and pid is not None:
        raise UsageError("Name a person with --pid or two files, not both.")
    images = (visible, infrared) if visible is not None else None
    draw(
        "phase-swap",
        None,
        make_engine("cpu", data=data),
        out,
        format,
        dpi,
        dataset=dataset,
        pid=pid,
        images=images,
        size=parse_size(size),
    )


def sheet(
    dataset: Annotated[str, typer.Option(help="Whose images.")] = "sysu",
    images: Annotated[int, typer.Option(min=1, max=400, help="How many.")] = 40,
    columns: Annotated[int, typer.Option(min=1, max=40, help="Images in a row.")] = 12,
    seed: Seed = 0,
    out: FigureOut = None,
    format: Format = None,
    dpi: Dpi = 150,
    data: DataDir = None,
) -> None:
    """A contact sheet of a dataset: people by identity and camera, framed by modality.

    Example: vireid visualize sheet --images 40
    """
    engine = make_engine("cpu", data=data)
    draw("sheet", None, engine, out, format, dpi, dataset=dataset, images=images, columns=columns, seed=seed)
