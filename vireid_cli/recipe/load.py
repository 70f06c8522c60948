"""Search, loading, merging, validation and dumping of recipes.

``load`` reads all recipes. It reports all mistakes of an invalid recipe in one error, including those in the
method's options, before any access to data or a device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from vireid_cli.dataset_names import OWN, label_problem, split_name
from vireid_cli.errors import RecipeError, UsageError
from vireid_cli.recipe.lookup import RECIPE, find_file, shipped_folder
from vireid_cli.recipe.problems import (
    Problem,
    first_per_key,
    place_of,
    problem_of_flaw,
    problems_of_validation,
    raise_all,
)
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.yaml_reader import KeyPath, RecipeSource, parse_setting, read_source

OptionsOf = Callable[[str], type[BaseModel]]
"""Function from a method's name to its ``Options`` model; raises ``UsageError`` for an unknown name."""

Misfits = Callable[[Recipe], list[tuple[KeyPath, str]]]
"""Function from a valid recipe to the keys that do not fit its method, with the reason."""


def shipped() -> list[Path]:
    """List the files of all shipped recipes, including ablations, without studies and tuning studies."""
    return sorted(path for folder in RECIPE.folders for path in (shipped_folder() / folder).glob("*.yaml"))


def find(name: str) -> Path:
    """Find the file of a recipe: a path, a name in ``./recipes``, or a shipped recipe, in this order.

    Args:
        name: Path or name with or without ``.yaml``; ablations do not need their folder.

    Raises:
        UsageError: The recipe does not exist; the hint lists the nearest names, or the command for a study of
            this name.
    """
    return find_file(name, RECIPE)


def load(
    name: str,
    settings: Iterable[str] = (),
    *,
    options_of: OptionsOf | None = None,
    misfits: Misfits | None = None,
    datasets: Sequence[str] = (),
) -> Recipe:
    """Load a recipe: merge it with its parent and with settings, and validate it.

    Args:
        name: Path or name; see ``find``.
        settings: Texts ``key.path=value`` that override the file (``--set``).
        options_of: Returns the options model of a method; None skips the validation of options.
        misfits: Returns the keys that do not fit the method; None skips this check.
        datasets: Accepted values of ``data.dataset``; empty accepts any value.

    Returns:
        The complete recipe, with all defaults of the method's options.

    Raises:
        RecipeError: The recipe is invalid; the message lists every mistake with file, line and key path.
        UsageError: The recipe does not exist.
    """
    path = find(name)
    source = _with_parent(read_source(path), path)
    content, places = source.content, dict(source.places)
    problems = [problem_of_flaw(flaw) for flaw in source.flaws]
    if content.setdefault("name", path.stem) == "":
        place = place_of(("name",), places)
        problems.append(Problem(place, "name", "the name is empty; remove the key to use the file's name."))
    for setting in settings:
        try:
            key, value, flaws = parse_setting(setting)
        except RecipeError as error:
            problems.append(Problem("", "", error.message))
            continue
        problems += map(problem_of_flaw, flaws)
        problem = _assign(content, places, key, value)
        problems += [problem] if problem else []
    problems += _unknown_dataset(content, places, datasets)
    return _checked(path.name, content, places, problems, options_of, misfits)


def dump(recipe: Recipe, context: str | None = None) -> str:
    """Convert a recipe to YAML text, which is a valid recipe with all defaults.

    Args:
        recipe: The recipe.
        context: ``strict.LISTS`` for the text of earlier versions, which wrote sizes as lists.
    """
    content = recipe.model_dump(mode="json", context=context)
    content["reported"] = [{k: v for k, v in row.items() if v is not None} for row in content["reported"]]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def _checked(
    name: str,
    content: dict[str, Any],
    places: Mapping[KeyPath, str],
    problems: list[Problem],
    options_of: OptionsOf | None,
    misfits: Misfits | None,
) -> Recipe:
    """Validate recipe and method options; raises one error with all mistakes."""
    recipe: Recipe | None = None
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        problems += problems_of_validation(error, Recipe, places)
    method = content.get("method", {})
    options: BaseModel | None = None
    if options_of is not None and isinstance(method, dict):
        options, wrong = _method_options(method, places, options_of)
        problems += wrong
    if recipe is not None and options is not None and misfits is not None:
        problems += [Problem(place_of(key, places), ".".join(key), text) for key, text in misfits(recipe)]
    raise_all(name, first_per_key(problems))
    assert recipe is not None
    if options is None:
        return recipe
    filled = recipe.method.model_copy(update={"options": options.model_dump(mode="json")})
    return recipe.model_copy(update={"method": filled})


def _unknown_dataset(
    content: dict[str, Any], places: Mapping[KeyPath, str], datasets: Sequence[str]
) -> list[Problem]:
    """Return a problem if the dataset is not among ``datasets``."""
    data = content.get("data")
    name = data.get("dataset") if isinstance(data, dict) else None
    if not datasets or not isinstance(name, str):
        return []
    wrong = label_problem(name)
    if not wrong and split_name(name)[0] in datasets:
        return []
    text = (
        f"{wrong}." if wrong else f"there is no dataset '{name}'. Known: {', '.join(datasets)}, {OWN}:NAME."
    )
    return [Problem(place_of(("data", "dataset"), places), "data.dataset", text)]


def _method_options(
    method: dict[str, Any], places: Mapping[KeyPath, str], options_of: OptionsOf
) -> tuple[BaseModel | None, list[Problem]]:
    """Validate the method's options; returns them, or the problems of its name or options."""
    name = method.get("name", Recipe().method.name)
    given = method.get("options", {})
    if not isinstance(name, str) or not isinstance(given, dict):
        return None, []  # the validation of the recipe reports these
    try:
        model = options_of(name)
    except UsageError as error:
        key = ("method", "name")
        return None, [
            Problem(
                place_of(key, places),
                "method.name",
                f"{error.message.removeprefix('method.name: ')}. {error.hint}",
            )
        ]
    try:
        return model.model_validate(given), []
    except ValidationError as error:
        return None, problems_of_validation(error, model, places, ("method", "options"))


def _with_parent(source: RecipeSource, path: Path) -> RecipeSource:
    """Merge a recipe with the recipe in its ``extends``; one level is allowed."""
    extends = source.content.pop("extends", None)
    if extends is None:
        return source
    place = source.places.get(("extends",), str(path))
    if not isinstance(extends, str):
        raise RecipeError(f"{place}: extends: expected the name of one recipe, not {extends!r}.")
    beside = path.parent / extends
    parent_path = beside if beside.is_file() else find(extends)
    parent = read_source(parent_path)
    if "extends" in parent.content:
        raise RecipeError(
            f"{place}: extends: {parent_path.name} extends another recipe itself; one level is allowed.",
            f"Extend {parent.content['extends']} directly and repeat the changed keys.",
        )
    parent.content.pop("name", None)
    parent_method = parent.content.get("method")
    if isinstance(parent_method, dict) and _renames_method(source.content, parent_method):
        parent_method.pop("options", None)  # options of another method
    merged = _merge(parent.content, source.content)
    return RecipeSource(
        source.origin, merged, {**parent.places, **source.places}, (*parent.flaws, *source.flaws)
    )


def _renames_method(child: dict[str, Any], parent_method: dict[str, Any]) -> bool:
    method = child.get("method")
    before = parent_method.get("name")
    return isinstance(method, dict) and method.get("name", before) != before


def _merge(parent: dict[str, Any], child: dict[str, Any]) -> dict[str, Any]:
    """Merge two mappings recursively; other values of the child replace those of the parent."""
    merged = dict(parent)
    for key, value in child.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _assign(content: dict[str, Any], places: dict[KeyPath, str], key: KeyPath, value: Any) -> Problem | None:
    """Set the value of a key path in nested mappings, and record ``--set`` as its place."""
    node = content
    for part in key[:-1]:
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            return Problem("--set", ".".join(key), f"'{part}' is a value and has no keys.")
        node = child
    node[key[-1]] = value
    for below in [place for place in places if place[: len(key)] == key]:
        del places[below]
    for length in range(1, len(key)):
        places.setdefault(key[:length], "--set")
    places.update(dict.fromkeys(_with_nested(key, value), "--set"))
    return None


def _with_nested(key: KeyPath, value: Any) -> Iterator[KeyPath]:
    """The key path and the paths of all keys in its value."""
    yield key
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _with_nested((*key, str(name)), below)
