"""Figures of a run's embeddings."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from vireid_cli.commands.options import RunName, RunsDir, make_engine
from vireid_cli.commands.visualize.options import Dpi, Format, Out, Protocol, Runs, Seed, draw


class By(StrEnum):
    """How points are coloured."""

    modality = "modality"
    identity = "identity"
    both = "both"


def tsne(
    run: RunName = None,
    ids: Annotated[int, typer.Option(min=2, help="Identities shown.")] = 24,
    by: Annotated[By, typer.Option(help="How points are coloured.")] = By.both,
    protocol: Protocol = None,
    seed: Seed = 0,
    out: Out = None,
    format: Format = None,
    dpi: Dpi = 150,
    runs: RunsDir = None,
) -> None:
    """The test embeddings of a run on a plane, by modality and by identity.

    Example: vireid visualize tsne --ids 24
    """
    engine = make_engine("cpu", runs=runs)
    draw("tsne", run, engine, out, format, dpi, protocol=protocol, ids=ids, seed=seed, by=by.value)


def distances(
    run: Runs = None,
    protocol: Protocol = None,
    out: Out = None,
    format: Format = None,
    dpi: Dpi = 150,
    runs: RunsDir = None,
) -> None:
    """How far apart one person's visible and infrared images are, how far two people's: a panel a run.

    Example: vireid visualize distances
    """
    draw("distances", run, make_engine("cpu", runs=runs), out, format, dpi, protocol=protocol)
