"""Intervals and differences of verification rates against a loop over resampled people."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vireid_cli.errors import UsageError
from vireid_cli.metrics import verification_intervals
from vireid_cli.metrics.verification import (
    FAR_READINGS,
    FarReading,
    operating_points,
    split_pairs,
    verify_scores,
)
from vireid_cli.metrics.verification_intervals import PairScores, paired_rates, rate_intervals

FARS = (0.05, 0.2)


def matrix(
    seed: int, people: int = 6, each: int = 4, lift: float = 1.0, levels: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores (Q, G) and pids; ``levels`` > 0 creates ties. One query person is not in the gallery."""
    rng = np.random.default_rng(seed)
    q_pids, g_pids = np.repeat(np.arange(people + 1), each), np.tile(np.arange(people), 3)
    scores = rng.standard_normal((len(q_pids), len(g_pids))) + lift * (q_pids[:, None] == g_pids)
    return (np.round(scores * levels) if levels else scores), q_pids, g_pids


def by_loop(
    trials: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    replicates: int,
    seed: int,
    reading: FarReading = "not-exceeded",
) -> np.ndarray:
    """Compute rates (B, F) of resampled people, by repeating rows and applying the definition."""
    people = np.unique(np.concatenate([q for _, q, _ in trials]))
    random = np.random.default_rng(seed)
    weights = random.multinomial(len(people), np.full(len(people), 1 / len(people)), replicates)
    drawn = []
    for row in weights:
        rates = []
        for scores, q_pids, g_pids in trials:
            resampled = np.repeat(np.arange(len(q_pids)), row[np.searchsorted(people, q_pids)])
            same = q_pids[resampled][:, None] == g_pids
            if same.any():
                points = operating_points(scores[resampled][same], scores[resampled][~same], FARS, reading)
                rates.append([point.rate for point in points])
        drawn.append(np.mean(rates, axis=0) if rates else np.zeros(len(FARS)))
    return np.array(drawn)


@pytest.mark.parametrize("reading", FAR_READINGS)
@pytest.mark.parametrize("levels", [0, 2])
@pytest.mark.parametrize("kept", [1, 8])
def test_replicates_equal_a_loop_over_resampled_people(
    monkeypatch: pytest.MonkeyPatch, levels: int, kept: int, reading: FarReading
) -> None:
    monkeypatch.setattr(
        verification_intervals, "_KEPT", kept
    )  # 1: some draws need scores that were not ranked at first
    trials = [matrix(1, levels=levels), matrix(2, people=4, levels=levels)]
    expected = np.quantile(by_loop(trials, 150, 7, reading), [0.025, 0.975], axis=0)
    pairs = [PairScores.of(*trial) for trial in trials]
    bounds = rate_intervals(pairs, FARS, reading=reading, replicates=150, seed=7)
    np.testing.assert_allclose(np.transpose(bounds), expected, rtol=0, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.01, 0.1, 0.29, 0.5, 1.0]),
    st.sampled_from(list(FAR_READINGS)),
)
def test_weights_equal_repeated_rows(seed: int, levels: int, far: float, reading: FarReading) -> None:
    scores, q_pids, g_pids = matrix(seed, levels=levels)
    weights = np.random.default_rng(seed).integers(0, 4, (3, 7))
    weights[:, 0] += 1  # at least one genuine and one impostor pair
    ranked = verification_intervals._Ranked(PairScores.of(scores, q_pids, g_pids), np.arange(7), (far,))
    for row, rate in zip(weights, ranked.rates(weights, (far,), reading)[:, 0], strict=True):
        repeated = np.repeat(np.arange(len(q_pids)), row[q_pids])
        genuine, impostor, _ = split_pairs(scores[repeated], q_pids[repeated], g_pids)
        (point,) = operating_points(genuine, impostor, (far,), reading)
        assert rate == pytest.approx(point.rate, abs=1e-12)


def test_difference_of_rates() -> None:
    better, worse = matrix(3, lift=3.0), matrix(4, lift=0.5)
    differences = paired_rates([PairScores.of(*better)], [PairScores.of(*worse)], FARS, seed=7)
    drawn = by_loop([better], 2000, 7) - by_loop([worse], 2000, 7)
    for column, difference in enumerate(differences):
        rates = [verify_scores(*side, FARS).points[column].rate for side in (better, worse)]
        assert difference.mean == pytest.approx(rates[0] - rates[1], abs=1e-12)
        low, high = np.quantile(drawn[:, column], [0.025, 0.975])
        assert (difference.low, difference.high) == pytest.approx((low, high), abs=1e-12)
        assert difference.low > 0
        assert difference.p_value < 0.06  # six people: the minimum is 2 / 64


def test_difference_of_nearest_rates() -> None:
    better, worse = matrix(3, lift=3.0), matrix(4, lift=0.5)
    pairs = [PairScores.of(*side) for side in (better, worse)]
    differences = paired_rates([pairs[0]], [pairs[1]], FARS, reading="nearest", seed=7)
    drawn = by_loop([better], 2000, 7, "nearest") - by_loop([worse], 2000, 7, "nearest")
    points = [operating_points(side.genuine, side.impostor, FARS, "nearest") for side in pairs]
    for column, difference in enumerate(differences):
        expected = points[0][column].rate - points[1][column].rate
        assert difference.mean == pytest.approx(expected, abs=1e-12)
        low, high = np.quantile(drawn[:, column], [0.025, 0.975])
        assert (difference.low, difference.high) == pytest.approx((low, high), abs=1e-12)


def test_equal_evaluations_have_no_difference() -> None:
    one = [PairScores.of(*matrix(5))]
    for difference in paired_rates(one, one, FARS, replicates=200):
        assert (difference.mean, difference.low, difference.high, difference.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_images_of_one_person_are_one_observation() -> None:
    scores, q_pids, g_pids = matrix(6)
    once = rate_intervals([PairScores.of(scores, q_pids, g_pids)], FARS)
    twice = rate_intervals([PairScores.of(np.tile(scores, (2, 1)), np.tile(q_pids, 2), g_pids)], FARS)
    np.testing.assert_allclose(once, twice, rtol=0, atol=0.02)  # floor(f · 2m) may accept one more pair


def test_paired_rates_rejects_different_pairs() -> None:
    scores, q_pids, g_pids = matrix(8)
    one = [PairScores.of(scores, q_pids, g_pids)]
    with pytest.raises(UsageError, match="same queries"):
        paired_rates(one, [PairScores.of(scores, q_pids + 1, g_pids + 1)], FARS)
    with pytest.raises(UsageError, match="same queries"):  # the same genuine pairs, other impostors
        paired_rates(one, [PairScores.of(scores[:-1], q_pids[:-1], g_pids)], FARS)
