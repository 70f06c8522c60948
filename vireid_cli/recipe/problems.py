"""Messages about invalid recipes: place, key path, expectation, nearest key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from vireid_cli.errors import RecipeError
from vireid_cli.printable import printable
from vireid_cli.reading import shorten
from vireid_cli.recipe.yaml_reader import Flaw, KeyPath
from vireid_cli.recipe.yaml_scalars import NUMBERS, tag_of

_TRUTH = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake in a recipe.

    Attributes:
        place: ``file:line`` or ``--set``.
        key: Dotted key path.
        text: Description of the mistake, with the nearest valid key if there is one.
        is_flaw: Whether the YAML text itself is wrong, independent of the key's type.
    """

    place: str
    key: str
    text: str
    is_flaw: bool = False

    def __str__(self) -> str:
        """Place, key and text on one line, without empty parts."""
        return printable(": ".join(part for part in (self.place, self.key, self.text) if part))


def raise_all(name: str, problems: Iterable[Problem], kind: str = "recipe") -> None:
    """Raise one error with all problems, sorted by place; does nothing without problems.

    Args:
        name: Name of the file.
        problems: Mistakes in it.
        kind: Kind of the file.

    Raises:
        RecipeError: There is at least one problem.
    """
    mistakes = sorted(set(problems), key=lambda p: (_line(p.place), p.key))
    if mistakes:
        count = "one mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        lines = "\n".join(f"  {problem}" for problem in mistakes)
        raise RecipeError(f"The {kind} {name} is invalid: {count}.\n{lines}")


def first_per_key(problems: Iterable[Problem]) -> list[Problem]:
    """Keep the first problem of each key and all flaws, so that no value is reported twice."""
    first: dict[str, list[Problem]] = {}
    for problem in problems:
        same = first.setdefault(problem.key, [])
        if not problem.key or not same or problem.is_flaw:
            same.append(problem)
    return [problem for same in first.values() for problem in same]


def problem_of_flaw(flaw: Flaw) -> Problem:
    """Convert a flaw of the YAML text to a problem."""
    return Problem(flaw.place, ".".join(flaw.key), flaw.text, is_flaw=True)


def problems_of_validation(
    error: ValidationError,
    model: type[BaseModel],
    places: Mapping[KeyPath, str],
    prefix: KeyPath = (),
) -> list[Problem]:
    """Convert pydantic's errors to problems with places and suggestions."""
    return [_problem(dict(item), model, places, prefix) for item in error.errors(include_url=False)]


def place_of(key: KeyPath, places: Mapping[KeyPath, str]) -> str:
    """Return the place of a key, or of its nearest parent in the file; empty without one."""
    for length in range(len(key), 0, -1):
        if key[:length] in places:
            return places[key[:length]]
    return ""


def key_paths(model: type[BaseModel], prefix: KeyPath = ()) -> list[KeyPath]:
    """List all key paths of a model, including its sections."""
    paths: list[KeyPath] = []
    for name, info in model.model_fields.items():
        paths.append((*prefix, name))
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            paths += key_paths(kind, (*prefix, name))
    return paths


def nearest(unknown: KeyPath, model: type[BaseModel], prefix: KeyPath = ()) -> str:
    """Suggest a valid key: the closest spelling in the section, or the same name in another section."""
    known = key_paths(model, prefix)
    siblings = [path for path in known if path[:-1] == unknown[:-1]]
    close = difflib.get_close_matches(unknown[-1], [path[-1] for path in siblings], n=1, cutoff=0.6)
    if close:
        return f" Did you mean '{'.'.join((*unknown[:-1], close[0]))}'?"
    elsewhere = [path for path in known if path[-1] == unknown[-1]]
    if elsewhere:
        return f" Did you mean '{'.'.join(elsewhere[0])}'?"
    if siblings:
        return f" Known here: {', '.join(path[-1] for path in siblings)}."
    return ""


def _problem(
    item: dict[str, Any], model: type[BaseModel], places: Mapping[KeyPath, str], prefix: KeyPath
) -> Problem:
    key = (*prefix, *_written(item["loc"], places, prefix))
    place = place_of(key, places)
    if item["type"] == "extra_forbidden":
        return Problem(place, ".".join(key), f"unknown key.{nearest(key, model, prefix)}")
    if item["type"] == "missing":
        last = item["loc"][-1]
        text = f"value {last + 1} of a list is missing." if isinstance(last, int) else "this key is required."
        return Problem(place, ".".join(key), text)
    given = item.get("input")
    if item["type"] in ("too_long", "too_short"):
        limits = item["ctx"]
        count = limits.get("max_length", limits.get("min_length"))
        return Problem(
            place, ".".join(key), f"expected {count} values, not {_written_value(list(given or ()))}."
        )
    text = str(item["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")
    if (
        isinstance(given, dict) and given and item["type"] != "value_error"
    ):  # keys below a value: --set method.options.triplet.margin=0.5
        inner = str(next(iter(given)))
        return Problem(
            place, ".".join(key), f"{text}, not a key {inner}.{nearest((*key, inner), model, prefix)}"
        )
    shown = "" if isinstance(given, (dict, BaseModel)) else f", not {_written_value(given)}"
    return Problem(place, ".".join(key), f"{text}{shown}.{_advice(item['type'], given)}")


def _written_value(value: Any) -> str:
    """Format a value as YAML, shortened."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return shorten(repr(value))


def _advice(kind: str, value: Any) -> str:
    """Suggest the correct spelling of a value with a similar type."""
    if kind == "bool_type" and isinstance(value, str) and value.lower() in _TRUTH:
        return f" Write {_TRUTH[value.lower()]}."
    if kind == "int_type" and isinstance(value, float) and value.is_integer():
        return f" Write {value:.0f}."
    if kind in ("int_type", "float_type") and isinstance(value, str) and tag_of(value) in NUMBERS:
        return " Write it without quotes."
    return ""


def _written(loc: tuple[Any, ...], places: Mapping[KeyPath, str], prefix: KeyPath) -> KeyPath:
    """Keys in pydantic's location that occur in the file, without pydantic's tags of union members."""
    key = tuple(str(part) for part in loc)
    for length in range(len(key), 0, -1):
        if (*prefix, *key[:length]) in places:
            return key[:length]
    return key


def _line(place: str) -> tuple[str, int]:
    origin, _, line = place.rpartition(":")
    return (origin, int(line)) if line.isascii() and line.isdigit() else (place, 0)
