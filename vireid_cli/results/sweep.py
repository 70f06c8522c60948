"""A metric over a hyperparameter, from the runs of a folder: which key varies, and the mean at each value.

Pure functions of resolved recipes and figures; no torch.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vireid_cli.errors import UsageError
from vireid_cli.results.compare import SeedSpread
from vireid_cli.results.settings import ABSENT, NAME, Value, is_number, order_of, shown, text_of

SEED = "train.seed"
_LISTED = 12
"""Keys that an error lists."""
_MORE = "Train others: vireid train --set KEY=VALUE, or a study: vireid compare fdnm-sweep"


@dataclass(frozen=True, slots=True)
class Member:
    """One evaluated run of a sweep.

    Attributes:
        name: Of its folder.
        seed: ``train.seed``.
        settings: Dotted key → value of everything else in its recipe.
        data: Mark of the images that it was evaluated on.
        metrics: Metric → mean over trials, in [0, 1].
    """

    name: str
    seed: int
    settings: dict[str, Value]
    data: str
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Point:
    """What one value gave.

    Attributes:
        value: Of the key.
        metrics: Metric → mean over seeds, and its spread, in [0, 1].
        seeds: That were measured.
    """

    value: Value
    metrics: dict[str, SeedSpread]
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A metric over a key.

    Attributes:
        key: That varies.
        points: Numbers ascending, else by text.
        held: Other keys that vary in the folder, with the value that all points share.
        along: Other keys that change with the key, so that their effects can't be told apart.
        left_out: Runs with other values of ``held``, or the same recipe and seed as a newer run.
    """

    key: str
    points: tuple[Point, ...]
    held: dict[str, Value]
    along: tuple[str, ...]
    left_out: int

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers."""
        return all(is_number(point.value) for point in self.points)


def varying(members: Sequence[Member]) -> dict[str, list[Value]]:
    """Keys that are not the same in all, with their values in order; names aside."""
    keys = dict.fromkeys(key for member in members for key in member.settings)
    found = {}
    for key in keys:
        values = {text_of(member.settings.get(key, ABSENT)): member for member in members}
        if len(values) > 1 and key != NAME:
            found[key] = sorted((m.settings.get(key, ABSENT) for m in values.values()), key=order_of)
    return found


def sweep_of(
    members: Sequence[Member],
    key: str | None,
    metrics: Sequence[str],
    where: Sequence[str] = (),
) -> Sweep:
    """Put a sweep together.

    Where other keys vary too, the runs that agree in them and have the most values of the key are taken:
    a study that changes one thing at a time has one such set. Keys that change with the key (the options
    of a method with its name) can't be held: all runs are taken then, and ``along`` says so.

    Args:
        members: Evaluated runs.
        key: What is swept, its last parts suffice; None: the one key that varies.
        metrics: At least one, of those that all members have.
        where: ``KEY=VALUE`` texts that runs must fit.

    Raises:
        UsageError: No key varies, or several and none is named; no such key, metric or value; other keys
            that can't be held; or runs that were evaluated on different images.
    """
    _refuse_metrics(members, metrics)
    keys = dict.fromkeys(k for member in members for k in member.settings)
    kept = list(members)
    for text in where:
        kept = _fitting(kept, text, keys)
    if len(kept) == 1:
        raise UsageError(f"{kept[0].name} is the only run: a sweep needs several values of a key.", _MORE)
    changes = varying(kept)
    swept = _only(changes) if key is None else _known(key, keys)
    if len({text_of(member.settings.get(swept, ABSENT)) for member in kept}) == 1:
        value = shown(kept[0].settings.get(swept, ABSENT))
        listed = f"What varies:\n{_listed(changes)}" if changes else "Nothing varies but the seed."
        raise UsageError(f"{swept} is {value} in all of the {len(kept)} runs.", listed)
    others = [name for name in changes if name != swept]
    chosen, held, along = _slice(kept, swept, others)
    single = _newest(chosen)
    _refuse_images(single)
    by_value: dict[str, list[Member]] = {}
    for member in single:
        by_value.setdefault(text_of(member.settings.get(swept, ABSENT)), []).append(member)
    points = [_point(group, swept, metrics) for group in by_value.values()]
    points.sort(key=lambda point: order_of(point.value))
    return Sweep(swept, tuple(points), held, along, len(members) - len(single))


def refuse_conditions(where: Sequence[str]) -> None:
    """Refuse texts that are not ``KEY=VALUE``, before any run is read. Raises ``UsageError``."""
    for text in where:
        name, equals, wanted = (part.strip() for part in text.partition("="))
        if not name or not equals or not wanted:
            raise UsageError(f"--where {text}: expected KEY=VALUE.", "For example: --where cnm.margin=0.2")


def _fitting(members: Sequence[Member], text: str, keys: Iterable[str]) -> list[Member]:
    """Members that have a ``KEY=VALUE``.

    Raises:
        UsageError: Not of that form, no such key, or no such value.
    """
    refuse_conditions([text])
    name, _, wanted = (part.strip() for part in text.partition("="))
    key = _known(name, keys)
    found = [member for member in members if _fits(member.settings.get(key, ABSENT), wanted)]
    if not found:
        values = ", ".join(dict.fromkeys(shown(m.settings.get(key, ABSENT)) for m in members))
        raise UsageError(f"No run has {key} = {wanted}.", f"There is: {values}")
    return found


def _fits(value: Value, text: str) -> bool:
    """Whether a text writes a value: 5e-4 is 0.0005."""
    try:
        return float(text) == float(value) if is_number(value) else shown(value) == text
    except ValueError:
        return False


def _refuse_metrics(members: Sequence[Member], metrics: Sequence[str]) -> None:
    """Refuse metrics that not every member has."""
    for name in metrics:
        if not all(name in member.metrics for member in members):
            known = [n for n in members[0].metrics if all(n in member.metrics for member in members)]
            raise UsageError(f"There is no metric '{name}' in all of the runs.", f"Known: {', '.join(known)}")


def _refuse_images(members: Sequence[Member]) -> None:
    """Refuse metrics on different images."""
    first: dict[str, str] = {}
    for member in members:
        first.setdefault(member.data, member.name)
    if len(first) > 1:
        names = " and ".join(list(first.values())[:2])
        raise UsageError(
            f"The runs were evaluated on different images, such as {names}.",
            "Evaluate them on one dataset (vireid evaluate RUN --dataset NAME), or take those of one: "
            "--where data.dataset=NAME",
        )


def _known(name: str, keys: Iterable[str]) -> str:
    """The full key of that name, or of which it is the end.

    Raises:
        UsageError: None or several, or the seed, over which is averaged.
    """
    names = list(keys)
    if name in names:
        return name
    ends = [key for key in names if key.endswith(f".{name}")]
    if len(ends) == 1:
        return ends[0]
    if not ends and name in (SEED, "seed"):
        raise UsageError(
            f"{SEED} can't be chosen: seeds are what a sweep averages over.",
            "Name another key with --key, or leave it out: the one that varies is taken.",
        )
    close = ends or difflib.get_close_matches(name, names, n=3, cutoff=0.3)
    which = "Several keys end so" if ends else "Nearest"
    raise UsageError(f"No recipe of these runs has the key '{name}'.", f"{which}: {', '.join(close)}")


def _only(changes: Mapping[str, list[Value]]) -> str:
    """The one key that varies."""
    if len(changes) == 1:
        return next(iter(changes))
    if not changes:
        raise UsageError("All runs have the same recipe, seeds aside: there is nothing to sweep.", _MORE)
    raise UsageError(f"{len(changes)} keys vary: name one with --key.", _listed(changes))


def _listed(changes: Mapping[str, list[Value]]) -> str:
    """Keys with their values, a line each."""
    lines = [f"  {key}: {', '.join(map(shown, values))}" for key, values in changes.items()]
    more = [f"  … and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "\n".join([*lines[:_LISTED], *more])


def _slice(
    members: Sequence[Member], swept: str, others: Sequence[str]
) -> tuple[list[Member], dict[str, Value], tuple[str, ...]]:
    """Runs between which only the key differs; what is held in them; what changes with it.

    Raises:
        UsageError: Several sets of runs have as many values of the key.
    """

    def signature(member: Member) -> tuple[str, ...]:
        return tuple(text_of(member.settings.get(name, ABSENT)) for name in others)

    at_value: dict[str, set[tuple[str, ...]]] = {}
    values_of: dict[tuple[str, ...], set[str]] = {}
    for member in members:
        value = text_of(member.settings.get(swept, ABSENT))
        at_value.setdefault(value, set()).add(signature(member))
        values_of.setdefault(signature(member), set()).add(value)
    most = max(len(values) for values in values_of.values())
    best = [sign for sign, values in values_of.items() if len(values) == most]
    if all(len(found) == 1 for found in at_value.values()) and (2 * most <= len(at_value) or not others):
        return list(members), {}, tuple(others)
    if most < 2 or len(best) > 1:
        first = next(m for m in members if signature(m) == best[0])
        example = f"{others[0]}={shown(first.settings.get(others[0], ABSENT))}"
        found = varying(members)
        raise UsageError(
            f"Runs with the same {swept} differ in other keys: say which are meant.",
            f"{_listed({name: found[name] for name in others})}\nFor example: --where {example}",
        )
    chosen = [m for m in members if signature(m) == best[0]]
    return chosen, {name: chosen[0].settings.get(name, ABSENT) for name in others}, ()


def _newest(members: Iterable[Member]) -> list[Member]:
    """The last by name of the runs with one recipe and seed: a run trained twice counts once."""
    ordered = sorted(members, key=lambda member: member.name)
    last = {(json.dumps(member.settings, sort_keys=True), member.seed): member for member in ordered}
    return list(last.values())


def _point(group: Sequence[Member], swept: str, metrics: Sequence[str]) -> Point:
    """Mean and spread over the seeds of one value."""
    ordered = sorted(group, key=lambda m: m.seed)
    spreads = {name: SeedSpread.of([m.metrics[name] for m in ordered]) for name in metrics}
    return Point(group[0].settings.get(swept, ABSENT), spreads, tuple(m.seed for m in ordered))
