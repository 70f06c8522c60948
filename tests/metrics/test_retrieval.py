"""Retrieval metrics against hand-computed values, a plain loop and invariants."""

import itertools
from collections.abc import Sequence
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from vireid_cli.bench.oracle import evaluate_by_loop
from vireid_cli.errors import DataError, UsageError
from vireid_cli.metrics.camera_rules import CameraRule, ignored, ignored_cells
from vireid_cli.metrics.counting import count_up_to
from vireid_cli.metrics.layout import plan_ranks
from vireid_cli.metrics.outcome import Retrieval, Trials, chance_level, result_of
from vireid_cli.metrics.retrieval import (
    evaluate_distances,
    evaluate_scores,
    evaluate_trials,
    rank_matrix,
    top,
)

Case = tuple[NDArray[Any], list[NDArray[Any]], dict[str, Any]]
"""Scores, the four columns of labels, and options of the evaluation."""

RULES: list[CameraRule] = ["none", "sysu", "llcm"]


def evaluate(
    scores: ArrayLike,
    q_pids: Sequence[int],
    g_pids: Sequence[int],
    q_camids: Sequence[int] | None = None,
    g_camids: Sequence[int] | None = None,
    rule: CameraRule = "none",
    merge: bool = False,
    **more: Any,
) -> Retrieval:
    return evaluate_scores(
        np.asarray(scores, dtype=np.float64),
        np.array(q_pids),
        np.array(g_pids),
        np.ones(len(q_pids), int) if q_camids is None else np.array(q_camids),
        np.full(len(g_pids), 2) if g_camids is None else np.array(g_camids),
        rule=rule,
        merge_identities=merge,
        **more,
    )


# ---------------------------------------------------------------- by hand


def test_two_queries_by_hand() -> None:
    scores = [[0.9, 0.8, 0.7, 0.6], [0.9, 0.8, 0.7, 0.1]]
    result = evaluate(scores, [1, 3], [1, 2, 1, 3])
    # query 0: matches at ranks 1 and 3; query 1: at rank 4
    np.testing.assert_allclose(result.average_precision, [(1 / 1 + 2 / 3) / 2, 1 / 4])
    np.testing.assert_allclose(result.inverse_negative_penalty, [2 / 3, 1 / 4])
    assert result.first_rank.tolist() == [1, 4]
    assert result.cmc.tolist() == [1 / 2, 1 / 2, 1 / 2] + [1.0] * 17
    assert result.mAP == pytest.approx(float(Fraction(13, 24)))
    assert result.mINP == pytest.approx(float(Fraction(11, 24)))


def test_merged_identities_by_hand() -> None:
    # two images of id 1 and one of id 2 precede id 3: rank 4 among images, 3 among identities
    result = evaluate([[0.9, 0.8, 0.7, 0.1]], [3], [1, 2, 1, 3], merge=True)
    assert result.first_rank.tolist() == [3]
    assert result.cmc.tolist() == [0.0, 0.0] + [1.0] * 18
    assert result.mAP == 1 / 4


def test_camera_rule_of_sysu_by_hand() -> None:
    # the best image shows another person at the query's location: camera 3 ignores it
    arguments = ([[0.9, 0.8, 0.7]] * 2, [1, 1], [2, 1, 3], [3, 6], [2, 1, 4])
    result = evaluate(*arguments, rule="sysu", merge=True)
    assert result.first_rank.tolist() == [1, 2]
    assert evaluate(*arguments, rule="none", merge=True).first_rank.tolist() == [2, 2]


def test_camera_rule_of_llcm_by_hand() -> None:
    # only the same person from the same camera number is ignored
    result = evaluate([[0.9, 0.8, 0.7]], [1], [1, 2, 1], [5], [5, 5, 6], rule="llcm", merge=True)
    assert result.first_rank.tolist() == [2]
    assert result.mAP == 1 / 2


def test_means_exclude_invalid_queries() -> None:
    scores = [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]
    result = evaluate(scores, [1, 7, 2], [1, 2], [3, 3, 3], [2, 1], rule="sysu", merge=True)
    # query 0 has only an ignored match, query 1 has none
    assert result.valid_mask.tolist() == [False, False, True]
    assert (result.queries, result.valid, result.rank(1), result.mAP) == (3, 1, 1.0, 1.0)
    assert np.isnan(result.average_precision[:2]).all()
    assert result.first_rank.tolist() == [0, 0, 1]


def test_ties_rank_in_gallery_order() -> None:
    scores = np.zeros((1, 4))
    assert evaluate(scores, [2], [1, 1, 2, 3]).first_rank.tolist() == [3]
    assert evaluate(scores, [2], [1, 1, 2, 3], merge=True).first_rank.tolist() == [2]
    assert evaluate(scores, [3], [3, 1, 2, 3]).mAP == pytest.approx((1 / 1 + 2 / 4) / 2)
    assert evaluate(scores, [1], [2, 1, 2, 3], merge=True).first_rank.tolist() == [2]


def test_distances_are_scores_with_the_other_sign() -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((9, 14))
    labels = (rng.integers(0, 4, 9), rng.integers(0, 4, 14), rng.integers(1, 7, 9), rng.integers(1, 7, 14))
    by_score = evaluate_scores(scores, *labels, rule="sysu", merge_identities=True)
    by_distance = evaluate_distances(-scores, *labels, rule="sysu", merge_identities=True)
    np.testing.assert_array_equal(by_score.average_precision, by_distance.average_precision)
    np.testing.assert_array_equal(by_score.first_rank, by_distance.first_rank)


@pytest.mark.parametrize("kept", [1, 2, 3, 5, 7])
def test_chance_equals_mean_over_all_orders(kept: int) -> None:
    for matches in range(1, kept + 1):
        places = list(itertools.combinations(range(1, kept + 1), matches))
        rank1 = Fraction(sum(ranks[0] == 1 for ranks in places), len(places))
        precision = sum(
            Fraction(i, rank) / matches for ranks in places for i, rank in enumerate(ranks, 1)
        ) / len(places)
        result = chance_level(np.array([matches]), np.array([kept]))
        assert result.rank1 == pytest.approx(float(rank1), abs=1e-12)
        assert result.mAP == pytest.approx(float(precision), abs=1e-12)


def test_chance_counts_kept_images_only() -> None:
    result = evaluate([[0.9, 0.8, 0.7]], [1], [2, 1, 3], [3], [2, 1, 4], rule="sysu", merge=True)
    assert result.chance.rank1 == 1 / 2


def test_trials_have_mean_and_sample_deviation() -> None:
    one = evaluate([[0.9, 0.8]], [1], [1, 2])
    two = evaluate([[0.8, 0.9]], [1], [1, 2])
    summary = Trials((one, two)).summary()
    assert list(summary) == ["rank1", "rank5", "rank10", "rank20", "mAP", "mINP"]
    assert summary["rank1"].mean == 0.5
    assert summary["rank1"].std == pytest.approx(np.sqrt(0.5))
    assert summary["mAP"].mean == 0.75
    assert summary["mAP"].std == pytest.approx(np.sqrt(0.125))
    assert Trials((one,)).summary()["mAP"].std is None
    assert Trials((one, two)).cmc()[:3].tolist() == [0.5, 1.0, 1.0]


def test_top_lists_by_hand() -> None:
    scores = np.array([[0.1, 0.5, 0.5, 0.9], [0.4, 0.3, 0.2, 0.1]])
    result = top(scores, *map(np.array, ([1, 1], [1, 2, 3, 4], [3, 6], [1, 4, 5, 2])), rule="sysu", k=4)
    assert result.tolist() == [[1, 2, 0, -1], [0, 1, 2, 3]]
    result = top(scores[:, :2], *map(np.array, ([1, 1], [1, 2], [3, 6], [1, 4])), rule="sysu", k=3)
    assert result.tolist() == [[1, 0, -1], [0, 1, -1]]


def test_bisection_counts_equal_values() -> None:
    ordered = np.array([[1.0, 2.0, 2.0, 5.0, 7.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    row = np.array([0, 0, 0, 0, 1, 1])
    value = np.array([0.5, 2.0, 6.9, 7.0, 0.0, -1.0])
    assert count_up_to(ordered, row, value).tolist() == [0, 3, 4, 5, 5, 0]


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rule", RULES)
def test_scores_must_be_finite(bad: float, rule: CameraRule) -> None:
    scores = np.random.default_rng(0).standard_normal((3, 5))
    scores[1, 3] = bad
    labels = [np.array(row) for row in ([1, 2, 1], [1, 2, 1, 2, 3], [3, 3, 6], [1, 2, 4, 2, 2])]
    # ignored cells may contain any value, so test a cell that the rule keeps
    labels[3][3] = 1
    for call in (evaluate_scores, evaluate_distances):
        with pytest.raises(UsageError, match="NaN or infinity"):
            call(scores, *labels, rule=rule, merge_identities=True)
    with pytest.raises(UsageError, match="NaN or infinity"):
        top(scores, *labels, rule=rule)


def test_shapes_must_match() -> None:
    with pytest.raises(UsageError, match=r"\(2, 3\) does not fit 2 query pids"):
        evaluate(np.zeros((2, 3)), [1, 2], [1, 2])
    with pytest.raises(UsageError, match="nothing to evaluate"):
        evaluate(np.zeros((0, 2)), [], [1, 2])


def test_no_legal_match_raises() -> None:
    with pytest.raises(DataError, match="none of the 2 queries has a legal match among 1"):
        evaluate(np.zeros((2, 1)), [1, 2], [3])


def test_unknown_rule() -> None:
    with pytest.raises(ValueError, match="market"):
        evaluate(np.zeros((1, 1)), [1], [1], rule="market")  # type: ignore[arg-type]


# ---------------------------------------------------------------- oracle and invariants


@st.composite
def retrievals(draw: st.DrawFn, tied: bool) -> Case:
    queries, gallery = draw(st.integers(1, 9)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    people = draw(st.integers(1, 6))
    if tied:
        scores = rng.integers(0, draw(st.integers(1, 8)), (queries, gallery)).astype(np.float64)
    else:
        scores = np.stack([rng.permutation(gallery) for _ in range(queries)]).astype(np.float64)
    labels = [
        rng.integers(0, people, queries),
        rng.integers(0, people, gallery),
        rng.choice([3, 6], queries),
        rng.choice([1, 2, 3, 4], gallery),
    ]
    rule = draw(st.sampled_from(RULES))
    keep = ignored_cells(rule, labels[0], labels[2], labels[1], labels[3])
    match = labels[0][:, None] == labels[1]
    assume((match if keep is None else match & ~keep).any())
    return scores, labels, {"rule": rule, "merge_identities": draw(st.booleans())}


def assert_same(one: Retrieval, other: Retrieval) -> None:
    np.testing.assert_array_equal(one.cmc, other.cmc)
    np.testing.assert_allclose(one.average_precision, other.average_precision, rtol=1e-12)
    np.testing.assert_allclose(one.inverse_negative_penalty, other.inverse_negative_penalty, rtol=1e-12)
    np.testing.assert_array_equal(one.first_rank, other.first_rank)
    assert one.chance.mAP == pytest.approx(other.chance.mAP, rel=1e-12)


@settings(max_examples=150, deadline=None)
@given(retrievals(tied=True))
def test_equals_the_plain_loop_with_ties(case: Case) -> None:
    scores, labels, options = case
    result = evaluate_scores(scores, *labels, **options)
    cmc, mean_precision, mean_penalty = evaluate_by_loop(-scores, *labels, **options)
    np.testing.assert_allclose(result.cmc, cmc, rtol=0, atol=1e-12)
    assert result.mAP == pytest.approx(mean_precision, abs=1e-12)
    assert result.mINP == pytest.approx(mean_penalty, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(retrievals(tied=True), st.integers(1, 9), st.sampled_from([8, 64, 400]), st.sampled_from([1, 3]))
def test_tiles_blocks_and_threads_do_not_affect_result(
    case: Case, tile: int, block_bytes: int, threads: int
) -> None:
    scores, labels, options = case
    plan = plan_ranks(*labels, tile=tile, **options)
    counted = rank_matrix(plan, scores, 1, block_bytes=block_bytes, threads=threads)
    assert_same(result_of(plan, counted), evaluate_scores(scores, *labels, **options))


@settings(max_examples=60, deadline=None)
@given(retrievals(tied=False), st.randoms(use_true_random=False))
def test_invariant_to_order_of_gallery_without_ties(case: Case, random: Random) -> None:
    scores, labels, options = case
    order = np.array(random.sample(range(scores.shape[1]), scores.shape[1]))
    shuffled = [labels[0], labels[1][order], labels[2], labels[3][order]]
    assert_same(
        evaluate_scores(scores[:, order], *shuffled, **options), evaluate_scores(scores, *labels, **options)
    )


@settings(max_examples=60, deadline=None)
@given(retrievals(tied=True), st.randoms(use_true_random=False))
def test_invariant_to_identity_labels(case: Case, random: Random) -> None:
    scores, labels, options = case
    names = np.array(random.sample(range(10_000), 6))
    renamed = [names[labels[0]], names[labels[1]], labels[2], labels[3]]
    assert_same(evaluate_scores(scores, *renamed, **options), evaluate_scores(scores, *labels, **options))


@settings(max_examples=60, deadline=None)
@given(retrievals(tied=True), st.floats(0.5, 30.0))
def test_raising_match_scores_never_lowers_metrics(case: Case, lift: float) -> None:
    scores, labels, options = case
    before = evaluate_scores(scores, *labels, **options)
    lifted = scores + lift * (labels[0][:, None] == labels[1]) * (np.arange(scores.shape[1]) % 3 == 0)
    after = evaluate_scores(lifted, *labels, **options)
    valid = before.valid_mask
    assert (after.average_precision[valid] >= before.average_precision[valid] - 1e-12).all()
    assert (after.inverse_negative_penalty[valid] >= before.inverse_negative_penalty[valid] - 1e-12).all()
    assert (after.first_rank <= before.first_rank).all()


@settings(max_examples=60, deadline=None)
@given(retrievals(tied=True), st.integers(0, 8), st.integers(0, 24), st.floats(-5, 50))
def test_ignored_image_does_not_affect_result(case: Case, person: int, place: int, score: float) -> None:
    scores, labels, options = case
    assume(options["rule"] != "none")
    if options["rule"] == "sysu":  # all queries at camera 3, and an image of camera 2
        labels[2], camid = np.full_like(labels[2], 3), 2
    else:  # all queries of one person and camera, and an image with these labels
        labels[0], labels[2] = np.full_like(labels[0], person), np.full_like(labels[2], 4)
        camid = 4
    keep = ignored_cells(options["rule"], labels[0], labels[2], labels[1], labels[3])
    assert keep is not None
    assume(((labels[0][:, None] == labels[1]) & ~keep).any())
    place = min(place, scores.shape[1])
    more = [labels[0], np.insert(labels[1], place, person), labels[2], np.insert(labels[3], place, camid)]
    assert_same(
        evaluate_scores(np.insert(scores, place, score, axis=1), *more, **options),
        evaluate_scores(scores, *labels, **options),
    )


@settings(max_examples=40, deadline=None)
@given(retrievals(tied=False))
def test_float32_scores_give_equal_results(case: Case) -> None:
    scores, labels, options = case
    assert_same(
        evaluate_scores(scores.astype(np.float32), *labels, **options),
        evaluate_scores(scores, *labels, **options),
    )


@settings(max_examples=40, deadline=None)
@given(retrievals(tied=True), st.integers(1, 12))
def test_top_is_the_stable_order_of_kept_images(case: Case, k: int) -> None:
    scores, labels, options = case
    result = top(scores, *labels, rule=options["rule"], k=k)
    for query in range(len(scores)):
        order = np.argsort(-scores[query], kind="stable")
        drop = ignored(
            options["rule"], labels[0][query], labels[2][query], labels[1][order], labels[3][order]
        )
        expected = (order if drop is None else order[~np.broadcast_to(drop, order.shape)])[:k].tolist()
        assert result[query].tolist() == expected + [-1] * (k - len(expected))


def test_trials_equal_separate_evaluations() -> None:
    rng = np.random.default_rng(3)
    scores = rng.standard_normal((20, 40))
    q_pids, u_pids = rng.integers(0, 5, 20), np.repeat(np.arange(5), 8)
    q_camids, u_camids = rng.choice([3, 6], 20), np.tile([1, 2, 4, 5], 10)
    galleries = [np.arange(first, 40, 4) for first in (0, 1)] + [np.array([39, 3, 17, 25, 9])]
    trials = evaluate_trials(
        scores, galleries, q_pids, u_pids, q_camids, u_camids, rule="sysu", merge_identities=True
    )
    for gallery, result in zip(galleries, trials, strict=True):
        separate = evaluate_scores(
            scores[:, gallery],
            q_pids,
            u_pids[gallery],
            q_camids,
            u_camids[gallery],
            rule="sysu",
            merge_identities=True,
        )
        assert_same(result, separate)


@pytest.mark.parametrize("merge", [False, True])
def test_a_large_uneven_gallery_equals_the_plain_loop(merge: bool) -> None:
    """Covers several tiles, an identity wider than a tile and identities without queries."""
    rng = np.random.default_rng(5)
    g_pids = np.concatenate([np.full(700, 1), rng.integers(2, 400, 2300)])
    order = rng.permutation(3000)
    g_pids, g_camids = g_pids[order], rng.integers(1, 7, 3000)
    q_pids, q_camids = rng.integers(0, 60, 40), rng.integers(1, 7, 40)
    scores = rng.integers(0, 5000, (40, 3000)).astype(np.float32)
    options: dict[str, Any] = {"rule": "llcm", "merge_identities": merge}
    plan = plan_ranks(q_pids, g_pids, q_camids, g_camids, tile=256, **options)
    assert len(plan.tiles) > 8
    assert 0 < plan.relevant_tiles < len(plan.tiles)
    result = result_of(plan, rank_matrix(plan, scores, 1))
    cmc, mean_precision, mean_penalty = evaluate_by_loop(
        -scores, q_pids, g_pids, q_camids, g_camids, **options
    )
    np.testing.assert_allclose(result.cmc, cmc, rtol=0, atol=1e-12)
    assert result.mAP == pytest.approx(mean_precision, abs=1e-12)
    assert result.mINP == pytest.approx(mean_penalty, abs=1e-12)


def test_retrieval_validates_fields() -> None:
    good = evaluate([[0.9, 0.8]], [1], [1, 2])
    fields = {name: getattr(good, name) for name in good.__slots__}
    with pytest.raises(ValueError, match="non-decreasing"):
        type(good)(**fields | {"cmc": good.cmc[::-1] * np.linspace(0, 1, 20)[::-1]})
    with pytest.raises(ValueError, match="valid mask"):
        type(good)(**fields | {"valid": 2})
    with pytest.raises(ValueError, match="shape"):
        type(good)(**fields | {"first_rank": np.zeros(3, int)})
    with pytest.raises(ValueError, match="at least one"):
        Trials(())
