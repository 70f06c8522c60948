"""Means over several models, and the runs of all trials of a dataset."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace

from vireid_cli.data.sources import load_source
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.evaluate.result import Evaluation
from vireid_cli.engine.evaluate.summary import over_models
from vireid_cli.engine.network import run_recipe
from vireid_cli.engine.prepare import ensure_prepared
from vireid_cli.engine.session import Session
from vireid_cli.errors import UsageError, VireidError
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results import schema
from vireid_cli.results.evaluation import locked_evaluations, write_evaluation
from vireid_cli.results.run import RunFolder, check_distinct, folder_names
from vireid_cli.results.unlike import warning
from vireid_cli.run_names import MEANS


def check_runs(runs: Sequence[RunFolder], dataset: str | None) -> None:
    """Check before an evaluation that the results of the runs can be averaged.

    Args:
        runs: The runs.
        dataset: Dataset of the test images; None: each run's own.

    Raises:
        UsageError: A run is named twice, two runs were trained on the same trial, or the runs are of
            different datasets.
        DataError: A run's recipe is damaged.
    """
    check_distinct(runs)
    _check_distinct_trials(runs)
    names = dict.fromkeys(run_recipe(run, checked=False).data.dataset for run in runs)
    if dataset is None and len(names) > 1:
        raise UsageError(
            f"Runs of different datasets can't be averaged: {', '.join(names)}.",
            "Name runs of one dataset, or evaluate all of them on one: --dataset NAME",
        )


def _check_distinct_trials(runs: Sequence[RunFolder]) -> None:
    """Check before an evaluation that the runs were trained on different trials of their dataset.

    Raises:
        UsageError: Two runs were trained on the same trial.
        DataError: A run's recipe is damaged.
    """
    first: dict[tuple[str, int], RunFolder] = {}
    for run in runs:
        data = run_recipe(run, checked=False).data
        if load_source(data.dataset).PROTOCOL != "regdb":
            continue
        other = first.setdefault((data.dataset, data.trial), run)
        if other is not run:
            raise UsageError(
                f"{other.name} and {run.name} were trained on the same trial, "
                f"{data.trial} of {data.dataset}.",
                "The mean over trials needs one model per trial.",
            )


def average_runs(by_run: Sequence[Sequence[Evaluation]]) -> list[Evaluation]:
    """Average several models per protocol: RegDB's ten trials, or seeds.

    The names of RegDB's protocols contain their trial (``v2i-trial3``); the mean of one direction is over
    all its trials, each once.

    Args:
        by_run: The results of each model.

    Returns:
        One result per protocol, not written yet.

    Raises:
        UsageError: A trial occurs twice, a run lacks a protocol, or the results are of different images.
    """
    means = []
    for stem, group in _by_protocol(by_run).items():
        if len(group) != len(by_run):
            raise UsageError(f"Only {len(group)} of {len(by_run)} runs have a result under {stem}.")
        _refuse_other_images(stem, group)
        names = [evaluation.content["protocol"] for evaluation in group]
        trials = [int(name.partition("-trial")[2]) for name in names if "-trial" in name]
        if len(set(trials)) != len(trials):
            raise UsageError(
                f"Two of the runs were trained on the same trial of {stem}: {sorted(trials)}.",
                "The mean over trials needs one model per trial.",
            )
        name = f"{stem}-trials-{_listed(sorted(trials))}" if trials else stem
        outcomes = [(evaluation.plain, *evaluation.variants) for evaluation in group]
        content = over_models(f"{name}-mean", [evaluation.content for evaluation in group], outcomes)
        content["evaluations"] = [evaluation.content.get("identifier") for evaluation in group]
        means.append(Evaluation(content, group[0].plain))
    return means


def _by_protocol(by_run: Sequence[Sequence[Evaluation]]) -> dict[str, list[Evaluation]]:
    """Group the results of several models by protocol, without RegDB's trial."""
    groups: dict[str, list[Evaluation]] = {}
    for evaluations in by_run:
        for evaluation in evaluations:
            stem = evaluation.content["protocol"].partition("-trial")[0]
            groups.setdefault(stem, []).append(evaluation)
    return groups


def _refuse_other_images(stem: str, group: Sequence[Evaluation]) -> None:
    """Raise ``UsageError`` for results of different stores; RegDB's trials are parts of one store."""
    marks = [evaluation.content["fingerprint"] for evaluation in group]
    stores = dict.fromkeys(f"{mark.get('source', 'dataset')} {mark.get('data')}" for mark in marks)
    if len(stores) > 1:
        raise UsageError(
            f"The runs were evaluated under {stem} on different images ({', '.join(stores)}): "
            "their results can't be averaged.",
            "Evaluate all of them on the same dataset: --dataset NAME",
        )


def unlike_conditions(by_run: Sequence[Sequence[Evaluation]], names: Sequence[str]) -> list[str]:
    """Sentences about results of several models that were measured under unlike conditions.

    Args:
        by_run: The results of each model; all have the same protocols.
        names: Name of each model.

    Returns:
        At most one sentence per protocol, without repetitions.
    """
    groups = _by_protocol(by_run).values()
    texts = (warning(names, [one.content["fingerprint"] for one in group]) for group in groups)
    return list(dict.fromkeys(text for text in texts if text))


def _listed(numbers: Sequence[int]) -> str:
    """Join numbers as ``1-3``, or ``1-to-10`` for a range without gaps."""
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]}-to-{numbers[-1]}"
    return "-".join(map(str, numbers))


def write_means(means: Sequence[Evaluation], runs: Sequence[RunFolder], session: Session) -> list[Evaluation]:
    """Write means over models to a folder in ``means/``, named after the runs.

    Args:
        means: Results of ``average_runs``.
        runs: The models' runs; the same runs replace the same folder, runs of the same names in other
            folders do not.
        session: Its folder of runs contains ``means/``.

    Returns:
        The means with their folders.

    Raises:
        DataError: Writing failed.
    """
    names = sorted(run.name for run in runs)
    stems = {re.sub(r"-\d{8}-\d{6}(-\d+)?$", "", name) for name in names}
    places = sorted(_place(run, session) for run in runs)
    mark = hashlib.sha256("\n".join(places).encode(errors="surrogateescape")).hexdigest()[:8]
    stem = stems.pop() if len(stems) == 1 else "several"
    folder = session.runs_dir / MEANS / f"{stem}-{len(names)}-runs-{mark}"
    written = []
    with locked_evaluations(folder / "evaluation"):
        for mean in means:
            mean.content["runs"] = sorted(folder_names(runs))
            place = RunFolder(folder).evaluation(mean.content["protocol"])
            write_evaluation(place, mean.content, {})
            written.append(replace(mean, folder=place))
    return written


def _place(run: RunFolder, session: Session) -> str:
    """Path of a run, relative to the folder of runs for a run in it; independent of links to the run."""
    folder, home = run.folder.resolve(), session.runs_dir.resolve()
    return (folder.relative_to(home) if folder.is_relative_to(home) else folder).as_posix()


def runs_of_trials(run: RunFolder, session: Session) -> list[RunFolder]:
    """Find the newest finished run of each trial with this run's recipe, in the same folder.

    Args:
        run: A run of any trial.
        session: Device, reporter and folders.

    Returns:
        One run per trial, in order.

    Raises:
        UsageError: The dataset has a single split, or a trial has no finished run.
    """
    recipe = run_recipe(run)
    data = recipe.data
    store = ensure_prepared(data.dataset, session, data.image_size, data.resize)
    trials = store.records.trials
    if not trials:
        raise UsageError(f"{data.dataset} has a single split and no trials.")
    by_trial: dict[int, RunFolder] = {}
    for path in sorted(run.folder.parent.glob(f"*/{schema.RECIPE}")):
        other = RunFolder(path.parent)
        trial = None if path.parent.is_symlink() else _trial_of(other, recipe)
        if trial is not None:
            by_trial[trial] = other
    absent = [trial for trial in range(1, trials + 1) if trial not in by_trial]
    if absent:
        listed = ", ".join(map(str, absent))
        raise UsageError(
            f"No finished run of {recipe.name} in {run.folder.parent} was trained on trial {listed}.",
            f"Train the missing trials (vireid train --trial {absent[0]} with this recipe), or name the "
            "existing runs: vireid evaluate RUN1 RUN2",
        )
    return [by_trial[trial] for trial in range(1, trials + 1)]


def _trial_of(run: RunFolder, recipe: Recipe) -> int | None:
    """Return the trial of a finished run, if its recipe differs in the trial only; None: any other run."""
    try:
        other = run_recipe(run)
        done = checkpoints.load_position(run.checkpoints / checkpoints.LAST).epoch
    except VireidError:
        return None
    trial = other.data.trial
    same = other.model_copy(update={"data": other.data.model_copy(update={"trial": recipe.data.trial})})
    return trial if same == recipe and done >= recipe.train.epochs else None
