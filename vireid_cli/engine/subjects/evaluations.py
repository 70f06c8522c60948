"""Evaluations, labels and image rows of runs, for figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vireid_cli.data.sources import load_source
from vireid_cli.data.store import Store
from vireid_cli.engine.network import run_recipe
from vireid_cli.errors import DataError, UsageError
from vireid_cli.printable import shell_line
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results import schema
from vireid_cli.results.evaluation import StoredEvaluation
from vireid_cli.results.formatting import RENDERED_NOTE
from vireid_cli.results.run import RunFolder, folder_names
from vireid_cli.results.settings import NAME, format_value, settings_of


def evaluation_of(run: RunFolder, protocol: str | None) -> StoredEvaluation:
    """Return one stored evaluation of a run.

    Args:
        run: The run.
        protocol: Name of the evaluation; None: the first one.

    Raises:
        UsageError: The run has no evaluation, or none of this name.
        DataError: An evaluation is damaged, or its files are of different evaluations.
    """
    stored = run.stored()
    if not stored:
        raise UsageError(f"{run.folder} has not been evaluated.", f"Run: {run.command('evaluate')}")
    name = protocol or next(iter(stored))
    if name not in stored:
        raise UsageError(f"{run.folder} has no evaluation '{name}'.", f"Choose: {', '.join(stored)}")
    return stored[name]


def check_unchanged(runs: Sequence[RunFolder], contents: Sequence[Mapping[str, Any]], name: str) -> None:
    """Check that the runs' evaluations have not changed during drawing.

    Args:
        runs: The runs.
        contents: ``metrics.json`` of each run before drawing.
        name: Name of the evaluation.

    Raises:
        UsageError, DataError: An evaluation is missing or has changed.
    """
    for run, content in zip(runs, contents, strict=True):
        if evaluation_of(run, name).content != content:
            raise DataError(
                f"The evaluation of {run.folder} changed during drawing.", "Draw the figure again."
            )


def identifiers_of(runs: Sequence[RunFolder]) -> dict[str, str]:
    """Return the identifiers of all evaluations, keyed by ``<run>/<protocol>``; empty for old results.

    Runs of one name are keyed by path; see ``folder_names``.

    Raises:
        DataError: An evaluation is damaged, or its files are of different evaluations.
    """
    return {
        f"{label}/{name}": stored.identifier or ""
        for label, run in zip(folder_names(runs), runs, strict=True)
        for name, stored in run.stored().items()
    }


def shared_evaluation(runs: Sequence[RunFolder], protocol: str | None) -> str:
    """Return a protocol under which all runs were evaluated on the same images.

    Args:
        runs: At least one run.
        protocol: Name of the evaluation; None: the first that all runs have.

    Raises:
        UsageError: A run has no such evaluation, or the runs were evaluated on different images.
    """
    stored = [run.evaluations() for run in runs]
    for run, evaluations in zip(runs, stored, strict=True):
        evaluation_of(run, protocol if evaluations else None)
    shared = [name for name in stored[0] if all(name in evaluations for evaluations in stored)]
    if not shared:
        check_same_people(runs)
        lines = [f"  {run.name}: {', '.join(own)}" for run, own in zip(runs, stored, strict=True)]
        lines += ["Evaluate all of them under the same protocol:", evaluation_commands(runs)]
        raise UsageError("These runs have no evaluation in common.", "\n".join(lines))
    name = protocol or shared[0]
    marks = {str(evaluations[name]["fingerprint"].get("data")) for evaluations in stored}
    if len(marks) > 1:
        check_same_people(runs)
        raise UsageError(
            f"These runs were evaluated under {name} on different images (data {', '.join(sorted(marks))}).",
            f"Evaluate all of them on the current images:\n{evaluation_commands(runs)}",
        )
    return name


def evaluation_commands(runs: Sequence[RunFolder], *more: str) -> str:
    """Return the commands that evaluate the runs, one per line, with the options ``more``."""
    lines = dict.fromkeys(shell_line(["vireid", "evaluate", str(run.folder), *more]) for run in runs)
    return "\n".join(f"  {line}" for line in lines)


def check_same_people(runs: Sequence[RunFolder]) -> None:
    """Check that all runs have the same dataset and trial, and so the same test people.

    Raises:
        UsageError: The runs are of several datasets or trials; the error lists the runs of each.
        DataError: A run's recipe is damaged.
    """
    groups: dict[tuple[str, int], list[RunFolder]] = {}
    for run in runs:
        data = run_recipe(run, checked=False).data
        groups.setdefault((data.dataset, data.trial), []).append(run)
    if len(groups) == 1:
        return
    datasets = list(dict.fromkeys(dataset for dataset, _ in groups))
    if len(datasets) == 1:
        reason = f"they are of several trials of {datasets[0]}, each with test people of its own"
        names = [f"trial {trial}" for _, trial in groups]
    else:
        protocols = {load_source(dataset).PROTOCOL for dataset in datasets}
        reason = f"they are of several datasets ({', '.join(datasets)})"
        reason += " with different protocols" if len(protocols) > 1 else ""
        trials = len(groups) > len(datasets)
        names = [f"{dataset}, trial {trial}" if trials else dataset for dataset, trial in groups]
    listed = [
        f"  {name}: {shell_line(str(run.folder) for run in group)}"
        for name, group in zip(names, groups.values(), strict=True)
    ]
    unit = "trial" if len(datasets) == 1 else "dataset"
    raise UsageError(
        f"These runs can't be compared: {reason}.", "\n".join([f"Name runs of one {unit}:", *listed])
    )


def labels_of(runs: Sequence[RunFolder]) -> tuple[str, ...]:
    """Return the shortest unique label per run.

    In this order: the recipe's name, with its dataset, with its seed, with the keys in which the recipes
    differ (two at most), the folder's name, its path.
    """
    recipes = [run_recipe(run, checked=False) for run in runs]
    for names in (
        [recipe.name for recipe in recipes],
        [f"{recipe.name}, {recipe.data.dataset}" for recipe in recipes],
        [f"{recipe.name}, seed {recipe.train.seed}" for recipe in recipes],
        keys := _differing_keys(recipes),
        [f"{label}, seed {recipe.train.seed}" for label, recipe in zip(keys, recipes, strict=False)],
        [run.name for run in runs],
    ):
        if len(set(names)) == len(runs):
            return tuple(names)
    return tuple(str(run.folder) for run in runs)


MOST_KEYS = 2
"""Largest number of differing keys in a label."""


def _differing_keys(recipes: Sequence[Recipe]) -> list[str]:
    """Names with the values of the keys in which the recipes differ; empty if too many keys differ."""
    settings = [settings_of(recipe.model_dump(mode="json"))[0] for recipe in recipes]
    keys = dict.fromkeys(key for one in settings for key in one if key != NAME)
    differing = [key for key in keys if any(one.get(key) != settings[0].get(key) for one in settings)]
    if not 1 <= len(differing) <= MOST_KEYS:
        return []
    return [
        ", ".join(
            [
                recipe.name,
                *(f"{key.rpartition('.')[2]} {format_value(one.get(key, '–'))}" for key in differing),
            ]
        )
        for recipe, one in zip(recipes, settings, strict=True)
    ]


def rendered_note(runs: Sequence[RunFolder]) -> str | None:
    """Return the note of figures from rendered data; None: all runs use photographs.

    Raises:
        DataError: A run's environment, or the description of an evaluation, is damaged.
    """
    for run in runs:
        evaluations = run.evaluations().values()
        rendered = any(content["fingerprint"].get("rendered") for content in evaluations)
        if (run.folder / schema.ENVIRONMENT).is_file():  # missing in a folder with results only
            rendered = rendered or "rendered" in run.environment()["data"]
        if rendered:
            return RENDERED_NOTE
    return None


def rows_of(store: Store, paths: list[str]) -> np.ndarray:
    """Return the rows of these images in the store; its records are sorted by path.

    Raises:
        DataError: The store no longer contains an image.
    """
    requested = np.array(paths)
    rows = np.minimum(np.searchsorted(store.records.paths, requested), len(store.records) - 1)
    absent = requested[store.records.paths[rows] != requested]
    if len(absent):
        raise DataError(f"{store.folder} no longer contains {absent[0]}.", "Evaluate the run again.")
    return rows
