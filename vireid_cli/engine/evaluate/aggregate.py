"""Several results together: one run against another, the mean over models, the runs of all trials."""

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
from vireid_cli.results.evaluation import write_evaluation, writing
from vireid_cli.results.run import MEANS, RunFolder


def refuse_same_trial(runs: Sequence[RunFolder]) -> None:
    """Refuse two runs of one trial of a dataset, before any of them is evaluated for their mean.

    Raises:
        UsageError: There are two; a mean over trials takes one model of each.
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
                "The mean over trials takes one model of each.",
            )


def average_runs(by_run: Sequence[Sequence[Evaluation]]) -> list[Evaluation]:
    """Average several models, protocol by protocol: RegDB's ten trials, or seeds.

    RegDB's protocols carry their trial in their names (``v2i-trial3``); those of one direction belong
    together, each trial once.

    Raises:
        UsageError: A trial that occurs twice, or a protocol that not every run has.
    """
    groups: dict[str, list[Evaluation]] = {}
    for evaluations in by_run:
        for evaluation in evaluations:
            stem = evaluation.content["protocol"].partition("-trial")[0]
            groups.setdefault(stem, []).append(evaluation)
    found = []
    for stem, group in groups.items():
        if len(group) != len(by_run):
            raise UsageError(f"{len(group)} of {len(by_run)} runs have a result under {stem}.")
        names = [evaluation.content["protocol"] for evaluation in group]
        trials = [int(name.partition("-trial")[2]) for name in names if "-trial" in name]
        if len(set(trials)) != len(trials):
            raise UsageError(
                f"two of the runs were trained on the same trial of {stem}: {sorted(trials)}.",
                "The mean over trials takes one model of each.",
            )
        name = f"{stem}-trials-{_listed(sorted(trials))}" if trials else stem
        outcomes = [(evaluation.plain, *evaluation.variants) for evaluation in group]
        content = over_models(f"{name}-mean", [evaluation.content for evaluation in group], outcomes)
        content["evaluations"] = [evaluation.content.get("identifier") for evaluation in group]
        found.append(Evaluation(content, group[0].plain))
    return found


def _listed(numbers: Sequence[int]) -> str:
    """``1-3``, or ``1-to-10`` where none between is left out."""
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]}-to-{numbers[-1]}"
    return "-".join(map(str, numbers))


def write_means(means: Sequence[Evaluation], runs: Sequence[RunFolder], session: Session) -> list[Evaluation]:
    """Write means over models into a folder that the runs' names decide; the same runs write it again.

    Args:
        means: From ``average_runs``.
        runs: The models' runs.
        session: Its run folders hold ``means/``.

    Returns:
        The same, knowing their folders.

    Raises:
        DataError: The folder can't be written.
    """
    names = sorted(run.name for run in runs)
    stems = {re.sub(r"-\d{8}-\d{6}(-\d+)?$", "", name) for name in names}
    mark = hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
    stem = stems.pop() if len(stems) == 1 else "several"
    folder = session.runs_dir / MEANS / f"{stem}-{len(names)}-runs-{mark}"
    written = []
    with writing(folder / "evaluation"):
        for mean in means:
            mean.content["runs"] = names
            place = RunFolder(folder).evaluation(mean.content["protocol"])
            write_evaluation(place, mean.content, {})
            written.append(replace(mean, folder=place))
    return written


def runs_of_trials(run: RunFolder, session: Session) -> list[RunFolder]:
    """Find the newest finished run of each trial that was trained by this run's recipe, beside it.

    Args:
        run: One of them.
        session: Device, listener, folders.

    Returns:
        One run a trial, in order.

    Raises:
        UsageError: The dataset has one split for all, or trials have no such run.
    """
    recipe = run_recipe(run)
    data = recipe.data
    store = ensure_prepared(data.dataset, session, data.image_size, data.resize)
    trials = store.records.trials
    if not trials:
        raise UsageError(f"{data.dataset} has one split for all: there are no trials to go through.")
    found: dict[int, RunFolder] = {}
    for path in sorted(run.folder.parent.glob(f"*/{schema.RECIPE}")):
        other = RunFolder(path.parent)
        trial = None if path.parent.is_symlink() else _trial_of(other, recipe)
        if trial is not None:
            found[trial] = other
    lacking = [trial for trial in range(1, trials + 1) if trial not in found]
    if lacking:
        listed = ", ".join(map(str, lacking))
        raise UsageError(
            f"no finished run of {recipe.name} in {run.folder.parent} was trained on trial {listed}.",
            f"Train what is missing (vireid train --trial {lacking[0]} with that recipe), or name the runs "
            "that there are: vireid evaluate RUN1 RUN2",
        )
    return [found[trial] for trial in range(1, trials + 1)]


def _trial_of(run: RunFolder, recipe: Recipe) -> int | None:
    """The trial of a finished run of the very same recipe but for its trial; None: another recipe's."""
    try:
        other = run_recipe(run)
        done = checkpoints.load_position(run.checkpoints / checkpoints.LAST).epoch
    except VireidError:
        return None
    trial = other.data.trial
    same = other.model_copy(update={"data": other.data.model_copy(update={"trial": recipe.data.trial})})
    return trial if same == recipe and done >= recipe.train.epochs else None
