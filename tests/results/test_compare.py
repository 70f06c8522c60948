"""Means and spreads over seeds, by hand."""

from __future__ import annotations

import pytest

from vireid_cli.results.compare import Spread, markdown, table_row
from vireid_cli.results.schema import EvaluationFile, Metric


def evaluation(rank1: float, protocol: str = "all-single-seeded") -> EvaluationFile:
    return EvaluationFile(
        version=1, protocol=protocol, fingerprint={}, trials=1, queries=1, valid_queries=1, gallery=2,
        metrics={"rank1": Metric(mean=rank1, std=None), "mAP": Metric(mean=rank1 / 2, std=None)},
        cmc=[rank1], per_trial={}, chance={"rank1": 0.01, "mAP": 0.02}, reported=[],
    )  # fmt: skip


def test_mean_and_sample_deviation() -> None:
    row = table_row("x", {0: evaluation(0.1), 1: evaluation(0.2), 2: evaluation(0.6)}, 1_500_000)
    assert row.metrics["rank1"].mean == pytest.approx(0.3)
    assert row.metrics["rank1"].std == pytest.approx(0.07**0.5)  # (0.04 + 0.01 + 0.09) / 2
    assert row.metrics["mAP"].mean == pytest.approx(0.15)
    assert row.seeds == (0, 1, 2)


def test_a_single_seed_has_no_spread() -> None:
    assert Spread.of([0.5]) == Spread(0.5, None)
    assert "| x | 1.50 M | 50.0 | 25.0 | 1 |" in markdown([table_row("x", {0: evaluation(0.5)}, 1_500_000)])


def test_protocols_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="mixes protocols"):
        table_row("x", {0: evaluation(0.1), 1: evaluation(0.1, "indoor-single-seeded")}, 1)
