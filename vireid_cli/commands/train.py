"""``vireid train``."""

from __future__ import annotations

from typing import Annotated

import typer

from vireid_cli.commands.options import (
    DataDir,
    Device,
    PrecisionOption,
    RunsDir,
    make_engine,
    refuse_overridden,
)
from vireid_cli.errors import UsageError


def train(
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", help="A path, a name in ./recipes, or a shipped recipe.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change one key; may be repeated."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Short for --set data.dataset=…")] = None,
    trial: Annotated[
        str | None,
        typer.Option(metavar="1..10|all", help="RegDB: --set data.trial=…; all: ten runs."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Short for --set train.seed=…")] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on from this run's newest checkpoint ('latest').")
    ] = None,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    data: DataDir = None,
    runs: RunsDir = None,
) -> None:
    """Train a recipe into a new run folder, or go on with an interrupted run.

    Example: vireid train --recipe sepg.yaml --set train.epochs=1 --seed 1
    """
    changed = [*(settings or [])]
    changed += [f"data.dataset={dataset}"] if dataset else []
    changed += [f"train.seed={seed}"] if seed is not None else []
    changed += [f"data.trial={trial}"] if trial not in (None, "all") else []
    if resume and (recipe or changed or trial):
        raise UsageError(
            "--resume goes on with the run's own recipe: leave --recipe, --set, --dataset, --trial "
            "and --seed out."
        )
    if not resume and not recipe:
        raise UsageError("Nothing to train.", "Name a recipe: vireid train --recipe quickstart.yaml")
    refuse_overridden([*changed, "data.trial=all"] if trial == "all" else changed)
    from vireid_cli.commands.console import line, print_next, print_paths

    engine = make_engine(device, precision, data, runs)
    if trial == "all":
        trained = engine.train_trials(recipe or "", changed)
        print_paths([run.folder for run in trained])
        print_next(line("evaluate", *(run.folder for run in trained), data=data))
        return
    run = engine.resume(resume) if resume else engine.train(recipe or "", changed)
    print_paths([run.folder])
    print_next(line("evaluate", run.folder, data=data), line("visualize", "curves", run.folder))
