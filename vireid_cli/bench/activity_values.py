"""Results of ``bench.activity``: terms, switches and what a short training ends in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

LEAST_GRADIENT = 1e-6
"""Of a term's gradient norm, relative to the largest of all terms."""
LEAST_CHANGE = 1e-3
"""Of a value that moves, and of a switch's effect on a loss or the embedding, relative."""

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """A loss term over a short training.

    Attributes:
        name: As logged.
        start, end: Its weighted value on the first batch, before and after training.
        gradient: Largest ratio of its gradient norm to the largest of all terms, before and after training;
            NaN if it was not measured.
    """

    name: str
    start: float
    end: float
    gradient: float

    @property
    def acts(self) -> bool:
        """Whether it has a gradient or its value moves."""
        return self.gradient > LEAST_GRADIENT or relative_change(self.start, self.end) > LEAST_CHANGE


@dataclass(frozen=True, slots=True)
class Switch:
    """A difference of a recipe's method options from those of the recipe that it extends.

    Attributes:
        keys: Dotted options that change together; one, where it can be taken back alone.
        losses: Largest relative difference of a common loss term.
        embedding: Relative difference of the embeddings; 1 if their widths differ.
    """

    keys: tuple[str, ...]
    losses: float
    embedding: float

    @property
    def acts(self) -> bool:
        """Whether losses or embedding differ."""
        return max(self.losses, self.embedding) > LEAST_CHANGE


@dataclass(frozen=True, slots=True)
class Activity:
    """The terms and switches of a recipe."""

    recipe: str
    terms: tuple[Term, ...]
    switches: tuple[Switch, ...]

    @property
    def idle(self) -> list[str]:
        """Terms and switches that do not act."""
        names = [term.name for term in self.terms if not term.acts]
        return names + [" ".join(switch.keys) for switch in self.switches if not switch.acts]


@dataclass(frozen=True, slots=True)
class ShortTraining:
    """A short training's terms, its losses at the end and its embeddings of the first batch."""

    terms: tuple[Term, ...]
    embeddings: Tensor

    def differences(self, other: ShortTraining) -> tuple[float, float]:
        """Largest relative difference of a common term at the end, and of the embeddings."""
        own, ends = ({t.name: t.end for t in o.terms} for o in (self, other))
        losses = max(
            (relative_change(own[name], ends[name]) for name in own.keys() & ends.keys()), default=0.0
        )
        if self.embeddings.shape != other.embeddings.shape:
            return losses, 1.0
        gap = (self.embeddings - other.embeddings).norm() / self.embeddings.norm()
        return losses, float(gap)


def flatten(values: Mapping[str, Any], prefix: Key = ()) -> dict[Key, Any]:
    """Nested mappings as one, keyed by path."""
    flat: dict[Key, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, (*prefix, key)) if isinstance(value, Mapping) else {(*prefix, key): value}
    return flat


def nested(flat: Mapping[Key, Any]) -> dict[str, Any]:
    """The inverse of ``flatten``."""
    values: dict[str, Any] = {}
    for key, value in flat.items():
        node = values
        for part in key[:-1]:
            node = node.setdefault(part, {})
        node[key[-1]] = value
    return values


def relative_change(first: float, second: float) -> float:
    """|a − b| over the larger of both; 0 if both are 0."""
    return abs(first - second) / max(abs(first), abs(second), 1e-12)
