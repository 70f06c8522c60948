"""Several runs as one table: mean and spread over seeds, beside what the networks cost.

Pure functions of what run folders say; no torch.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    """

    label: str
    seeds: tuple[int, ...]
    metrics: dict[str, SeedSpread]
    parameters: int
    chance: float
    evaluations: tuple[str | None, ...] = ()


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
    """

    rows: tuple[ComparisonRow, ...]
    fingerprint: dict[str, Any]

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


def as_json(table: Comparison) -> dict[str, Any]:
    """The table for ``study.json``; metrics in [0, 1]."""
    return {"fingerprint": table.fingerprint, "rows": [_row_as_json(row) for row in table.rows]}


def _row_as_json(row: ComparisonRow) -> dict[str, Any]:
    return {
        "label": row.label,
        "seeds": list(row.seeds),
        "evaluations": list(row.evaluations),
        "parameters": row.parameters,
        "chance_rank1": row.chance,
        "metrics": {name: {"mean": s.mean, "std": s.std} for name, s in row.metrics.items()},
    }


def percent_spread(spread: SeedSpread) -> str:
    """``12.34 ± 0.56``, in percent."""
    mean = f"{100 * spread.mean:.1f}"
    return mean if spread.std is None else f"{mean} ± {100 * spread.std:.1f}"


def markdown(table: Comparison) -> str:
    """The table in Markdown, metrics in percent, mean ± standard deviation over seeds."""
    names = list(table.rows[0].metrics)
    heads = ["row", "parameters", *(name.replace("rank", "Rank-") for name in names), "seeds"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in table.rows:
        cells = [row.label, f"{row.parameters / 1e6:.2f} M"]
        cells += [percent_spread(row.metrics[name]) for name in names]
        lines.append("| " + " | ".join([*cells, str(len(row.seeds))]) + " |")
    return "\n".join(lines)
