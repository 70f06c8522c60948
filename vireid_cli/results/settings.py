"""Settings of resolved recipes as dotted keys and values, and their formatting; no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ABSENT = "(absent)"
"""Value of a missing key, such as an option of another method."""

NAME = "name"
"""Key of the recipe's name; a sweep uses it only if the user names it."""

_NOT_SETTINGS = ("paper", "reported", "reported_cost", "train.seed", "train.loggers")

Value = Any
"""Value of a setting: a number, a text, a bool, None or a list."""


def settings_of(recipe: Mapping[str, Any]) -> tuple[dict[str, Value], int]:
    """Return the settings of a resolved recipe by dotted key, without seed and paper; and the seed."""
    values = dict(leaves(recipe))
    seed = int(values.get("train.seed", 0))
    return {key: value for key, value in values.items() if not _is_in(key, _NOT_SETTINGS)}, seed


def leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    """Yield the dotted keys and values of nested mappings, in order."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _is_in(key: str, names: Sequence[str]) -> bool:
    """Whether a key is one of the names or a part of one."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def exact_value(value: Value) -> str:
    """Format a value as in a recipe, in the shortest form that denotes exactly this value.

    >>> exact_value(0.0012345678), exact_value([1e-05, 1234567]), exact_value(1.0)
    ('0.0012345678', '[1e-05, 1234567]', '1')
    """
    if isinstance(value, list):
        return f"[{', '.join(map(exact_value, value))}]"
    short = format_value(value)
    return repr(value) if is_number(value) and float(short) != value else short


def format_value(value: Value) -> str:
    """Format a value as in a recipe, numbers with six digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{', '.join(map(format_value, value))}]"
    return f"{value:g}" if is_number(value) else json.dumps(value)


def denotes(text: str, value: Value) -> bool:
    """Whether a text denotes a value; 5e-4 denotes 0.0005."""
    try:
        return float(text) == float(value) if is_number(value) else exact_value(value) == text
    except ValueError:
        return False


def unique_text(value: Value) -> str:
    """Text that is unique for each value; Python treats 0, 0.0 and False as equal."""
    return f"{value:.17g}" if is_number(value) else json.dumps(value)


def is_number(value: Value) -> bool:
    """Whether a value is a number and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def sort_key(value: Value) -> tuple[int, float, str]:
    """Sort key: numbers ascending, then other values by text."""
    return (0, float(value), "") if is_number(value) else (1, 0.0, json.dumps(value))
