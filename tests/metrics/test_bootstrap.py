"""Bootstrap intervals and paired tests against plain loops, exact enumeration and closed forms."""

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vireid_cli.errors import UsageError
from vireid_cli.metrics.bootstrap import intervals, paired, sums_by_person


def trials(
    seed: int, shift: float = 0.0, people: int = 12, each: int = 4, count: int = 3
) -> tuple[list[NDArray[Any]], list[dict[str, NDArray[Any]]]]:
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(people) * 7, each)
    ability = rng.uniform(0.1, 0.8, people).repeat(each)
    values = []
    for _ in range(count):
        precision = np.clip(ability + 0.1 * rng.standard_normal(len(pids)) + shift, 0, 1)
        precision[3] = np.nan  # a query without a legal match
        values.append({"mAP": precision, "rank1": np.where(np.isnan(precision), np.nan, precision > 0.5)})
    return [pids] * count, values


def test_mean_runs_over_valid_queries() -> None:
    pids, values = trials(0)
    people = sums_by_person(pids, values)
    expected = np.mean([np.nanmean(row["mAP"]) for row in values])
    assert people.mean()[0] == pytest.approx(expected, abs=1e-12)
    assert people.counts.sum() == 3 * 47


def test_replicates_equal_a_loop_over_drawn_people() -> None:
    """Reference: the same draws, with a plain loop that repeats the queries of each drawn person."""
    pids, values = trials(1, people=5)
    people = sums_by_person(pids, values)
    random = np.random.default_rng(9)
    weights = random.multinomial(5, np.full(5, 0.2), 200)
    drawn = []
    for row in weights:
        means = []
        for labels, value in zip(pids, values, strict=True):
            kept = np.concatenate(
                [value["mAP"][labels == p] for p, n in zip(people.pids, row, strict=True) for _ in range(n)]
            )
            means.append(np.nanmean(kept))
        drawn.append(np.mean(means))
    interval = intervals(people, replicates=200, seed=9)["mAP"]
    np.testing.assert_allclose(interval, np.quantile(drawn, [0.025, 0.975]), rtol=0, atol=1e-12)


def test_interval_has_nominal_coverage() -> None:
    hits = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        ability = rng.normal(0.5, 0.1, 40).repeat(5)
        value = ability + 0.02 * rng.standard_normal(200)
        low, high = intervals(
            sums_by_person([np.arange(40).repeat(5)], [{"mAP": value}]), replicates=300, seed=seed
        )["mAP"]
        hits += low <= 0.5 <= high
    assert 178 <= hits <= 199  # 95 % of 200, within 4 standard deviations


def test_images_of_one_person_are_one_observation() -> None:
    pids, values = trials(2)
    once = intervals(sums_by_person(pids, values))["mAP"]
    doubled = intervals(
        sums_by_person(
            [np.tile(of, 2) for of in pids], [{k: np.tile(v, 2) for k, v in row.items()} for row in values]
        )
    )["mAP"]
    np.testing.assert_allclose(once, doubled, rtol=0, atol=1e-12)


def test_person_without_valid_query_is_excluded() -> None:
    people = sums_by_person([np.array([1, 2, 2])], [{"mAP": np.array([np.nan, 0.5, 0.7])}])
    assert people.pids.tolist() == [2]
    assert intervals(people)["mAP"] == pytest.approx((0.6, 0.6))


def test_p_value_equals_enumeration_of_all_flips() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.uniform(0, 1, 8), rng.uniform(0, 1, 8)
    pids = [np.arange(8)]
    difference = paired(
        sums_by_person(pids, [{"mAP": a}]), sums_by_person(pids, [{"mAP": b}]), replicates=40_000
    )["mAP"]
    sums = [abs(np.dot(s, a - b)) for s in itertools.product((-1, 1), repeat=8)]
    exact = np.mean(np.array(sums) >= abs((a - b).sum()) - 1e-12)
    assert difference.p_value == pytest.approx(exact, abs=0.01)
    assert difference.mean == pytest.approx((a - b).mean(), abs=1e-12)
    assert difference.low <= difference.mean <= difference.high


def test_p_value_of_equal_and_of_different_evaluations() -> None:
    pids, values = trials(4)
    same = paired(sums_by_person(pids, values), sums_by_person(pids, values))["mAP"]
    assert (same.mean, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    _, better = trials(4, shift=0.2)
    difference = paired(sums_by_person(pids, better), sums_by_person(pids, values))["mAP"]
    assert difference.low > 0
    assert difference.p_value < 0.01


def test_paired_rejects_different_queries() -> None:
    pids, values = trials(5)
    others = [of + 1 for of in pids]
    with pytest.raises(UsageError, match="do not have the same queries"):
        paired(sums_by_person(pids, values), sums_by_person(others, values))
