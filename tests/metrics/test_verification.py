"""Verification rates against hand-computed values and a direct definition."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vireid_cli.errors import DataError, UsageError
from vireid_cli.metrics.verification import FAR_READINGS, operating_points, verify_scores


def test_not_exceeded_by_hand() -> None:
    genuine = np.array([0.9, 0.8, 0.4, 0.2])
    impostor = np.array([0.7, 0.5, 0.3, 0.1])
    none, quarter, half, every = operating_points(genuine, impostor, (0.0, 0.25, 0.5, 1.0))
    assert (none.rate, none.far_reached, none.threshold) == (2 / 4, 0.0, 0.8)
    assert (quarter.rate, quarter.far_reached, quarter.threshold) == (2 / 4, 1 / 4, 0.7)
    assert (half.rate, half.far_reached, half.threshold) == (3 / 4, 2 / 4, 0.4)
    assert (every.rate, every.far_reached, every.threshold) == (1.0, 1.0, 0.1)


def test_best_impostor_above_all_genuine_pairs_accepts_none() -> None:
    (point,) = operating_points(np.array([0.1, 0.2]), np.array([0.9, 0.1]), (0.001,))
    assert (point.rate, point.far_reached, point.threshold) == (0.0, 0.0, np.inf)


def test_allowed_number_is_computed_in_decimals() -> None:
    # 0.29 * 100 is 28.999999999999996 in binary: 29 impostors are allowed, not 28
    impostor = np.arange(100.0)
    (point,) = operating_points(np.array([70.5, 71.5]), impostor, (0.29,))
    assert (point.rate, point.far_reached) == (1.0, 0.29)


scores = st.lists(st.integers(0, 12), min_size=1, max_size=30)


@settings(max_examples=150, deadline=None)
@given(scores, scores, st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 1.0]))
def test_not_exceeded_equals_search_over_thresholds(
    accepted: list[int], refused: list[int], far: float
) -> None:
    genuine, impostor = np.array(accepted, float), np.array(refused, float)
    (point,) = operating_points(genuine, impostor, (far,))
    thresholds = [*np.unique(np.concatenate([genuine, impostor])), np.inf]
    allowed = [t for t in thresholds if np.mean(impostor >= t) <= far]
    assert point.threshold == min(allowed)
    assert point.rate == np.mean(genuine >= point.threshold)
    assert point.far_reached == np.mean(impostor >= point.threshold)


@settings(max_examples=150, deadline=None)
@given(scores, scores, st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 1.0]))
def test_nearest_equals_search_over_thresholds(accepted: list[int], refused: list[int], far: float) -> None:
    genuine, impostor = np.array(accepted, float), np.array(refused, float)
    (point,) = operating_points(genuine, impostor, (far,), "nearest")
    thresholds = [*np.unique(np.concatenate([genuine, impostor])), np.inf]
    reached = {t: Fraction(int(np.sum(impostor >= t)), len(impostor)) for t in thresholds}
    gap = min(abs(share - Fraction(str(far))) for share in reached.values())
    share = max(share for share in reached.values() if abs(share - Fraction(str(far))) == gap)
    assert point.threshold == min(t for t in thresholds if reached[t] == share)
    assert point.rate == np.mean(genuine >= point.threshold)
    assert point.far_reached == float(share)


def test_nearest_by_hand() -> None:
    genuine = np.array([0.9, 0.8, 0.6, 0.4, 0.2])
    impostor = np.array([0.7, 0.5, 0.5, 0.3])
    strict, near = (operating_points(genuine, impostor, (0.2, 0.5, 0.6), law) for law in FAR_READINGS)
    assert [point.rate for point in strict] == [2 / 5, 3 / 5, 3 / 5]
    assert [point.far_reached for point in strict] == [0.0, 1 / 4, 1 / 4]
    # 0.2: 1/4 is nearer than 0; 0.5: 1/4 and 3/4 are equally near, the larger one is used
    assert [point.rate for point in near] == [3 / 5, 4 / 5, 4 / 5]
    assert [point.far_reached for point in near] == [1 / 4, 3 / 4, 3 / 4]


def test_rank1_counts_queries_with_a_gallery_image() -> None:
    scores = np.array([[0.9, 0.1, 0.2], [0.3, 0.3, 0.1], [0.5, 0.6, 0.7]])
    result = verify_scores(scores, np.array([1, 2, 9]), np.array([1, 2, 2]), (0.5,))
    # query 1 has a tie of ids 1 and 2: gallery order decides; query 2 has no gallery image
    assert (result.rank1, result.valid, result.genuine, result.impostor) == (0.5, 2, 3, 6)


def test_invalid_input_raises() -> None:
    with pytest.raises(DataError, match="0 genuine"):
        operating_points(np.array([]), np.array([1.0]))
    with pytest.raises(DataError, match="NaN"):
        operating_points(np.array([np.nan]), np.array([1.0]))
    with pytest.raises(UsageError, match=r"1\.5"):
        operating_points(np.array([1.0]), np.array([1.0]), (1.5,))
    with pytest.raises(UsageError, match=r"\(2, 2\)"):
        verify_scores(np.zeros((2, 2)), np.array([1]), np.array([1, 2]))
