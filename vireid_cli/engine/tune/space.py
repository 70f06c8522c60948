"""The search space: recipes of a study before the first trial, and values of a trial."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

from vireid_cli.engine.network import load_recipe
from vireid_cli.errors import RecipeError, UsageError
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.tuning import TuningStudy


def base_recipe(study: TuningStudy) -> Recipe:
    """Load the recipe of a study, without the values of its space, and check that the search can begin.

    Raises:
        RecipeError: The recipe is wrong, or a value of the space does not fit it; the error lists all.
        UsageError: The recipe leaves no validation identities.
    """
    plain = study.model_copy(update={"space": {}})  # not validated, so that it may be empty
    settings = [text for text in plain.settings({}) if not text.startswith("train.select=")]
    recipe = load_recipe(study.recipe, tuple(settings))
    if recipe.data.split != "train":
        raise UsageError(
            f"{study.name}: data.split is {recipe.data.split} in {study.recipe}, which leaves no validation "
            "identities; a search never sees the test identities.",
            "Add to the study: set: {data.split: train}",
        )
    checked = load_recipe(study.recipe, plain.settings({}))
    _check_values(study)
    return checked


def _check_values(study: TuningStudy) -> None:
    """Load the recipe with each extreme value of each key; the other keys have their first value."""
    errors: dict[str, str] = {}
    for key, dimension in study.space.items():
        others = {k: d.extremes[0] for k, d in study.space.items() if k != key}
        for value in dimension.extremes:
            problems = [_problem(study, {key: value}), _problem(study, {**others, key: value})]
            if all(problems):  # either is a valid recipe; other combinations fail as trials
                errors.setdefault(f"  space: {key} = {json.dumps(value, ensure_ascii=False)}", problems[0])
    if errors:
        lines = "\n".join(f"{place}: {text}" for place, text in errors.items())
        raise RecipeError(f"The tuning study {study.name} is invalid.\n{lines}")


def _problem(study: TuningStudy, values: Mapping[str, Any]) -> str:
    """Return the mistakes in the recipe with these values, on one line; empty: none."""
    try:
        load_recipe(study.recipe, study.settings(values))
    except UsageError as error:
        lines = str(error).splitlines()
        return " ".join(line.strip() for line in (lines[1:] or lines))
    return ""


def distributions(study: TuningStudy) -> dict[str, Any]:
    """Return the space as Optuna's distributions; choices are JSON texts."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    result: dict[str, Any] = {}
    for key, dimension in study.space.items():
        if dimension.floats is not None:
            result[key] = FloatDistribution(*dimension.floats, log=dimension.log)
        elif dimension.ints is not None:
            low, high = dimension.ints
            high -= (high - low) % dimension.step
            result[key] = IntDistribution(low, high, log=dimension.log, step=dimension.step)
        else:
            texts = [json.dumps(choice, ensure_ascii=False) for choice in dimension.choices or ()]
            result[key] = CategoricalDistribution(texts)
    return result


def values_of(study: TuningStudy, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a trial by key from Optuna's parameters, in the order of the space."""
    return {
        key: json.loads(parameters[key]) if dimension.choices is not None else parameters[key]
        for key, dimension in study.space.items()
        if key in parameters
    }


def largest_epochs(study: TuningStudy, recipe: Recipe) -> int:
    """Return the largest number of epochs of a trial."""
    dimension = study.space.get("train.epochs")
    numbers = [n for n in itertools.chain(dimension.extremes if dimension else ()) if isinstance(n, int)]
    return max(numbers, default=recipe.train.epochs)
