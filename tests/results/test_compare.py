"""Means and spreads over seeds, by hand."""

from __future__ import annotations

import pytest

from vireid_cli.results.compare import SeedSpread, as_json, comparison, markdown, table_row
from vireid_cli.results.schema import EvaluationFile, Metric


def evaluation(
    rank1: float, protocol: str = "all-single-seeded", fingerprint: dict[str, object] | None = None
) -> EvaluationFile:
    return EvaluationFile(
        version=1, protocol=protocol, fingerprint=fingerprint or {}, trials=1,
        queries=1, valid_queries=1, gallery=2,
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
    assert SeedSpread.of([0.5]) == SeedSpread(0.5, None)
    assert "| x | 1.50 M | 50.0 | 25.0 | 1 |" in markdown(
        comparison({"x": {0: evaluation(0.5)}}, {"x": 1_500_000})
    )


def test_protocols_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="mixes protocols"):
        table_row("x", {0: evaluation(0.1), 1: evaluation(0.1, "indoor-single-seeded")}, 1)


def test_what_all_have_in_common_is_said_with_the_mark_of_rendered_data() -> None:
    marks = [{"data": "d", "rendered": "version 1", "seed": seed} for seed in (0, 1)]
    found = comparison({"x": {s: evaluation(0.1, fingerprint=m) for s, m in enumerate(marks)}}, {"x": 1})
    assert found.rendered
    assert as_json(found)["fingerprint"] == {"data": "d", "rendered": "version 1"}
    assert not comparison({"x": {0: evaluation(0.1, fingerprint={"data": "d"})}}, {"x": 1}).rendered


def test_rows_of_different_data_are_not_put_in_one_table() -> None:
    rows = {label: {0: evaluation(0.1, fingerprint={"data": label})} for label in "ab"}
    with pytest.raises(ValueError, match="different data"):
        comparison(rows, {"a": 1, "b": 1})
