"""What figures read from evaluated runs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vireid_cli.data.sources import load_source
from vireid_cli.data.store import Store
from vireid_cli.engine.network import run_recipe
from vireid_cli.errors import DataError, UsageError
from vireid_cli.results import schema
from vireid_cli.results.evaluation import StoredEvaluation
from vireid_cli.results.run import RunFolder
from vireid_cli.results.wording import RENDERED_NOTE


def evaluation_of(run: RunFolder, protocol: str | None) -> StoredEvaluation:
    """One finished evaluation of a run.

    Args:
        run: The run.
        protocol: Which evaluation; None: the first there is.

    Raises:
        UsageError: Not evaluated yet, or not so.
        DataError: An evaluation is damaged, or its files are of different evaluations.
    """
    done = run.stored()
    if not done:
        raise UsageError(f"{run.folder} has not been evaluated.", f"Do it: vireid evaluate {run.folder}")
    name = protocol or next(iter(done))
    if name not in done:
        raise UsageError(f"{run.folder} has no evaluation '{name}'.", f"There is: {', '.join(done)}")
    return done[name]


def refuse_replaced(runs: Sequence[RunFolder], contents: Sequence[Mapping[str, Any]], name: str) -> None:
    """Refuse to write a figure whose runs were evaluated again while it was drawn.

    Args:
        runs: The runs.
        contents: ``metrics.json`` of each, as read at first.
        name: Of the evaluation.

    Raises:
        UsageError, DataError: An evaluation is gone or another one by now.
    """
    for run, content in zip(runs, contents, strict=True):
        if evaluation_of(run, name).content != content:
            raise DataError(f"{run.folder} was evaluated again in the meantime.", "Draw the figure again.")


def identifiers_of(runs: Sequence[RunFolder]) -> dict[str, str]:
    """Identifiers of all evaluations of runs by ``<run>/<protocol>``; empty text for older results.

    Raises:
        DataError: An evaluation is damaged, or its files are of different evaluations.
    """
    return {
        f"{run.name}/{name}": stored.identifier or "" for run in runs for name, stored in run.stored().items()
    }


def shared_evaluation(runs: Sequence[RunFolder], protocol: str | None) -> str:
    """The protocol under which several runs are shown together, on the same images.

    Args:
        runs: At least one.
        protocol: Which evaluation; None: the first that all have.

    Raises:
        UsageError: A run is not evaluated, or not so; or they were evaluated on different images.
    """
    done = [run.evaluations() for run in runs]
    for run, found in zip(runs, done, strict=True):
        evaluation_of(run, protocol if found else None)
    shared = [name for name in done[0] if all(name in found for found in done)]
    if not shared:
        refuse_other_people(runs)
        each = "\n".join(f"  {run.name}: {', '.join(found)}" for run, found in zip(runs, done, strict=True))
        raise UsageError(
            "These runs have no evaluation in common.", f"{each}\nEvaluate them alike:\n{evaluate_each(runs)}"
        )
    name = protocol or shared[0]
    marks = {str(found[name]["fingerprint"].get("data")) for found in done}
    if len(marks) > 1:
        refuse_other_people(runs)
        raise UsageError(
            f"These runs were evaluated under {name} on different images (data {', '.join(sorted(marks))}).",
            f"Evaluate all of them on the images that there are now:\n{evaluate_each(runs)}",
        )
    return name


def evaluate_each(runs: Sequence[RunFolder], *more: str) -> str:
    """The commands that evaluate runs, a line each, with ``more`` options."""
    lines = dict.fromkeys(shlex.join(["vireid", "evaluate", str(run.folder), *more]) for run in runs)
    return "\n".join(f"  {line}" for line in lines)


def refuse_other_people(runs: Sequence[RunFolder]) -> None:
    """Refuse runs whose own test people differ: no evaluation would make them comparable.

    Raises:
        UsageError: The runs are of several datasets, or of several trials of one; they are listed by it.
        DataError: A run's recipe is damaged.
    """
    of: dict[tuple[str, int], list[RunFolder]] = {}
    for run in runs:
        data = run_recipe(run, checked=False).data
        of.setdefault((data.dataset, data.trial), []).append(run)
    if len(of) == 1:
        return
    datasets = list(dict.fromkeys(dataset for dataset, _ in of))
    if len(datasets) == 1:
        why = f"they are of several trials of {datasets[0]}, each with test people of its own"
        names = [f"trial {trial}" for _, trial in of]
    else:
        protocols = {load_source(dataset).PROTOCOL for dataset in datasets}
        why = f"they are of several datasets ({', '.join(datasets)})"
        why += ", whose protocols differ" if len(protocols) > 1 else ""
        trials = len(of) > len(datasets)
        names = [f"{dataset}, trial {trial}" if trials else dataset for dataset, trial in of]
    listed = [
        f"  {name}: {shlex.join(str(run.folder) for run in group)}"
        for name, group in zip(names, of.values(), strict=True)
    ]
    one = "trial" if len(datasets) == 1 else "dataset"
    raise UsageError(
        f"These runs can't be compared: {why}.", "\n".join([f"Name runs of one {one}:", *listed])
    )


def labels_of(runs: Sequence[RunFolder]) -> tuple[str, ...]:
    """What tells runs apart: the recipe's name, else with its seed, else the folder's, else its path."""
    recipes = [run_recipe(run, checked=False) for run in runs]
    for names in (
        [recipe.name for recipe in recipes],
        [f"{recipe.name}, seed {recipe.train.seed}" for recipe in recipes],
        [run.name for run in runs],
    ):
        if len(set(names)) == len(runs):
            return tuple(names)
    return tuple(str(run.folder) for run in runs)


def rendered_note(runs: Sequence[RunFolder]) -> str | None:
    """What every figure of measurements on rendered people says; None for photographs.

    Raises:
        DataError: A run's environment, or the description of an evaluation, is damaged.
    """
    for run in runs:
        evaluations = run.evaluations().values()
        rendered = any(content["fingerprint"].get("rendered") for content in evaluations)
        if (run.folder / schema.ENVIRONMENT).is_file():  # a folder of results alone has none
            rendered = rendered or "rendered" in run.environment()["data"]
        if rendered:
            return RENDERED_NOTE
    return None


def rows_of(store: Store, paths: list[str]) -> np.ndarray:
    """Rows of these images in the store, whose records are sorted by path.

    Raises:
        DataError: One is not in the store any more.
    """
    wanted = np.array(paths)
    rows = np.minimum(np.searchsorted(store.records.paths, wanted), len(store.records) - 1)
    gone = wanted[store.records.paths[rows] != wanted]
    if len(gone):
        raise DataError(f"{gone[0]} is not in {store.folder} any more.", "Evaluate the run again.")
    return rows
