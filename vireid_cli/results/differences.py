"""Intervals, differences from a parent row, and agreement with published tables, for a comparison.

All three come from the mixed bootstrap over people and seeds (``metrics.mixed``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vireid_cli.metrics.bootstrap import LEVEL, REPLICATES, PersonSums
from vireid_cli.metrics.mixed import Agreement, agreement, mixed_replicates, percentiles

BySeed = Mapping[int, PersonSums]
"""Per-person sums of one row, by training seed."""

METHOD = (
    f"{LEVEL:.0%} mixed percentile bootstrap: people and seeds drawn again ({REPLICATES} draws), paired over "
    "rows, galleries fixed"
)


def resampled_units(seeds: int) -> str:
    """Name what the intervals are over: people alone if no row has more than one seed."""
    return "people and seeds" if seeds > 1 else "people"


@dataclass(frozen=True, slots=True)
class RowDifference:
    """Difference of one metric between a row and its parent, over their common seeds.

    Attributes:
        mean: Row minus parent.
        low, high: Bounds of the interval over draws of people and seeds.
    """

    mean: float
    low: float
    high: float


def intervals_of(row: BySeed) -> dict[str, tuple[float, float]]:
    """Compute the interval of each metric of a row, keyed by its name."""
    evaluations = list(row.values())
    low, high = percentiles(mixed_replicates([evaluations])[:, 0])
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(evaluations[0].names)}


def differences_of(row: BySeed, parent: BySeed) -> dict[str, RowDifference]:
    """Compute the paired difference of each metric; empty if the rows have no seed in common.

    Raises:
        UsageError: The rows have different queries.
    """
    sides = _on_common_seeds([row, parent])
    if not sides:
        return {}
    draws = mixed_replicates(sides)
    low, high = percentiles(draws[:, 0] - draws[:, 1])
    mean = _mean(sides[0]) - _mean(sides[1])
    return {
        name: RowDifference(float(mean[i]), float(low[i]), float(high[i]))
        for i, name in enumerate(sides[0][0].names)
    }


def agreements_of(
    rows: Mapping[str, BySeed], published: Mapping[str, Mapping[str, float]]
) -> dict[str, Agreement]:
    """Compare the order of the rows with their published order, metric by metric.

    Args:
        rows: Per-person sums by label and seed.
        published: Published values by label and metric; rows without a value are ignored.

    Returns:
        Agreement by metric; metrics with fewer than three published rows are missing.
    """
    agreements: dict[str, Agreement] = {}
    for metric in ("rank1", "mAP"):
        labels = [label for label in rows if metric in published.get(label, {})]
        sides = _on_common_seeds([rows[label] for label in labels])
        if not sides:
            continue
        column = sides[0][0].names.index(metric)
        measured = np.array([_mean(side)[column] for side in sides])
        theirs = np.array([published[label][metric] for label in labels])
        agreed = agreement(measured, theirs, mixed_replicates(sides)[:, :, column])
        if agreed is not None:
            agreements[metric] = agreed
    return agreements


def _on_common_seeds(rows: Sequence[BySeed]) -> list[list[PersonSums]]:
    """Return the evaluations of each row on the seeds that all rows have; empty if there are none."""
    common = sorted(set.intersection(*(set(row) for row in rows))) if rows else []
    return [[row[seed] for seed in common] for row in rows] if common else []


def _mean(evaluations: Sequence[PersonSums]) -> np.ndarray:
    """Mean of each metric over seeds, (M,)."""
    mean: np.ndarray = np.mean([people.mean() for people in evaluations], axis=0)
    return mean
