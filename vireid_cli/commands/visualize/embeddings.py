"""Figures of a run's embeddings."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from vireid_cli.commands.options import DataDir, Device, PrecisionOption, RunsDir, make_engine, refuse_idle
from vireid_cli.commands.visualize.options import Dpi, Format, Out, Protocol, Runs, Seed, draw


class By(StrEnum):
    """How points are coloured."""

    modality = "modality"
    identity = "identity"
    both = "both"


class Component(StrEnum):
    """What is laid out."""

    spatial = "spatial"
    amplitude = "amplitude"
    phase = "phase"
    all = "all"


def tsne(
    context: typer.Context,
    run: Runs = None,
    ids: Annotated[int, typer.Option(min=2, help="Identities shown.")] = 24,
    images: Annotated[
        int, typer.Option(min=1, help="Images shown of each identity and modality at most.")
    ] = 20,
    component: Annotated[
        Component,
        typer.Option(help="Embeddings, or amplitude or phase of the backbone's last map, or all three."),
    ] = Component.spatial,
    by: Annotated[By, typer.Option(help="How points are coloured.")] = By.both,
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
    """Test images on a plane, by modality and by identity; several runs on the same images.

    Example: vireid visualize tsne --ids 24
    """
    if component is Component.spatial:
        refuse_idle(context, "--component spatial lays out stored embeddings", "precision")
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
            help="Count every pair of two people. By default a histogram of very long embeddings (FDNM's) is "
            "of a share of them, drawn by a fixed seed and told; means and δ are always of all.",
        ),
    ] = False,
    out: Out = None,
    format: Format = None,
    dpi: Dpi = 150,
    runs: RunsDir = None,
) -> None:
    """How far apart one person's visible and infrared images are, how far two people's: a panel a run.

    Example: vireid visualize distances
    """
    engine = make_engine("cpu", runs=runs)
    draw("distances", run, engine, out, format, dpi, protocol=protocol, all_pairs=all_pairs)
