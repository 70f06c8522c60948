"""Sweeps: a metric as a function of a hyperparameter, from the runs of a folder.

Pure functions of resolved recipes and metrics; no torch.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vireid_cli.counts import counted
from vireid_cli.errors import UsageError
from vireid_cli.results.compare import SeedSpread
from vireid_cli.results.settings import (
    ABSENT,
    NAME,
    Value,
    denotes,
    exact_value,
    format_value,
    is_number,
    sort_key,
    unique_text,
)
from vireid_cli.results.unlike import note

SEED = "train.seed"
_LISTED = 12
"""Number of keys listed in an error."""
_MORE = "Train others: vireid train --set KEY=VALUE, or a study: vireid compare fdnm-sweep"


@dataclass(frozen=True, slots=True)
class Member:
    """An evaluated run.

    Attributes:
        name: Name of the run folder.
        seed: ``train.seed``.
        settings: Other settings of the recipe by dotted key.
        data: Mark of the evaluated images.
        metrics: Mean over trials by metric, in [0, 1].
        fingerprint: Fingerprint of the evaluation.
    """

    name: str
    seed: int
    settings: dict[str, Value]
    data: str
    metrics: dict[str, float]
    fingerprint: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Point:
    """Metrics of one value of the key.

    Attributes:
        value: Value of the key.
        metrics: Mean and spread over seeds by metric, in [0, 1].
        seeds: Evaluated seeds.
    """

    value: Value
    metrics: dict[str, SeedSpread]
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A metric as a function of a key.

    Attributes:
        key: The varying key.
        points: One point per value; numbers ascending, then other values by text.
        fixed: Other keys that vary in the folder, with their common value at all points.
        confounded: Other keys that vary together with the key, so their effects can't be separated.
        omitted: Number of runs with other values of ``fixed``, or with a newer run of the same recipe and
            seed.
        unlike: Note about runs that were measured under unlike conditions; empty if there are none.
    """

    key: str
    points: tuple[Point, ...]
    fixed: dict[str, Value]
    confounded: tuple[str, ...]
    omitted: int
    unlike: str = ""

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers."""
        return all(is_number(point.value) for point in self.points)


def varying(members: Sequence[Member]) -> dict[str, list[Value]]:
    """Return the keys with different values, except the name, with their sorted values."""
    keys = dict.fromkeys(key for member in members for key in member.settings)
    changes = {}
    for key in keys:
        values = {unique_text(member.settings.get(key, ABSENT)): member for member in members}
        if len(values) > 1 and key != NAME:
            changes[key] = sorted((m.settings.get(key, ABSENT) for m in values.values()), key=sort_key)
    return changes


def sweep_of(
    members: Sequence[Member],
    key: str | None,
    metrics: Sequence[str],
    conditions: Sequence[str] = (),
) -> Sweep:
    """Build the sweep of a key.

    If other keys vary too, the sweep uses the set of runs with equal values of these keys that has the most
    values of the swept key. A study that changes one key at a time has exactly one such set. Keys that vary
    together with the swept key (such as the options of a method with its name) can't be fixed; then the sweep
    uses all runs and lists these keys in ``confounded``.

    Args:
        members: Evaluated runs.
        key: Swept key or its last parts; None for the only varying key.
        metrics: One or more metrics that all members have.
        conditions: Texts ``KEY=VALUE`` that select runs.

    Raises:
        UsageError: No key varies, or several keys vary and none is named; a key, metric or value does not
            exist; other keys can't be fixed; or the runs have evaluations on different images.
    """
    _refuse_metrics(members, metrics)
    keys = dict.fromkeys(k for member in members for k in member.settings)
    kept = list(members)
    for text in conditions:
        kept = _select(kept, text, keys)
    if len(kept) == 1:
        raise UsageError(f"{kept[0].name} is the only run: a sweep needs several values of a key.", _MORE)
    changes = varying(kept)
    swept = _only_key(changes) if key is None else _full_key(key, keys)
    if len({unique_text(member.settings.get(swept, ABSENT)) for member in kept}) == 1:
        value = exact_value(kept[0].settings.get(swept, ABSENT))
        listed = f"Varying keys:\n{_listed(changes)}" if changes else "Only the seed varies."
        raise UsageError(f"{swept} is {value} in all of the {len(kept)} runs.", listed)
    others = [name for name in changes if name != swept]
    chosen, fixed, confounded = _slice(kept, swept, others)
    single = _newest(chosen)
    _refuse_images(single)
    by_value: dict[str, list[Member]] = {}
    for member in single:
        by_value.setdefault(unique_text(member.settings.get(swept, ABSENT)), []).append(member)
    points = [_point(group, swept, metrics) for group in by_value.values()]
    points.sort(key=lambda point: sort_key(point.value))
    unlike = note([member.fingerprint for member in single])
    return Sweep(swept, tuple(points), fixed, confounded, len(members) - len(single), unlike)


def check_conditions(conditions: Sequence[str]) -> None:
    """Raise ``UsageError`` for texts other than ``KEY=VALUE``."""
    for text in conditions:
        name, equals, wanted = (part.strip() for part in text.partition("="))
        if not name or not equals or not wanted:
            raise UsageError(f"--where {text}: expected KEY=VALUE.", "For example: --where cnm.margin=0.2")


def _select(members: Sequence[Member], text: str, keys: Iterable[str]) -> list[Member]:
    """Select the members that fulfil a condition ``KEY=VALUE``.

    Raises:
        UsageError: The text is not a condition, or the key or value does not exist.
    """
    check_conditions([text])
    name, _, wanted = (part.strip() for part in text.partition("="))
    key = _full_key(name, keys)
    given = [(member, member.settings.get(key, ABSENT)) for member in members]
    selected = [member for member, value in given if denotes(wanted, value)]
    selected = selected or [member for member, value in given if format_value(value) == wanted]  # six digits
    if not selected:
        values = ", ".join(dict.fromkeys(exact_value(value) for _, value in given))
        raise UsageError(f"No run has {key} = {wanted}.", f"Existing values: {values}")
    return selected


def _refuse_metrics(members: Sequence[Member], metrics: Sequence[str]) -> None:
    """Refuse metrics that some member does not have."""
    for name in metrics:
        if not all(name in member.metrics for member in members):
            known = [n for n in members[0].metrics if all(n in member.metrics for member in members)]
            raise UsageError(f"Not all runs have the metric '{name}'.", f"Common metrics: {', '.join(known)}")


def _refuse_images(members: Sequence[Member]) -> None:
    """Refuse members with different images."""
    first: dict[str, str] = {}
    for member in members:
        first.setdefault(member.data, member.name)
    if len(first) > 1:
        names = " and ".join(list(first.values())[:2])
        raise UsageError(
            f"The runs have evaluations on different images, such as {names}.",
            "Evaluate them on one dataset (vireid evaluate RUN --dataset NAME), or select runs of one "
            "dataset: --where data.dataset=NAME",
        )


def _full_key(name: str, keys: Iterable[str]) -> str:
    """Return the full key of a name, which may be the key's last parts.

    Raises:
        UsageError: No key or several keys have this name, or it is the seed.
    """
    names = list(keys)
    if name in names:
        return name
    ends = [key for key in names if key.endswith(f".{name}")]
    if len(ends) == 1:
        return ends[0]
    if not ends and name in (SEED, "seed"):
        raise UsageError(
            f"{SEED} can't be swept, because a sweep averages over seeds.",
            "Name another key with --key, or omit --key to sweep the only varying key.",
        )
    close = ends or difflib.get_close_matches(name, names, n=3, cutoff=0.3)
    kind = "Keys with this ending" if ends else "Nearest"
    raise UsageError(f"No recipe of these runs has the key '{name}'.", f"{kind}: {', '.join(close)}")


def _only_key(changes: Mapping[str, list[Value]]) -> str:
    """Return the only varying key."""
    if len(changes) == 1:
        return next(iter(changes))
    if not changes:
        raise UsageError("All runs have the same recipe except for the seed: no key varies.", _MORE)
    raise UsageError(f"{counted(len(changes), 'key')} vary: name one with --key.", _listed(changes))


def _listed(changes: Mapping[str, list[Value]]) -> str:
    """Format keys with their values, one key per line."""
    lines = [f"  {key}: {', '.join(map(exact_value, values))}" for key, values in changes.items()]
    more = [f"  … and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "\n".join([*lines[:_LISTED], *more])


def _slice(
    members: Sequence[Member], swept: str, others: Sequence[str]
) -> tuple[list[Member], dict[str, Value], tuple[str, ...]]:
    """Select runs that differ only in the swept key.

    Returns:
        The runs, the other keys with their fixed values, and the confounded keys.

    Raises:
        UsageError: Several sets of runs have the same number of values of the key.
    """

    def signature(member: Member) -> tuple[str, ...]:
        """Values of a run's other settings."""
        return tuple(unique_text(member.settings.get(name, ABSENT)) for name in others)

    at_value: dict[str, set[tuple[str, ...]]] = {}
    values_of: dict[tuple[str, ...], set[str]] = {}
    for member in members:
        value = unique_text(member.settings.get(swept, ABSENT))
        at_value.setdefault(value, set()).add(signature(member))
        values_of.setdefault(signature(member), set()).add(value)
    most = max(len(values) for values in values_of.values())
    best = [sign for sign, values in values_of.items() if len(values) == most]
    if all(len(signs) == 1 for signs in at_value.values()) and (2 * most <= len(at_value) or not others):
        return list(members), {}, tuple(others)
    if most < 2 or len(best) > 1:
        first = next(m for m in members if signature(m) == best[0])
        example = f"{others[0]}={exact_value(first.settings.get(others[0], ABSENT))}"
        changes = varying(members)
        raise UsageError(
            f"Runs with the same {swept} differ in other keys: select runs with --where.",
            f"{_listed({name: changes[name] for name in others})}\nFor example: --where {example}",
        )
    chosen = [m for m in members if signature(m) == best[0]]
    return chosen, {name: chosen[0].settings.get(name, ABSENT) for name in others}, ()


def _newest(members: Iterable[Member]) -> list[Member]:
    """Of runs with the same recipe and seed, keep the last by name, so that repeated runs count once."""
    ordered = sorted(members, key=lambda member: member.name)
    last = {(json.dumps(member.settings, sort_keys=True), member.seed): member for member in ordered}
    return list(last.values())


def _point(group: Sequence[Member], swept: str, metrics: Sequence[str]) -> Point:
    """Compute mean and spread over the seeds of one value."""
    ordered = sorted(group, key=lambda m: m.seed)
    spreads = {name: SeedSpread.of([m.metrics[name] for m in ordered]) for name in metrics}
    return Point(group[0].settings.get(swept, ABSENT), spreads, tuple(m.seed for m in ordered))
