"""Means and spreads over seeds, by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from vireid_cli.metrics.bootstrap import PersonSums, sums_by_person
from vireid_cli.results.compare import (
    Comparison,
    SeedSpread,
    as_json,
    comparison,
    markdown,
    table_row,
    with_differences,
)
from vireid_cli.results.schema import EvaluationFile, Metric


def evaluation(
    rank1: float, protocol: str = "all-single-seeded", fingerprint: Mapping[str, object] | None = None
) -> EvaluationFile:
    return EvaluationFile(
        version=1, protocol=protocol, fingerprint=dict(fingerprint or {}), trials=1,
        queries=1, valid_queries=1, gallery=2,
        metrics={
            name: Metric(mean=mean, std=None, interval=None)
            for name, mean in (("rank1", rank1), ("mAP", rank1 / 2))
        },
        cmc=[rank1], per_trial={}, chance={"rank1": 0.01, "mAP": 0.02}, reported=[],
        interval="", variants=[],
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


def test_common_marks_are_listed_with_the_mark_of_rendered_data() -> None:
    marks = [{"data": "d", "rendered": "version 1", "seed": seed} for seed in (0, 1)]
    result = comparison({"x": {s: evaluation(0.1, fingerprint=m) for s, m in enumerate(marks)}}, {"x": 1})
    assert result.rendered
    assert as_json(result)["fingerprint"] == {"data": "d", "rendered": "version 1"}
    assert not comparison({"x": {0: evaluation(0.1, fingerprint={"data": "d"})}}, {"x": 1}).rendered


def test_rows_of_unlike_precision_are_counted() -> None:
    marks = ("bf16", "fp32", "fp32")
    contents = {s: evaluation(0.1, fingerprint={"precision": one}) for s, one in enumerate(marks)}
    result = comparison({"x": contents}, {"x": 1})
    note = "unlike conditions (bf16: 1 result, fp32: 2 results)"
    assert result.unlike == as_json(result)["unlike"] == note
    assert f"Not strictly comparable: {note}." in markdown(result)
    same = comparison({"x": {1: contents[1], 2: contents[2]}}, {"x": 1})
    assert "unlike" not in as_json(same)
    assert "comparable" not in markdown(same)


def test_rows_of_different_data_are_refused_in_one_table() -> None:
    rows = {label: {0: evaluation(0.1, fingerprint={"data": label})} for label in "ab"}
    with pytest.raises(ValueError, match="different data"):
        comparison(rows, {"a": 1, "b": 1})


def people(values: dict[int, float], matches: int = 2) -> PersonSums:
    """Two metrics that are the same for all queries of a person."""
    pids = [np.repeat(list(values), matches)]
    each = np.repeat(list(values.values()), matches)
    return sums_by_person(pids, [{"rank1": each, "mAP": each / 2}])


def table() -> Comparison:
    """Three rows with two seeds; 'b' is better than 'a' by 0.1 for everybody, 'c' has one seed only."""
    base = {seed: people({1: 0.2 + seed / 10, 2: 0.6}) for seed in (0, 1)}
    sums = {
        "a": base,
        "b": {s: PersonSums(p.pids, p.names, p.sums + 0.1 * p.counts[:, :, None], p.counts)
              for s, p in base.items()},
        "c": {1: people({1: 0.1, 2: 0.3})},
    }  # fmt: skip
    contents = {
        label: {seed: evaluation(float(p.mean()[0])) for seed, p in by_seed.items()}
        for label, by_seed in sums.items()
    }
    parents = {"b": "a", "c": "a"}
    published = {"a": {"rank1": 0.4}, "b": {"rank1": 0.5, "mAP": 0.6}, "c": {"rank1": 0.3}}
    return with_differences(comparison(contents, dict.fromkeys(sums, 1)), sums, parents, published)


def test_differences_are_paired_and_over_common_seeds() -> None:
    result = {row.label: row for row in table().rows}
    assert result["a"].differences == {}
    assert result["a"].parent == ""
    better = result["b"].differences["rank1"]
    assert (better.mean, better.low, better.high) == pytest.approx((0.1, 0.1, 0.1))
    assert result["c"].differences["rank1"].mean == pytest.approx(0.2 - 0.45), "seed 1 alone"
    low, high = result["a"].intervals["rank1"]
    assert 0.2 <= low < result["a"].metrics["rank1"].mean < high <= 0.6


def test_the_order_is_compared_with_the_papers() -> None:
    """b > a > c here and in the papers; mAP has one published value only."""
    agreed = table().agreements
    assert set(agreed) == {"rank1"}
    assert agreed["rank1"].tau == 1.0
    assert agreed["rank1"].methods == 3
    content = as_json(table())
    assert content["kendall_tau"]["rank1"]["tau"] == 1.0
    assert content["rows"][1]["difference"]["parent"] == "a"
    assert content["rows"][1]["published"] == {"rank1": 0.5, "mAP": 0.6}


def test_printed_tables_have_the_differences() -> None:
    text = markdown(table())
    assert "| Δ Rank-1 (95 %) | Δ mAP (95 %) | parent | seeds |" in text
    assert "| +10.0 [10.0, 10.0] | +10.0 [10.0, 10.0] | a | 2 |" in text
    assert "Kendall's tau with the published Rank-1 of 3 rows: 1.00" in text
