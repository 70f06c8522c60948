"""How strictly a recipe is read: typed values as YAML gives them, frozen models, no option without effect."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def as_number(value: Any) -> Any:
    """Read a whole number as a float, which strict mode would refuse."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def as_tuple(value: Any) -> Any:
    """Read a YAML list as a tuple, which strict mode would refuse."""
    return tuple(value) if isinstance(value, list) else value


def bare_off(value: Any) -> Any:
    """Read ``false`` as the word ``off``."""
    return "off" if value is False else value


def _rising(value: tuple[float, float]) -> tuple[float, float]:
    low, high = value
    if not 0.0 < low <= high:
        raise ValueError("expected [low, high] with 0 < low and low at most high")
    return value


Number = Annotated[float, BeforeValidator(as_number)]
Probability = Annotated[float, BeforeValidator(as_number), Field(ge=0.0, le=1.0)]
Range = Annotated[tuple[Number, Number], BeforeValidator(as_tuple), AfterValidator(_rising)]
"""(low, high) with 0 < low ≤ high."""


class Strict(BaseModel):
    """Frozen, without coercion, without unknown keys, without infinite numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def refuse_idle(options: Strict, *rules: tuple[object, str, tuple[str, ...]]) -> None:
    """Refuse keys that change nothing under the other options, where they are not at their defaults.

    Defaults are let through: a recipe may write them out, and where a recipe that is extended has another
    value, the default takes it back.

    Args:
        options: The model that the keys are in.
        rules: Whether the keys of one are idle, why, and their names, dotted from ``options``.

    Raises:
        ValueError: Names all that were changed, and their defaults.
    """
    found = []
    for idle, why, keys in rules:
        changed = [key for key in keys if idle and _changed(options, key)]
        if changed:
            usual = ", ".join(f"{key}: {_shown(_default(options, key))}" for key in changed)
            found.append(f"{why}: {', '.join(changed)} would change nothing, leave out or say {usual}")
    if found:
        raise ValueError("; ".join(found))


def _changed(options: Strict, key: str) -> bool:
    """Whether the value of a dotted key is not its default."""
    value: Any = options
    for name in key.split("."):
        value = getattr(value, name)
    return bool(value != _default(options, key))


def _default(options: Strict, key: str) -> Any:
    """The default of a dotted key, of its section's own model."""
    *sections, name = key.split(".")
    for section in sections:
        options = getattr(options, section)
    return type(options).model_fields[name].default


def _shown(value: Any) -> str:
    """A value as YAML has it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(_shown(part) for part in value)}]"
    return str(value)
