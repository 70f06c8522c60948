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
from vireid_cli.results.unlike import note

SHOWN = ("rank1", "rank10", "mAP", "mINP")
"""Metrics of a comparison table, if the protocol has them."""

DIFFERENCES = ("rank1", "mAP")
"""Metrics with a column of differences in a printed table."""


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """Mean and spread of a metric over repetitions.

    Attributes:
        mean: Mean over the repetitions.
        std: Sample standard deviation; None for a single repetition.
    """

    mean: float
    std: float | None

    @staticmethod
    def of(values: Sequence[float]) -> SeedSpread:
        """Compute mean and sample standard deviation of at least one value."""
        return SeedSpread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One row of a comparison.

    Attributes:
        label: Printed label.
        seeds: Evaluated seeds.
        metrics: Mean and spread over seeds of the mean over trials, by metric, in [0, 1].
        parameters: Number of parameters of the network, including classifiers and fixed ones.
        chance: Rank-1 of a random ranking, in [0, 1].
        evaluations: Identifier of each seed's evaluation; None in files of early versions.
        intervals: Interval over draws of people and seeds by metric, in [0, 1].
        parent: Label of the row that ``differences`` refer to, or empty.
        differences: This row minus its parent, by metric.
        published: Value in the paper by metric, in [0, 1].
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
    """Average the evaluations of one row over its seeds.

    Args:
        label: Printed label.
        evaluations: Content of ``metrics.json`` by seed.
        parameters: Number of parameters of the network.

    Raises:
        ValueError: There is no evaluation, or the evaluations have different protocols.
    """
    contents = list(evaluations.values())
    if len({content["protocol"] for content in contents}) != 1:
        raise ValueError(f"row '{label}' mixes protocols, or has no evaluation")
    names = [name for name in SHOWN if name in contents[0]["metrics"]]
    spreads = {name: SeedSpread.of([c["metrics"][name]["mean"] for c in contents]) for name in names}
    identifiers = tuple(content.get("identifier") for content in contents)
    chance = contents[0]["chance"]["rank1"]
    return ComparisonRow(label, tuple(evaluations), spreads, parameters, chance, identifiers)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison table of one protocol.

    Attributes:
        rows: Rows from top to bottom.
        fingerprint: Keys and values that are equal in the fingerprints of all rows and seeds.
        agreements: Agreement of the order of rows with the order of their published values, by metric.
        unlike: Note about results that were measured under unlike conditions; empty if there are none.
    """

    rows: tuple[ComparisonRow, ...]
    fingerprint: dict[str, Any]
    agreements: dict[str, Agreement] = field(default_factory=dict)
    unlike: str = ""

    @property
    def rendered(self) -> bool:
        """Whether the images are rendered."""
        return "rendered" in self.fingerprint


def comparison(
    evaluations: Mapping[str, Mapping[int, EvaluationFile]], parameters: Mapping[str, int]
) -> Comparison:
    """Build the table of one protocol.

    Args:
        evaluations: Content of ``metrics.json`` by label and seed.
        parameters: Number of parameters of the network by label.

    Raises:
        ValueError: The evaluations have different data.
    """
    rows = tuple(table_row(label, by_seed, parameters[label]) for label, by_seed in evaluations.items())
    marks = [content["fingerprint"] for by_seed in evaluations.values() for content in by_seed.values()]
    if len({str(mark.get("data")) for mark in marks}) > 1:
        raise ValueError("the rows have evaluations on different data, which are not comparable")
    shared = {key: value for key, value in marks[0].items() if all(mark.get(key) == value for mark in marks)}
    return Comparison(rows, shared, unlike=note(marks))


def with_differences(
    table: Comparison,
    people: Mapping[str, BySeed],
    parents: Mapping[str, str],
    published: Mapping[str, Mapping[str, float]],
) -> Comparison:
    """Add intervals, differences from parent rows, and the agreement with published values.

    Args:
        table: The table.
        people: Per-person sums of the evaluations, by label and seed.
        parents: Label of the parent by label.
        published: Values in the paper, in [0, 1], by label and metric.

    Raises:
        UsageError: The rows have evaluations on different queries.
    """
    rows = []
    for row in table.rows:
        own, parent = people[row.label], people.get(parents.get(row.label, ""))
        kept = set(row.metrics)
        bounds = {name: pair for name, pair in differences.intervals_of(own).items() if name in kept}
        difference = differences.differences_of(own, parent) if parent is not None else {}
        rows.append(
            replace(
                row,
                intervals=bounds,
                parent=parents[row.label] if difference else "",
                differences={name: value for name, value in difference.items() if name in kept},
                published=dict(published.get(row.label, {})),
            )
        )
    return replace(table, rows=tuple(rows), agreements=differences.agreements_of(people, published))


def as_json(table: Comparison) -> dict[str, Any]:
    """Convert the table to JSON values for ``study.json``; metrics in [0, 1]."""
    content: dict[str, Any] = {
        "fingerprint": table.fingerprint,
        "interval": differences.METHOD,
        "rows": [_row_as_json(row) for row in table.rows],
    }
    if table.unlike:
        content["unlike"] = table.unlike
    if table.agreements:
        content["kendall_tau"] = {
            name: {
                "tau": agreement.tau,
                "interval": [agreement.low, agreement.high],
                "p_value": agreement.p_value,
                "rows": agreement.methods,
            }
            for name, agreement in table.agreements.items()
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


def percent_spread(spread: SeedSpread) -> str:
    """Format mean and spread in percent: ``12.3 ± 0.6``."""
    mean = f"{100 * spread.mean:.1f}"
    return mean if spread.std is None else f"{mean} ± {100 * spread.std:.1f}"


def percent_difference(difference: RowDifference | None) -> str:
    """Format a difference in percentage points: ``+1.2 [0.4, 2.0]``; – for None."""
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
        f"Kendall's tau with the published {name.replace('rank', 'Rank-')} of {order.methods} rows: "
        f"{order.tau:.2f} [{order.low:.2f}, {order.high:.2f}], p = {order.p_value:.3f}"
        for name, order in table.agreements.items()
    ]


def notes(table: Comparison) -> list[str]:
    """Sentences below a table: unlike conditions, agreement with the published order."""
    unlike = [f"Not strictly comparable: {table.unlike}."] if table.unlike else []
    return [*unlike, *agreement_lines(table)]


def markdown(table: Comparison) -> str:
    """Format the table as Markdown: metrics in percent, mean ± standard deviation over seeds, differences."""
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
    return "\n".join([*lines, *(f"\n{line}" for line in notes(table))])
