"""Interface of a logger, and the rows that it receives."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from vireid_cli.results.settings import leaves

State = Literal["finished", "failed", "interrupted", "attached"]
"""End of a training; ``attached``: a later command has added results to a run."""

Recorded = Mapping[tuple[str, int], float]
"""Numbers that a logger already has, by name and step."""

RESULTS = "evaluation/"
"""Beginning of the names of numbers of an evaluation."""

NAME_LENGTH = 200
"""Longest name of a number; MLflow accepts 250 characters."""

_FOREIGN = re.compile(r"[^0-9A-Za-z_./-]")


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of one step.

    Attributes:
        step: Number of training steps so far.
        time: Seconds since 1970.
        values: Finite numbers by name.
        replaces: Whether different numbers of the same names and step are replaced, not kept.
    """

    step: int
    time: float
    values: Mapping[str, float]
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure.

    Attributes:
        name: Name of the figure, such as ``curves``.
        png: Content of its PNG file.
        step: Number of training steps so far.
    """

    name: str
    png: bytes
    step: int


@dataclass(frozen=True, slots=True)
class RunDetails:
    """The run that a logger describes.

    Attributes:
        name: Name of the run.
        folder: The run folder.
        group: Name of the recipe's dataset and method, for experiments or groups.
        parameters: Values of the resolved recipe by dotted key.
        tags: Versions, commit, device and data of the run.
        recipe: Text of the resolved recipe.
    """

    name: str
    folder: Path
    group: str
    parameters: Mapping[str, Any]
    tags: Mapping[str, str]
    recipe: str


class LoggerBackend(Protocol):
    """A logger. All methods are called in one thread."""

    def open(self, details: RunDetails, until: int | None) -> Recorded:
        """Create the run of the logger, or continue the existing one.

        Args:
            details: The run.
            until: Step from which the training starts; later numbers are obsolete. None: a later command
                adds results only, while a training may write.

        Returns:
            The numbers that the logger has.
        """

    def write(self, rows: Sequence[Numbers]) -> None:
        """Record numbers."""

    def draw(self, picture: Picture) -> None:
        """Record a figure."""

    def close(self, state: State) -> None:
        """Write everything, and record the end of the run."""


def numbers_of(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers of a row of ``train.jsonl`` by name.

    Names of steps begin with ``train/``, those of epochs with ``epoch/``, and those of validation with
    ``val/``.

    >>> numbers_of({"kind": "step", "global_step": 5, "loss": 2.0, "losses": {"id": 2.0, "tri": None}})
    {'train/loss': 2.0, 'train/losses/id': 2.0}
    """
    prefix = {"step": "train/", "epoch": "epoch/"}.get(str(row["kind"]), f"{row['kind']}/")
    values: dict[str, float] = {}
    for key, value in row.items():
        inner = value.items() if isinstance(value, Mapping) else [("", value)]
        for name, number in inner:
            start = "" if key == "val" else prefix
            if key not in ("kind", "global_step") and is_finite(number):
                values[clean_name(f"{start}{key}/{name}" if name else f"{start}{key}")] = float(number)
    return values


def is_finite(value: Any) -> bool:
    """Whether a value is a finite number and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def clean_name(name: str) -> str:
    """Return a name that all loggers accept; a changed name ends in a part of its hash and stays unique.

    >>> clean_name("train/losses/id")
    'train/losses/id'
    """
    parts = (part for part in _FOREIGN.sub("_", name).split("/") if part.strip("."))
    clean = "/".join(parts)[:NAME_LENGTH]
    if clean == name:
        return name
    return f"{clean}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"


def parameters_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a resolved recipe by dotted key, without the paper's results."""
    values = {key: value for key, value in leaves(recipe) if not key.startswith("reported")}
    return {key: value for key, value in values.items() if value is not None}
