"""``vireid import``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vireid_cli.commands.options import DataDir, RunsDir, make_engine


class ReleaseName(StrEnum):
    """Public projects whose checkpoints are read; see ``vireid_cli.releases``."""

    agw = "agw"
    caj = "caj"
    deen = "deen"
    hctri = "hctri"
    sepg = "sepg"


def import_checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint as the project publishes it.")],
    release: Annotated[ReleaseName, typer.Option("--from", help="The project.", show_default=False)],
    dataset: Annotated[
        str | None, typer.Option(help="What it was trained on.", show_default="by its number of identities")
    ] = None,
    trial: Annotated[
        int | None, typer.Option(min=1, help="RegDB: its split.", show_default="by the file's name")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-s", metavar="KEY=VALUE", help="Change one key of the recipe; may be repeated."
        ),
    ] = None,
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Write a run folder from a public project's checkpoint; nothing in the file is executed.

    The run evaluates, draws and exports like one that was trained here; its results say where it is from.

    Example: vireid import sysu_agw_p4_n8_lr_0.1_seed_0_best.t --from agw --dataset sysu
    """
    from vireid_cli.commands import console

    engine = make_engine("cpu", data=data, runs=runs)
    made = engine.import_run(
        file, release.value, dataset=dataset, trial=trial, settings=tuple(settings or ())
    )
    lines = [
        f"imported {file.name} of {made.release}",
        f"training identities: {made.known}",
        f"not used by the release itself: {made.unused} keys",
    ]
    if made.figures:
        stated = ", ".join(f"{name} {100 * value:.2f} %" for name, value in made.figures.items())
        lines.append(f"test figures in the file, of its authors: {stated}")
    for line in lines:
        console.print_line(line)
    console.print_paths([made.run.folder])
    console.print_next(console.line("evaluate", made.run.folder, data=data))
