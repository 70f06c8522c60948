"""The mixed bootstrap against a plain loop, its coverage, and Kendall's τ against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from vireid_cli.errors import UsageError
from vireid_cli.metrics.bootstrap import PersonSums, sums_by_person
from vireid_cli.metrics.mixed import agreement, kendall_tau, mixed_replicates, percentiles

PEOPLE, TRIALS = 9, 2


def evaluations(methods: int, seeds: int, draw: int = 0) -> list[list[PersonSums]]:
    """Random values of two metrics for queries of nine people; some queries have no match."""
    random = np.random.default_rng(draw)
    pids = [np.repeat(np.arange(PEOPLE), 3) + 10 for _ in range(TRIALS)]
    valid = [random.random(len(trial)) > 0.2 for trial in pids]

    def one() -> PersonSums:
        rows = []
        for known in valid:
            values = np.where(known, random.random(len(known)), np.nan)
            rows.append({"rank1": np.where(known, (values > 0.5).astype(float), np.nan), "mAP": values})
        return sums_by_person(pids, rows)

    return [[one() for _ in range(seeds)] for _ in range(methods)]


def test_replicates_equal_a_loop_over_drawn_people_and_seeds() -> None:
    methods = evaluations(2, 3)
    first = methods[0][0]
    result = mixed_replicates(methods, replicates=20, seed=7)
    assert result.shape == (20, 2, 2)
    size = len(first.pids)
    people = np.random.default_rng(7).multinomial(size, np.full(size, 1 / size), 20)
    seeds = np.random.default_rng([7, 2]).multinomial(2, np.full(3, 1 / 3), 20)
    for draw in range(20):
        drawn_people = [i for i in range(size) for _ in range(people[draw, i])]
        drawn_seeds = [i for i in range(3) for _ in range(seeds[draw, i])]
        assert len(drawn_seeds) == 2, "one less than there are"
        for method, runs in enumerate(methods):
            for metric in range(2):
                values = []
                for seed in drawn_seeds:
                    trials = []
                    for trial in range(TRIALS):
                        total = sum(runs[seed].sums[trial, i, metric] for i in drawn_people)
                        count = sum(runs[seed].counts[trial, i] for i in drawn_people)
                        if count:
                            trials.append(total / count)
                    values.append(sum(trials) / len(trials))
                assert result[draw, method, metric] == pytest.approx(sum(values) / len(values))


def test_differences_are_paired() -> None:
    """A method that is better by the same amount for everybody and every seed has no spread."""
    (runs,) = evaluations(1, 3)
    better = [PersonSums(r.pids, r.names, r.sums + 0.1 * r.counts[:, :, None], r.counts) for r in runs]
    draws = mixed_replicates([better, runs], replicates=50)
    np.testing.assert_allclose(draws[:, 0] - draws[:, 1], 0.1)


def test_a_single_seed_is_the_bootstrap_over_people() -> None:
    from vireid_cli.metrics.bootstrap import intervals

    runs = evaluations(1, 1)
    bounds = percentiles(mixed_replicates(runs)[:, 0])
    for column, (name, expected) in enumerate(intervals(runs[0][0]).items()):
        assert bounds[:, column] == pytest.approx(expected), name


def test_more_variable_seeds_widen_the_interval() -> None:
    (runs,) = evaluations(1, 4)
    apart = [
        PersonSums(r.pids, r.names, r.sums + shift * r.counts[:, :, None], r.counts)
        for r, shift in zip(runs, (-0.3, 0.3, -0.3, 0.3), strict=True)
    ]
    widths = [np.diff(percentiles(mixed_replicates([side])[:, 0, 1]))[0] for side in (runs, apart)]
    assert widths[1] > widths[0] + 0.2


def test_the_variance_of_the_seeds_mean_is_unbiased() -> None:
    """With equal people, the variance over draws is s² / S."""
    shifts = np.array([0.0, 0.1, 0.5])
    counts = np.ones((1, 4))
    runs = [PersonSums(np.arange(4), ("mAP",), np.full((1, 4, 1), shift), counts) for shift in shifts]
    draws = mixed_replicates([runs], replicates=40_000)[:, 0, 0]
    assert draws.var() == pytest.approx(shifts.var(ddof=1) / 3, rel=0.03)


def test_evaluations_of_other_people_are_refused() -> None:
    (runs,) = evaluations(1, 2)
    (other,) = evaluations(1, 2, draw=1)
    with pytest.raises(UsageError, match="same queries"):
        mixed_replicates([runs, other])
    with pytest.raises(ValueError, match="same number of seeds, at least 1"):
        mixed_replicates([runs, runs[:1]])


@pytest.mark.parametrize("ties", [False, True])
def test_tau_is_scipys(ties: bool) -> None:
    random = np.random.default_rng(3)
    other = random.permutation(8).astype(float)
    rows = random.integers(0, 4 if ties else 10_000, (30, 8)).astype(float)
    if ties:
        other[2] = other[3]
    expected = [kendalltau(row, other).statistic for row in rows]
    np.testing.assert_allclose(kendall_tau(rows, other), expected)


def test_tau_of_equal_values_is_undefined() -> None:
    assert np.isnan(kendall_tau(np.ones((1, 4)), np.arange(4.0))).all()
    assert agreement(np.arange(4.0), np.ones(4), np.ones((5, 4))) is None
    assert agreement(np.arange(2.0), np.arange(2.0), np.ones((5, 2))) is None


def test_agreement_has_scipys_value_and_the_percentiles_of_a_loop() -> None:
    random = np.random.default_rng(5)
    measured, published = random.random(7), random.random(7)
    draws = measured + random.normal(0, 0.1, (200, 7))
    result = agreement(measured, published, draws)
    assert result is not None
    expected = kendalltau(measured, published)
    assert result.tau == pytest.approx(expected.statistic)
    assert result.p_value == pytest.approx(expected.pvalue)
    taus = [kendalltau(row, published).statistic for row in draws]
    assert (result.low, result.high) == pytest.approx(tuple(np.quantile(taus, [0.025, 0.975])))
    assert result.methods == 7
