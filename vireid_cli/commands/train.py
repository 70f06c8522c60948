"""``vireid train``: train a recipe, or resume a run."""

from __future__ import annotations

from typing import Annotated

import typer

from vireid_cli.commands import completion
from vireid_cli.commands.options import (
    DataDir,
    Device,
    Gpus,
    PrecisionOption,
    Processes,
    RunsDir,
    launched,
    make_engine,
    refuse_overridden,
)
from vireid_cli.errors import UsageError


def train(
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            help="Path, name in ./recipes, or name of a shipped recipe.",
            autocompletion=completion.recipes,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="KEY=VALUE",
            help="Change one key; repeatable.",
            autocompletion=completion.settings,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Short for --set data.dataset=…", autocompletion=completion.datasets),
    ] = None,
    trial: Annotated[
        str | None,
        typer.Option(metavar="1..10|all", help="RegDB: short for --set data.trial=…; all: ten runs."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Short for --set train.seed=…")] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the run folder.", show_default="recipe, dataset and time"),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Resume this run from its newest checkpoint; or: latest.",
            autocompletion=completion.runs,
        ),
    ] = None,
    gpus: Gpus = None,
    processes: Processes = None,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Train a recipe and write a new run folder, or resume an interrupted run.

    Example: vireid train --recipe sepg.yaml --set train.epochs=1 --seed 1
    """
    changes = [*(settings or [])]
    changes += [f"data.dataset={dataset}"] if dataset else []
    changes += [f"train.seed={seed}"] if seed is not None else []
    changes += [f"data.trial={trial}"] if trial not in (None, "all") else []
    if resume and (recipe or changes or trial or name is not None):
        raise UsageError(
            "--resume uses the recipe and the name of the run: remove --recipe, --set, --dataset, --trial, "
            "--seed and --name."
        )
    if not resume and not recipe:
        raise UsageError("--recipe is missing.", "Such as: vireid train --recipe quickstart.yaml")
    if launched(gpus, processes):
        return
    refuse_overridden([*changes, "data.trial=all"] if trial == "all" else changes)
    from vireid_cli.commands.console import command_line, print_next, print_paths

    engine = make_engine(device, precision, data, runs)
    if trial == "all":
        folders = [run.folder for run in engine.train_trials(recipe or "", changes, name)]
        if not engine.session.runtime.world.first:
            return
        print_paths(folders)
        print_next(command_line("evaluate", *folders, data=data))
        return
    run = engine.resume(resume) if resume else engine.train(recipe or "", changes, name=name)
    if not engine.session.runtime.world.first:
        return
    print_paths([run.folder])
    print_next(
        command_line("evaluate", run.folder, data=data), command_line("visualize", "curves", run.folder)
    )
