"""What figures read from evaluated runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vireid_cli.data.store import Store
from vireid_cli.errors import DataError, UsageError
from vireid_cli.recipe.load import load as load_recipe
from vireid_cli.results import schema
from vireid_cli.results.run import Run


def evaluation_of(run: Run, protocol: str | None) -> tuple[str, Path]:
    """Name and folder of one finished evaluation of a run.

    Args:
        run: The run.
        protocol: Which evaluation; None: the first there is.

    Raises:
        UsageError: Not evaluated yet, or not so.
    """
    done = run.evaluations()
    if not done:
        raise UsageError(f"{run.folder} has not been evaluated.", f"Do it: vireid evaluate {run.folder}")
    name = protocol or next(iter(done))
    if name not in done:
        raise UsageError(f"{run.folder} has no evaluation '{name}'.", f"There is: {', '.join(done)}")
    return name, run.evaluation(name)


def shared_evaluation(runs: Sequence[Run], protocol: str | None) -> str:
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
        each = "\n".join(f"  {run.name}: {', '.join(found)}" for run, found in zip(runs, done, strict=True))
        raise UsageError(
            "These runs have no evaluation in common.", f"{each}\nEvaluate them alike: vireid evaluate RUN"
        )
    name = protocol or shared[0]
    marks = {str(found[name]["fingerprint"].get("data")) for found in done}
    if len(marks) > 1:
        raise UsageError(
            f"These runs were evaluated under {name} on different images (data {', '.join(sorted(marks))}).",
            "Evaluate them on one dataset: vireid evaluate RUN --dataset NAME",
        )
    return name


def labels_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """What tells runs apart: the recipe's name, else with its seed, else the folder's, else its path."""
    recipes = [load_recipe(str(run.recipe_file)) for run in runs]
    for names in (
        [recipe.name for recipe in recipes],
        [f"{recipe.name}, seed {recipe.train.seed}" for recipe in recipes],
        [run.name for run in runs],
    ):
        if len(set(names)) == len(runs):
            return tuple(names)
    return tuple(str(run.folder) for run in runs)


RENDERED = "rendered people"


def rendered_note(runs: Sequence[Run]) -> str | None:
    """What every figure of measurements on rendered people says; None for photographs.

    Raises:
        DataError: A run's environment, or the description of an evaluation, is damaged.
    """
    for run in runs:
        said = [content["fingerprint"] for content in run.evaluations().values()]
        if (run.folder / schema.ENVIRONMENT).is_file():  # a folder of results alone has none
            said.append(run.environment()["data"])
        if any(marks.get("rendered") for marks in said):
            return RENDERED
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
