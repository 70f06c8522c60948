"""``vireid import``: write a run folder from a public project's checkpoint."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vireid_cli.commands.options import DataDir, RunsDir, expanded, make_engine


class ReleaseName(StrEnum):
    """Public projects with supported checkpoints; see ``vireid_cli.releases``."""

    agw = "agw"
    caj = "caj"
    deen = "deen"
    hctri = "hctri"
    sepg = "sepg"


def import_checkpoint(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Checkpoint as published by the project.", callback=expanded),
    ],
    release: Annotated[ReleaseName, typer.Option("--from", help="Public project.", show_default=False)],
    dataset: Annotated[
        str | None, typer.Option(help="Training dataset.", show_default="from the number of identities")
    ] = None,
    trial: Annotated[
        int | None,
        typer.Option(min=1, help="RegDB: number of the training split.", show_default="from the file name"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change one key of the recipe; repeatable."),
    ] = None,
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Write a run folder from a public project's checkpoint, without executing code from the file.

    All commands accept the run like a trained one. Its results name the project and the file. The next
    command that is printed averages with mirror images if the project's own test does.

    Example: vireid import sysu_agw_p4_n8_lr_0.1_seed_0_best.t --from agw --dataset sysu
    """
    from vireid_cli.commands import console

    engine = make_engine("cpu", data=data, runs=runs)
    imported = engine.import_run(
        file, release.value, dataset=dataset, trial=trial, settings=tuple(settings or ())
    )
    lines = [
        f"imported {file.name} from {imported.release}",
        f"training identities: {imported.identity_note}",
        f"keys that the project's code does not use either: {imported.unused}",
    ]
    if imported.metrics:
        values = ", ".join(f"{name} {100 * value:.2f} %" for name, value in imported.metrics.items())
        lines.append(f"test results of the authors in the file: {values}")
    for line in lines:
        console.print_line(line)
    console.print_paths([imported.run.folder])
    flip = [] if imported.flip == "off" else ["--flip", imported.flip]
    console.print_next(console.command_line("evaluate", imported.run.folder, *flip, data=data))
