"""Settings of resolved recipes side by side: dotted keys, values as one writes them; no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ABSENT = "(absent)"
"""The value of a key that a recipe does not have: an option of another method."""

NAME = "name"
"""The recipe's name: swept where it is asked for, and nothing that varies by itself."""

_NOT_SETTINGS = ("paper", "reported", "reported_cost", "train.seed")

Value = Any
"""Of a setting: a number, a text, a bool, None or a list."""


def settings_of(recipe: Mapping[str, Any]) -> tuple[dict[str, Value], int]:
    """Dotted key → value of a resolved recipe, what is no setting left out; and its seed."""
    found = dict(leaves(recipe))
    seed = int(found.get("train.seed", 0))
    return {key: value for key, value in found.items() if not _is_in(key, _NOT_SETTINGS)}, seed


def leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    """Values of nested mappings with their dotted key paths, in order."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _is_in(key: str, names: Sequence[str]) -> bool:
    """Whether a key is one of the names or lies below one."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def shown(value: Value) -> str:
    """A value as one writes it in a recipe."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return f"{value:g}" if is_number(value) else json.dumps(value)


def text_of(value: Value) -> str:
    """What tells values apart; Python holds 0, 0.0 and False for one."""
    return f"{value:.17g}" if is_number(value) else json.dumps(value)


def is_number(value: Value) -> bool:
    """Whether a value is a number; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def order_of(value: Value) -> tuple[int, float, str]:
    """Numbers ascending, then everything else by text."""
    return (0, float(value), "") if is_number(value) else (1, 0.0, json.dumps(value))
