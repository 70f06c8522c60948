"""Several runs as one table: mean, spread over seeds, differences between rows, size of the networks.

Pure functions of the files of run folders; no torch.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vireid_cli.metrics.mixed import Agreement
from vireid_cli.results import differences
from vireid_cli.results.differences import BySeed, RowDifference
from vireid_cli.results.schema import EvaluationFile

SHOWN = ("rank1", "rank10", "mAP", "mINP")
"""Metrics of a comparison table, where the protocol has them."""


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """A metric over repetitions.

    Attributes:
        mean: Over the repetitions.
        std: Their sample standard deviation; None for a single one.
    """

    mean: float
    std: float | None

    @staticmethod
    def of(values: Sequence[float]) -> SeedSpread:
        """Mean and sample standard deviation of at least one value."""
        return SeedSpread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One row of a comparison.

    Attributes:
        label: As printed.
        seeds: Seeds that are measured.
        metrics: Metric → mean over seeds of the mean over trials, and its spread over seeds; in [0, 1].
        parameters: Trainable and fixed parameters of the network, classifiers included.
        chance: Rank-1 of a random ranking, in [0, 1].
        evaluations: Identifier of each seed's evaluation; None for results of before there were identifiers.
        intervals: Metric → interval over draws of people and seeds, in [0, 1].
        parent: Label of the row that ``differences`` refer to; empty if there is none.
        differences: Metric → this row minus its parent.
        published: Metric → value in the paper, in [0, 1].
    """

    label: str
    seeds: tuple[int, ...]
    metrics: dict[str, SeedSpread]
    parameters: int
    chance: float
    evaluations: tuple[str | None, ...] = ()
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    parent: str = ""
    differences: dict[str, RowDifference] = field(default_factory=dict)
    published: dict[str, float] = field(default_factory=dict)


def table_row(label: str, evaluations: Mapping[int, EvaluationFile], parameters: int) -> ComparisonRow:
    """Average one row's evaluations under one protocol over its seeds.

    Args:
        label: As printed.
        evaluations: Seed → ``metrics.json``.
        parameters: Of the network.

    Raises:
        ValueError: No evaluation, or evaluations under different protocols.
    """
    found = list(evaluations.values())
    if len({content["protocol"] for content in found}) != 1:
        raise ValueError(f"row '{label}' mixes protocols, or has no evaluation")
    names = [name for name in SHOWN if name in found[0]["metrics"]]
    spreads = {name: SeedSpread.of([content["metrics"][name]["mean"] for content in found]) for name in names}
    identifiers = tuple(content.get("identifier") for content in found)
    chance = found[0]["chance"]["rank1"]
    return ComparisonRow(label, tuple(evaluations), spreads, parameters, chance, identifiers)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One protocol's table.

    Attributes:
        rows: From top to bottom.
        fingerprint: What all rows and seeds have in common of what was measured, the data's mark included.
        agreements: Metric → agreement of the order of rows with the order of their published values.
    """

    rows: tuple[ComparisonRow, ...]
    fingerprint: dict[str, Any]
    agreements: dict[str, Agreement] = field(default_factory=dict)

    @property
    def rendered(self) -> bool:
        """Whether any of it was measured on rendered images."""
        return "rendered" in self.fingerprint


def comparison(
    evaluations: Mapping[str, Mapping[int, EvaluationFile]], parameters: Mapping[str, int]
) -> Comparison:
    """Put one protocol's table together.

    Args:
        evaluations: Label → seed → ``metrics.json``.
        parameters: Label → parameters of the network.

    Raises:
        ValueError: Rows that were measured on different data.
    """
    rows = tuple(table_row(label, by_seed, parameters[label]) for label, by_seed in evaluations.items())
    marks = [content["fingerprint"] for by_seed in evaluations.values() for content in by_seed.values()]
    if len({str(mark.get("data")) for mark in marks}) > 1:
        raise ValueError("rows were evaluated on different data: metrics can't stand in one table")
    shared = {key: value for key, value in marks[0].items() if all(mark.get(key) == value for mark in marks)}
    return Comparison(rows, shared)


def with_differences(
    table: Comparison,
    people: Mapping[str, BySeed],
    parents: Mapping[str, str],
    published: Mapping[str, Mapping[str, float]],
) -> Comparison:
    """Add intervals, differences from parent rows, and the agreement with published values.

    Args:
        table: The table.
        people: Label → seed → per-person sums of the row's evaluation.
        parents: Label → label of the parent.
        published: Label → metric → value in the paper, in [0, 1].

    Raises:
        UsageError: Rows were evaluated on different queries.
    """
    rows = []
    for row in table.rows:
        own, parent = people[row.label], people.get(parents.get(row.label, ""))
        kept = set(row.metrics)
        bounds = {name: pair for name, pair in differences.intervals_of(own).items() if name in kept}
        found = differences.differences_of(own, parent) if parent is not None else {}
        rows.append(
            replace(
                row,
                intervals=bounds,
                parent=parents[row.label] if found else "",
                differences={name: value for name, value in found.items() if name in kept},
                published=dict(published.get(row.label, {})),
            )
        )
    return replace(table, rows=tuple(rows), agreements=differences.agreements_of(people, published))


def as_json(table: Comparison) -> dict[str, Any]:
    """The table for ``study.json``; metrics in [0, 1]."""
    content: dict[str, Any] = {
        "fingerprint": table.fingerprint,
        "interval": differences.METHOD,
        "rows": [_row_as_json(row) for row in table.rows],
    }
    if table.agreements:
        content["kendall_tau"] = {
            name: {
                "tau": found.tau,
                "interval": [found.low, found.high],
                "p_value": found.p_value,
                "rows": found.methods,
            }
            for name, found in table.agreements.items()
        }
    return content


def _row_as_json(row: ComparisonRow) -> dict[str, Any]:
    content: dict[str, Any] = {
        "label": row.label,
        "seeds": list(row.seeds),
        "evaluations": list(row.evaluations),
        "parameters": row.parameters,
        "chance_rank1": row.chance,
        "metrics": {
            name: {"mean": s.mean, "std": s.std, "interval": list(row.intervals.get(name, ())) or None}
            for name, s in row.metrics.items()
        },
    }
    if row.differences:
        content["difference"] = {
            "parent": row.parent,
            "metrics": {
                name: {"mean": d.mean, "interval": [d.low, d.high]} for name, d in row.differences.items()
            },
        }
    if row.published:
        content["published"] = row.published
    return content


DIFFERENCES = ("rank1", "mAP")
"""Metrics whose differences a printed table shows."""


def percent_spread(spread: SeedSpread) -> str:
    """``12.34 ± 0.56``, in percent."""
    mean = f"{100 * spread.mean:.1f}"
    return mean if spread.std is None else f"{mean} ± {100 * spread.std:.1f}"


def percent_difference(difference: RowDifference | None) -> str:
    """``+1.2 [0.4, 2.0]``, in percentage points; a dash for None."""
    if difference is None:
        return "–"
    mean, low, high = (100 * value for value in (difference.mean, difference.low, difference.high))
    return f"{mean:+.1f} [{low:.1f}, {high:.1f}]"


def difference_columns(table: Comparison) -> tuple[str, ...]:
    """Metrics with a column of differences in a printed table; empty if no row has a parent."""
    return tuple(name for name in DIFFERENCES if any(name in row.differences for row in table.rows))


def agreement_lines(table: Comparison) -> list[str]:
    """One line per metric about the agreement with the published order."""
    return [
        f"Kendall's tau with the published {name.replace('rank', 'Rank-')} of {found.methods} rows: "
        f"{found.tau:.2f} [{found.low:.2f}, {found.high:.2f}], p = {found.p_value:.3f}"
        for name, found in table.agreements.items()
    ]


def markdown(table: Comparison) -> str:
    """The table in Markdown: metrics in percent, mean ± standard deviation over seeds, differences."""
    names, compared = list(table.rows[0].metrics), difference_columns(table)
    heads = ["row", "parameters", *(name.replace("rank", "Rank-") for name in names)]
    heads += [f"Δ {name.replace('rank', 'Rank-')} (95 %)" for name in compared]
    heads += [*(["parent"] if compared else []), "seeds"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in table.rows:
        cells = [row.label, f"{row.parameters / 1e6:.2f} M"]
        cells += [percent_spread(row.metrics[name]) for name in names]
        cells += [percent_difference(row.differences.get(name)) for name in compared]
        cells += [*([row.parent or "–"] if compared else []), str(len(row.seeds))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, *(f"\n{line}" for line in agreement_lines(table))])
