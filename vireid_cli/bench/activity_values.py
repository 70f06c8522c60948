"""Results of ``bench.activity``: terms, switches and short trainings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

LEAST_GRADIENT = 1e-6
"""Threshold for the gradient norm of a term, relative to the largest of all terms."""
LEAST_CHANGE = 1e-3
"""Threshold for the relative change of a term, and for the relative effect of a switch."""

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """A loss term over a short training.

    Attributes:
        name: Name in the logs.
        start, end: Weighted value on the first batch, before and after training.
        gradient: Gradient norm relative to the largest of all terms, the maximum of before and after
            training; 0 for a term without gradient, NaN if not measured.
    """

    name: str
    start: float
    end: float
    gradient: float

    @property
    def acts(self) -> bool:
        """Whether the gradient is not negligible or, if it was not measured, whether the value changes.

        The value of a term without gradient changes, too, because the other terms train the network.
        """
        if math.isnan(self.gradient):
            return relative_change(self.start, self.end) > LEAST_CHANGE
        return self.gradient > LEAST_GRADIENT


@dataclass(frozen=True, slots=True)
class Factor:
    """A weight that a recipe gives to a loss, and the terms on the first batch after it is doubled.

    Attributes:
        key: Dotted option.
        doubled: Names of the terms that double.
        disturbed: Names of all other terms that change.
    """

    key: str
    doubled: tuple[str, ...]
    disturbed: tuple[str, ...]

    @property
    def acts(self) -> bool:
        """Whether it is the factor on some terms and on nothing else."""
        return bool(self.doubled) and not self.disturbed

    @staticmethod
    def of(key: str, before: Mapping[str, float], after: Mapping[str, float]) -> Factor:
        """Compare the terms before and after the option ``key`` is doubled."""
        names = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
        ratios = {name: _ratio(before.get(name), after.get(name)) for name in sorted(names)}
        doubled = tuple(name for name, ratio in ratios.items() if abs(ratio - 2.0) < LEAST_CHANGE)
        changed = tuple(name for name, ratio in ratios.items() if not abs(ratio - 1.0) < LEAST_CHANGE)
        return Factor(key, doubled, tuple(name for name in changed if name not in doubled))


@dataclass(frozen=True, slots=True)
class Switch:
    """A difference between the method options of a recipe and those of the extended recipe.

    Attributes:
        keys: Dotted names of the options; several if they can only change together.
        losses: Largest relative difference of a common loss term.
        embedding: Relative difference of the embeddings; 1 if their widths differ.
    """

    keys: tuple[str, ...]
    losses: float
    embedding: float

    @property
    def acts(self) -> bool:
        """Whether losses or embeddings differ."""
        return max(self.losses, self.embedding) > LEAST_CHANGE


@dataclass(frozen=True, slots=True)
class Activity:
    """Terms, switches and weights of a recipe."""

    recipe: str
    terms: tuple[Term, ...]
    switches: tuple[Switch, ...]
    factors: tuple[Factor, ...] = ()

    @property
    def idle(self) -> list[str]:
        """Names of terms, weights and switches without effect."""
        names = [term.name for term in self.terms if not term.acts]
        names += [factor.key for factor in self.factors if not factor.acts]
        return names + [" ".join(switch.keys) for switch in self.switches if not switch.acts]


@dataclass(frozen=True, slots=True)
class ShortTraining:
    """Loss terms of a short training, and embeddings of the first batch after training."""

    terms: tuple[Term, ...]
    embeddings: Tensor

    def differences(self, other: ShortTraining) -> tuple[float, float]:
        """Return the largest relative difference of a common term, and that of the embeddings."""
        own, ends = ({t.name: t.end for t in o.terms} for o in (self, other))
        losses = max(
            (relative_change(own[name], ends[name]) for name in own.keys() & ends.keys()), default=0.0
        )
        if self.embeddings.shape != other.embeddings.shape:
            return losses, 1.0
        gap = (self.embeddings - other.embeddings).norm() / self.embeddings.norm()
        return losses, float(gap)


def _ratio(before: float | None, after: float | None) -> float:
    """Ratio of two values; infinite if one is missing or the first is 0."""
    return after / before if before and after is not None else math.inf


def flatten(values: Mapping[str, Any], prefix: Key = ()) -> dict[Key, Any]:
    """Convert nested mappings to a flat one, keyed by path."""
    flat: dict[Key, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, (*prefix, key)) if isinstance(value, Mapping) else {(*prefix, key): value}
    return flat


def nested(flat: Mapping[Key, Any]) -> dict[str, Any]:
    """Convert a flat mapping to nested ones; the inverse of ``flatten``."""
    values: dict[str, Any] = {}
    for key, value in flat.items():
        node = values
        for part in key[:-1]:
            node = node.setdefault(part, {})
        node[key[-1]] = value
    return values


def relative_change(first: float, second: float) -> float:
    """Compute |a − b| / max(|a|, |b|), or 0 if both are 0."""
    return abs(first - second) / max(abs(first), abs(second), 1e-12)
