"""Figures of a run's embeddings."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from vireid_cli.commands.options import (
    DataDir,
    Device,
    PrecisionOption,
    RunsDir,
    make_engine,
    refuse_without_effect,
)
from vireid_cli.commands.visualize.options import Dpi, Format, Out, Protocol, Runs, Seed, draw


class By(StrEnum):
    """Property that determines the colour of points."""

    modality = "modality"
    identity = "identity"
    both = "both"


class Component(StrEnum):
    """Features to project on the plane."""

    spatial = "spatial"
    amplitude = "amplitude"
    phase = "phase"
    all = "all"


def tsne(
    context: typer.Context,
    run: Runs = None,
    ids: Annotated[int, typer.Option(min=2, help="Number of identities.")] = 24,
    images: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Maximum number of images per identity and modality.")
    ] = 20,
    component: Annotated[
        Component,
        typer.Option(
            metavar="NAME",
            help="spatial: embeddings; amplitude, phase: of the backbone's last map; all: all three.",
        ),
    ] = Component.spatial,
    by: Annotated[By, typer.Option(help="Property that determines the colour of points.")] = By.both,
    protocol: Protocol = None,
    seed: Seed = 0,
    out: Out = None,
    format: Format = None,
    dpi: Dpi = 150,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Draw a t-SNE of test images, coloured by modality and identity; several runs use the same images.

    Example: vireid visualize tsne --ids 24
    """
    if component is Component.spatial:
        refuse_without_effect(context, "--component spatial uses stored embeddings", "precision")
    draw(
        "tsne",
        run,
        make_engine(device, precision, data, runs),
        out,
        format,
        dpi,
        protocol=protocol,
        ids=ids,
        images=images,
        seed=seed,
        by=by.value,
        component=component.value,
    )


def distances(
    run: Runs = None,
    protocol: Protocol = None,
    all_pairs: Annotated[
        bool,
        typer.Option(
            "--all-pairs",
            help="Count all pairs of two people. By default the histogram of very long embeddings (FDNM's) "
            "uses a random share of the pairs, noted in the figure; means and δ always use all.",
        ),
    ] = False,
    out: Out = None,
    format: Format = None,
    dpi: Dpi = 150,
    runs: RunsDir = None,
) -> None:
    """Draw the distances between visible and infrared images of one person and of two; one panel per run.

    Example: vireid visualize distances
    """
    engine = make_engine("cpu", runs=runs)
    draw("distances", run, engine, out, format, dpi, protocol=protocol, all_pairs=all_pairs)
