"""``vireid train``: train a recipe, or resume a run."""

from __future__ import annotations

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
from vireid_cli.commands.train_options import (
    ALL_TRIALS,
    Dataset,
    Name,
    Recipe,
    Resume,
    Seed,
    Settings,
    Trial,
    changes_of,
)
from vireid_cli.errors import UsageError


def train(
    recipe: Recipe = None,
    settings: Settings = None,
    dataset: Dataset = None,
    trial: Trial = None,
    seed: Seed = None,
    name: Name = None,
    resume: Resume = None,
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
    changes = changes_of(settings, dataset, seed, trial)
    if resume and (recipe or changes or trial or name is not None):
        raise UsageError(
            "--resume uses the recipe and the name of the run: remove --recipe, --set, --dataset, --trial, "
            "--seed and --name."
        )
    if not resume and not recipe:
        raise UsageError("--recipe is missing.", "Such as: vireid train --recipe quickstart.yaml")
    if launched(gpus, processes):
        return
    refuse_overridden([*changes, "data.trial=all"] if trial == ALL_TRIALS else changes)
    from vireid_cli.commands.console import command_line, print_next, print_paths

    engine = make_engine(device, precision, data, runs)
    if trial == ALL_TRIALS:
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
