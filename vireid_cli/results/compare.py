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
class Spread:
    """A figure over repetitions.

    Attributes:
        mean: Over the repetitions.
        std: Their sample standard deviation; None for a single one.
    """

    mean: float
    std: float | None

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """Mean and sample standard deviation of at least one value."""
        return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a comparison.

    Attributes:
        label: As printed.
        seeds: Seeds that are measured.
        metrics: Metric → mean over seeds of the mean over trials, and its spread over seeds; in [0, 1].
        parameters: Trainable and fixed parameters of the network, classifiers included.
        chance: Rank-1 of a random ranking, in [0, 1].
    """

    label: str
    seeds: tuple[int, ...]
    metrics: dict[str, Spread]
    parameters: int
    chance: float


def table_row(label: str, evaluations: Mapping[int, EvaluationFile], parameters: int) -> TableRow:
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
    spreads = {name: Spread.of([content["metrics"][name]["mean"] for content in found]) for name in names}
    return TableRow(label, tuple(evaluations), spreads, parameters, found[0]["chance"]["rank1"])


def as_json(rows: Sequence[TableRow]) -> list[dict[str, Any]]:
    """The table for ``study.json``; metrics in [0, 1]."""
    return [
        {
            "label": row.label,
            "seeds": list(row.seeds),
            "parameters": row.parameters,
            "chance_rank1": row.chance,
            "metrics": {name: {"mean": s.mean, "std": s.std} for name, s in row.metrics.items()},
        }
        for row in rows
    ]


def percent(spread: Spread) -> str:
    """``12.34 ± 0.56``, in percent."""
    mean = f"{100 * spread.mean:.1f}"
    return mean if spread.std is None else f"{mean} ± {100 * spread.std:.1f}"


def markdown(rows: Sequence[TableRow]) -> str:
    """The table in Markdown, metrics in percent, mean ± standard deviation over seeds."""
    names = list(rows[0].metrics)
    heads = ["row", "parameters", *(name.replace("rank", "Rank-") for name in names), "seeds"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = [row.label, f"{row.parameters / 1e6:.2f} M"]
        cells += [percent(row.metrics[name]) for name in names]
        lines.append("| " + " | ".join([*cells, str(len(row.seeds))]) + " |")
    return "\n".join(lines)
