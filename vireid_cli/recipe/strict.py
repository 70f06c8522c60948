"""Base model and types of recipes: strict types, frozen models, no options without effect."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializationInfo,
    WithJsonSchema,
)

from vireid_cli.counts import size_name

LISTS = "lists"
"""Context of ``model_dump`` that serializes sizes as [height, width], the form of earlier versions."""

_SIZE = re.compile(r"([0-9]{1,6})[x×]([0-9]{1,6})")


def as_number(value: Any) -> Any:
    """Convert an int to float, which strict mode refuses."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def as_tuple(value: Any) -> Any:
    """Convert a YAML list to a tuple, which strict mode refuses."""
    return tuple(value) if isinstance(value, list) else value


def as_size(value: Any) -> Any:
    """Convert ``96x48`` or the list [96, 48] to (96, 48), height and width in pixels.

    Raises:
        ValueError: The text has another form.
    """
    if not isinstance(value, str):
        return as_tuple(value)
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"expected HEIGHTxWIDTH in pixels, such as 288x144, not '{value}'")
    return int(match[1]), int(match[2])


def _serialize_size(size: Sequence[int], info: SerializationInfo) -> str | list[int]:
    return list(size) if info.context == LISTS else size_name(size)


def bare_off(value: Any) -> Any:
    """Convert ``false`` to the string ``off``."""
    return "off" if value is False else value


def _rising(value: tuple[float, float]) -> tuple[float, float]:
    low, high = value
    if not 0.0 < low <= high:
        raise ValueError("expected [low, high] with 0 < low and low at most high")
    return value


_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": r"^\s*[0-9]{1,6}[x×][0-9]{1,6}\s*$"},
        {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
    ],
    "description": "HEIGHTxWIDTH in pixels, such as 288x144",
}
SIZE_FORM = (
    BeforeValidator(as_size),
    PlainSerializer(_serialize_size, when_used="json"),
    WithJsonSchema(_SIZE_SCHEMA),
)
"""Annotations of a size (height, width): written ``96x48`` in recipes, a list is accepted too."""

Number = Annotated[float, BeforeValidator(as_number)]
Probability = Annotated[float, BeforeValidator(as_number), Field(ge=0.0, le=1.0)]
Range = Annotated[tuple[Number, Number], BeforeValidator(as_tuple), AfterValidator(_rising)]
"""(low, high) with 0 < low ≤ high."""


class Strict(BaseModel):
    """Base model: frozen; refuses unknown keys, other types and infinite numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def refuse_without_effect(options: Strict, *rules: tuple[object, str, tuple[str, ...]]) -> None:
    """Refuse keys without effect that have a value other than their default.

    Defaults are accepted, because a recipe can state them, for example to reset a value of its parent.

    Args:
        options: Model that contains the keys.
        rules: For each rule, whether its keys have no effect, the reason, and the keys, dotted from
            ``options``.

    Raises:
        ValueError: Keys without effect are changed; the message lists them with their defaults.
    """
    problems = []
    for idle, reason, keys in rules:
        changed = [key for key in keys if idle and _changed(options, key)]
        if changed:
            verb, object_ = ("has", "it") if len(changed) == 1 else ("have", "them")
            defaults = ", ".join(f"{key}: {_shown(_default(options, key))}" for key in changed)
            problems.append(
                f"{reason}: {', '.join(changed)} {verb} no effect; remove {object_} or set {defaults}"
            )
    if problems:
        raise ValueError("; ".join(problems))


def _changed(options: Strict, key: str) -> bool:
    """Whether the value of a dotted key is not its default."""
    value: Any = options
    for name in key.split("."):
        value = getattr(value, name)
    return bool(value != _default(options, key))


def _default(options: Strict, key: str) -> Any:
    """Return the default of a dotted key, from the model of its section."""
    *sections, name = key.split(".")
    for section in sections:
        options = getattr(options, section)
    return type(options).model_fields[name].default


def _shown(value: Any) -> str:
    """Format a value as YAML."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(_shown(part) for part in value)}]"
    return str(value)
