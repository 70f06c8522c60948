"""Streaming evaluation against evaluation of the whole score matrix."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vireid_cli.errors import UsageError
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.metrics.layout import plan_ranks
from vireid_cli.metrics.outcome import result_of
from vireid_cli.metrics.retrieval import evaluate_scores
from vireid_cli.metrics.streaming import evaluate_streamed, rank_stream


def case(
    seed: int, gallery: int = 300, tied: bool = False
) -> tuple[NDArray[Any], NDArray[Any], list[NDArray[Any]]]:
    rng = np.random.default_rng(seed)
    q_pids, g_pids = rng.integers(0, 12, 25), rng.integers(0, 60, gallery)
    g_pids[0] = q_pids[0]
    # small integers: products are exact in every order of summation, and often equal
    draw = (lambda n: rng.integers(-1, 2, (n, 5))) if tied else (lambda n: rng.integers(-99, 100, (n, 5)))
    labels = [q_pids, g_pids, rng.choice([3, 6], 25), rng.choice([1, 2, 4, 5], gallery)]
    labels[2][0] = 6  # at least one legal match
    return draw(25).astype(np.float32), draw(gallery).astype(np.float32), labels


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["none", "sysu"]),
    st.sampled_from([16, 100, 1000]),
    st.sampled_from([0, 4000, 1 << 20]),
)
def test_equals_the_score_matrix(
    seed: int, tied: bool, merge: bool, rule: CameraRule, tile: int, kept_bytes: int
) -> None:
    q, g, labels = case(seed, tied=tied)
    options: dict[str, Any] = {"rule": rule, "merge_identities": merge}
    result = evaluate_streamed(q, g, *labels, tile=tile, kept_bytes=kept_bytes, **options)
    expected = evaluate_scores(q @ g.T, *labels, **options)
    np.testing.assert_array_equal(result.cmc, expected.cmc)
    np.testing.assert_allclose(result.average_precision, expected.average_precision, rtol=1e-12)
    np.testing.assert_array_equal(result.first_rank, expected.first_rank)
    assert result.mINP == pytest.approx(expected.mINP, abs=1e-12)


def test_products_with_different_rounding_count_each_match_once() -> None:
    _, _, labels = case(1)
    noise = np.random.default_rng(0)
    exact = np.stack([noise.permutation(300) for _ in range(25)]).astype(np.float64)

    def product(positions: NDArray[Any]) -> NDArray[Any]:
        # scores differ by 1: the noise preserves the order, but no score repeats
        return exact[:, positions] + noise.uniform(-0.3, 0.3, (25, len(positions)))

    for merge in (False, True):
        plan = plan_ranks(*labels, rule="sysu", merge_identities=merge, tile=32)
        result = result_of(plan, rank_stream(plan, product, kept_bytes=0))
        expected = evaluate_scores(exact, *labels, rule="sysu", merge_identities=merge)
        np.testing.assert_array_equal(result.first_rank, expected.first_rank)
        np.testing.assert_allclose(result.average_precision, expected.average_precision, rtol=1e-12)


def test_half_precision_features_are_multiplied_in_float32() -> None:
    rng = np.random.default_rng(0)
    q, g = (rng.standard_normal((n, 64)).astype(np.float16) for n in (20, 90))
    labels = [rng.integers(0, 5, 20), rng.integers(0, 5, 90), np.ones(20, int), np.ones(90, int)]
    result = evaluate_streamed(q, g, *labels, rule="none", merge_identities=False)
    scores = q.astype(np.float64) @ g.astype(np.float64).T
    expected = evaluate_scores(scores, *labels, rule="none", merge_identities=False)
    assert result.mAP == pytest.approx(expected.mAP, abs=1e-6)


def test_product_is_called_at_most_twice_per_tile() -> None:
    _, _, labels = case(2, gallery=1000)
    plan = plan_ranks(*labels, rule="sysu", merge_identities=True, tile=64)
    requests = []

    def product(positions: NDArray[Any]) -> NDArray[Any]:
        requests.append(positions)
        return np.random.default_rng(len(requests)).standard_normal((25, len(positions))).astype(np.float32)

    rank_stream(plan, product)
    assert sorted(np.concatenate(requests).tolist()) == list(range(1000))
    requests.clear()
    rank_stream(plan, product, kept_bytes=0)
    assert len(requests) == len(plan.tiles) + plan.relevant_tiles


def test_invalid_input_raises() -> None:
    q, g, labels = case(0)
    options: dict[str, Any] = {"rule": "none", "merge_identities": False}
    with pytest.raises(UsageError, match="do not fit"):
        evaluate_streamed(q[:, :4], g, *labels, **options)
    with pytest.raises(UsageError, match="do not fit"):
        evaluate_streamed(q, g[:-1], *labels, **options)
    with pytest.raises(UsageError, match="nothing"):
        evaluate_streamed(q[:0], g, labels[0][:0], labels[1], labels[2][:0], labels[3], **options)
    g[7, 0] = np.nan
    with pytest.raises(UsageError, match="NaN or infinity"):
        evaluate_streamed(q, g, *labels, **options)
