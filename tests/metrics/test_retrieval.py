"""Retrieval metrics by hand, against the plain loop, and by laws."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vireid_cli.bench.oracle import evaluate_by_loop
from vireid_cli.errors import DataError, UsageError
from vireid_cli.metrics.camera_rules import ignored, ignored_cells
from vireid_cli.metrics.layout import plan_ranks
from vireid_cli.metrics.outcome import Trials, chance_level, result_of
from vireid_cli.metrics.ranking import count_up_to
from vireid_cli.metrics.retrieval import (
    evaluate_distances,
    evaluate_scores,
    evaluate_trials,
    rank_matrix,
    top,
)

RULES = ["none", "sysu", "llcm"]


def evaluate(scores, q_pids, g_pids, q_camids=None, g_camids=None, rule="none", merge=False, **more):
    q_camids = np.ones(len(q_pids), int) if q_camids is None else np.array(q_camids)
    g_camids = np.full(len(g_pids), 2) if g_camids is None else np.array(g_camids)
    return evaluate_scores(
        np.asarray(scores, dtype=np.float64),
        np.array(q_pids),
        np.array(g_pids),
        q_camids,
        g_camids,
        rule=rule,
        merge_identities=merge,
        **more,
    )


# ---------------------------------------------------------------- by hand


def test_two_queries_by_hand() -> None:
    scores = [[0.9, 0.8, 0.7, 0.6], [0.9, 0.8, 0.7, 0.1]]
    found = evaluate(scores, [1, 3], [1, 2, 1, 3])
    # query 0: matches at ranks 1 and 3; query 1: at rank 4
    np.testing.assert_allclose(found.average_precision, [(1 / 1 + 2 / 3) / 2, 1 / 4])
    np.testing.assert_allclose(found.inverse_negative_penalty, [2 / 3, 1 / 4])
    assert found.first_rank.tolist() == [1, 4]
    assert found.cmc.tolist() == [1 / 2, 1 / 2, 1 / 2] + [1.0] * 17
    assert found.mAP == pytest.approx(float(Fraction(13, 24)))
    assert found.mINP == pytest.approx(float(Fraction(11, 24)))


def test_merged_identities_by_hand() -> None:
    # before id 3 stand two images of id 1 and one of id 2: rank 4 among images, 3 among identities
    found = evaluate([[0.9, 0.8, 0.7, 0.1]], [3], [1, 2, 1, 3], merge=True)
    assert found.first_rank.tolist() == [3]
    assert found.cmc.tolist() == [0.0, 0.0] + [1.0] * 18
    assert found.mAP == 1 / 4


def test_camera_rule_of_sysu_by_hand() -> None:
    # the best image is of another person at the query's place: it is not seen from camera 3
    arguments = ([[0.9, 0.8, 0.7]] * 2, [1, 1], [2, 1, 3], [3, 6], [2, 1, 4])
    found = evaluate(*arguments, rule="sysu", merge=True)
    assert found.first_rank.tolist() == [1, 2]
    assert evaluate(*arguments, rule="none", merge=True).first_rank.tolist() == [2, 2]


def test_camera_rule_of_llcm_by_hand() -> None:
    # same person under the same camera number is ignored, another person there is not
    found = evaluate([[0.9, 0.8, 0.7]], [1], [1, 2, 1], [5], [5, 5, 6], rule="llcm", merge=True)
    assert found.first_rank.tolist() == [2]
    assert found.mAP == 1 / 2


def test_invalid_queries_leave_every_mean() -> None:
    scores = [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]
    found = evaluate(scores, [1, 7, 2], [1, 2], [3, 3, 3], [2, 1], rule="sysu", merge=True)
    # query 0 has its only match at its own place, query 1 has none at all
    assert found.valid_mask.tolist() == [False, False, True]
    assert (found.queries, found.valid, found.rank(1), found.mAP) == (3, 1, 1.0, 1.0)
    assert np.isnan(found.average_precision[:2]).all()
    assert found.first_rank.tolist() == [0, 0, 1]


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
    one = evaluate_scores(scores, *labels, rule="sysu", merge_identities=True)
    other = evaluate_distances(-scores, *labels, rule="sysu", merge_identities=True)
    np.testing.assert_array_equal(one.average_precision, other.average_precision)
    np.testing.assert_array_equal(one.first_rank, other.first_rank)


@pytest.mark.parametrize("kept", [1, 2, 3, 5, 7])
def test_chance_is_the_mean_over_all_orders(kept: int) -> None:
    for matches in range(1, kept + 1):
        places = list(itertools.combinations(range(1, kept + 1), matches))
        rank1 = Fraction(sum(ranks[0] == 1 for ranks in places), len(places))
        precision = sum(
            Fraction(i, rank) / matches for ranks in places for i, rank in enumerate(ranks, 1)
        ) / len(places)
        found = chance_level(np.array([matches]), np.array([kept]))
        assert found.rank1 == pytest.approx(float(rank1), abs=1e-12)
        assert found.mAP == pytest.approx(float(precision), abs=1e-12)


def test_chance_counts_what_the_camera_rule_leaves() -> None:
    found = evaluate([[0.9, 0.8, 0.7]], [1], [2, 1, 3], [3], [2, 1, 4], rule="sysu", merge=True)
    assert found.chance.rank1 == 1 / 2


def test_trials_have_mean_and_sample_deviation() -> None:
    one = evaluate([[0.9, 0.8]], [1], [1, 2])
    two = evaluate([[0.8, 0.9]], [1], [1, 2])
    summary = Trials((one, two)).summary()
    assert list(summary) == ["rank1", "rank5", "rank10", "rank20", "mAP", "mINP"]
    assert (summary["rank1"].mean, summary["rank1"].std) == (0.5, pytest.approx(np.sqrt(0.5)))
    assert (summary["mAP"].mean, summary["mAP"].std) == (0.75, pytest.approx(np.sqrt(0.125)))
    assert Trials((one,)).summary()["mAP"].std is None
    assert Trials((one, two)).cmc()[:3].tolist() == [0.5, 1.0, 1.0]


def test_top_lists_by_hand() -> None:
    scores = np.array([[0.1, 0.5, 0.5, 0.9], [0.4, 0.3, 0.2, 0.1]])
    found = top(scores, *map(np.array, ([1, 1], [1, 2, 3, 4], [3, 6], [1, 4, 5, 2])), rule="sysu", k=4)
    assert found.tolist() == [[1, 2, 0, -1], [0, 1, 2, 3]]
    found = top(scores[:, :2], *map(np.array, ([1, 1], [1, 2], [3, 6], [1, 4])), rule="sysu", k=3)
    assert found.tolist() == [[1, 0, -1], [0, 1, -1]]


def test_bisection_counts_equal_values() -> None:
    ordered = np.array([[1.0, 2.0, 2.0, 5.0, 7.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    row = np.array([0, 0, 0, 0, 1, 1])
    value = np.array([0.5, 2.0, 6.9, 7.0, 0.0, -1.0])
    assert count_up_to(ordered, row, value).tolist() == [0, 3, 4, 5, 5, 0]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rule", RULES)
def test_scores_must_be_finite(bad, rule) -> None:
    scores = np.random.default_rng(0).standard_normal((3, 5))
    scores[1, 3] = bad
    labels = map(np.array, ([1, 2, 1], [1, 2, 1, 2, 3], [3, 3, 6], [1, 2, 4, 2, 2]))
    # an ignored cell may hide what stands in it, so look at one that the rule keeps
    labels = [*labels]
    labels[3][3] = 1
    for call in (evaluate_scores, evaluate_distances):
        with pytest.raises(UsageError, match="NaN or infinity"):
            call(scores, *labels, rule=rule, merge_identities=True)
    with pytest.raises(UsageError, match="NaN or infinity"):
        top(scores, *labels, rule=rule)


def test_shapes_must_fit() -> None:
    with pytest.raises(UsageError, match=r"\(2, 3\) does not fit 2 query pids"):
        evaluate(np.zeros((2, 3)), [1, 2], [1, 2])
    with pytest.raises(UsageError, match="nothing to evaluate"):
        evaluate(np.zeros((0, 2)), [], [1, 2])


def test_no_match_at_all_is_explained() -> None:
    with pytest.raises(DataError, match="none of the 2 queries has a legal match among 1"):
        evaluate(np.zeros((2, 1)), [1, 2], [3])


def test_unknown_rule() -> None:
    with pytest.raises(ValueError, match="market"):
        evaluate(np.zeros((1, 1)), [1], [1], rule="market")


# ---------------------------------------------------------------- oracle and laws


@st.composite
def retrievals(draw, tied):
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


def same(one, other):
    np.testing.assert_array_equal(one.cmc, other.cmc)
    np.testing.assert_allclose(one.average_precision, other.average_precision, rtol=1e-12)
    np.testing.assert_allclose(one.inverse_negative_penalty, other.inverse_negative_penalty, rtol=1e-12)
    np.testing.assert_array_equal(one.first_rank, other.first_rank)
    assert one.chance.mAP == pytest.approx(other.chance.mAP, rel=1e-12)


@settings(max_examples=150, deadline=None)
@given(retrievals(tied=True))
def test_equals_the_plain_loop_with_ties(case) -> None:
    scores, labels, how = case
    found = evaluate_scores(scores, *labels, **how)
    cmc, mean_precision, mean_penalty = evaluate_by_loop(-scores, *labels, **how)
    np.testing.assert_allclose(found.cmc, cmc, rtol=0, atol=1e-12)
    assert found.mAP == pytest.approx(mean_precision, abs=1e-12)
    assert found.mINP == pytest.approx(mean_penalty, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(retrievals(tied=True), st.integers(1, 9), st.sampled_from([8, 64, 400]), st.sampled_from([1, 3]))
def test_tiles_blocks_and_threads_change_nothing(case, tile, block_bytes, threads) -> None:
    scores, labels, how = case
    plan = plan_ranks(*labels, tile=tile, **how)
    counted = rank_matrix(plan, scores, 1, block_bytes=block_bytes, threads=threads)
    same(result_of(plan, counted), evaluate_scores(scores, *labels, **how))


@settings(max_examples=60, deadline=None)
@given(retrievals(tied=False), st.randoms(use_true_random=False))
def test_order_of_an_untied_gallery_is_nothing(case, random) -> None:
    scores, labels, how = case
    order = np.array(random.sample(range(scores.shape[1]), scores.shape[1]))
    shuffled = [labels[0], labels[1][order], labels[2], labels[3][order]]
    same(evaluate_scores(scores[:, order], *shuffled, **how), evaluate_scores(scores, *labels, **how))


@settings(max_examples=60, deadline=None)
@given(retrievals(tied=True), st.randoms(use_true_random=False))
def test_names_of_identities_are_nothing(case, random) -> None:
    scores, labels, how = case
    names = np.array(random.sample(range(10_000), 6))
    renamed = [names[labels[0]], names[labels[1]], labels[2], labels[3]]
    same(evaluate_scores(scores, *renamed, **how), evaluate_scores(scores, *labels, **how))


@settings(max_examples=60, deadline=None)
@given(retrievals(tied=True), st.floats(0.5, 30.0))
def test_lifting_a_true_match_never_lowers(case, lift) -> None:
    scores, labels, how = case
    before = evaluate_scores(scores, *labels, **how)
    lifted = scores + lift * (labels[0][:, None] == labels[1]) * (np.arange(scores.shape[1]) % 3 == 0)
    after = evaluate_scores(lifted, *labels, **how)
    valid = before.valid_mask
    assert (after.average_precision[valid] >= before.average_precision[valid] - 1e-12).all()
    assert (after.inverse_negative_penalty[valid] >= before.inverse_negative_penalty[valid] - 1e-12).all()
    assert (after.first_rank <= before.first_rank).all()


@settings(max_examples=60, deadline=None)
@given(retrievals(tied=True), st.integers(0, 8), st.integers(0, 24), st.floats(-5, 50))
def test_an_ignored_image_changes_nothing(case, person, place, score) -> None:
    scores, labels, how = case
    assume(how["rule"] != "none")
    if how["rule"] == "sysu":  # all queries at camera 3, and an image of camera 2
        labels[2], camid = np.full_like(labels[2], 3), 2
    else:  # all queries of one person and camera, and an image of just these
        labels[0], labels[2] = np.full_like(labels[0], person), np.full_like(labels[2], 4)
        camid = 4
    keep = ignored_cells(how["rule"], labels[0], labels[2], labels[1], labels[3])
    assume(((labels[0][:, None] == labels[1]) & ~keep).any())
    place = min(place, scores.shape[1])
    more = [labels[0], np.insert(labels[1], place, person), labels[2], np.insert(labels[3], place, camid)]
    same(
        evaluate_scores(np.insert(scores, place, score, axis=1), *more, **how),
        evaluate_scores(scores, *labels, **how),
    )


@settings(max_examples=40, deadline=None)
@given(retrievals(tied=False))
def test_float32_scores_give_the_same(case) -> None:
    scores, labels, how = case
    same(evaluate_scores(scores.astype(np.float32), *labels, **how), evaluate_scores(scores, *labels, **how))


@settings(max_examples=40, deadline=None)
@given(retrievals(tied=True), st.integers(1, 12))
def test_top_is_the_stable_order_of_what_is_kept(case, k) -> None:
    scores, labels, how = case
    found = top(scores, *labels, rule=how["rule"], k=k)
    for query in range(len(scores)):
        order = np.argsort(-scores[query], kind="stable")
        drop = ignored(how["rule"], labels[0][query], labels[2][query], labels[1][order], labels[3][order])
        expected = (order if drop is None else order[~np.broadcast_to(drop, order.shape)])[:k].tolist()
        assert found[query].tolist() == expected + [-1] * (k - len(expected))


def test_trials_share_one_product() -> None:
    rng = np.random.default_rng(3)
    scores = rng.standard_normal((20, 40))
    q_pids, u_pids = rng.integers(0, 5, 20), np.repeat(np.arange(5), 8)
    q_camids, u_camids = rng.choice([3, 6], 20), np.tile([1, 2, 4, 5], 10)
    galleries = [np.arange(first, 40, 4) for first in (0, 1)] + [np.array([39, 3, 17, 25, 9])]
    trials = evaluate_trials(
        scores, galleries, q_pids, u_pids, q_camids, u_camids, rule="sysu", merge_identities=True
    )
    for gallery, found in zip(galleries, trials, strict=True):
        alone = evaluate_scores(
            scores[:, gallery],
            q_pids,
            u_pids[gallery],
            q_camids,
            u_camids[gallery],
            rule="sysu",
            merge_identities=True,
        )
        same(found, alone)


@pytest.mark.parametrize("merge", [False, True])
def test_a_large_uneven_gallery_equals_the_plain_loop(merge: bool) -> None:
    """Several tiles, an identity wider than a tile, identities nobody asks for."""
    rng = np.random.default_rng(5)
    g_pids = np.concatenate([np.full(700, 1), rng.integers(2, 400, 2300)])
    order = rng.permutation(3000)
    g_pids, g_camids = g_pids[order], rng.integers(1, 7, 3000)
    q_pids, q_camids = rng.integers(0, 60, 40), rng.integers(1, 7, 40)
    scores = rng.integers(0, 5000, (40, 3000)).astype(np.float32)
    how = {"rule": "llcm", "merge_identities": merge}
    plan = plan_ranks(q_pids, g_pids, q_camids, g_camids, tile=256, **how)
    assert len(plan.tiles) > 8
    assert 0 < plan.relevant_tiles < len(plan.tiles)
    found = result_of(plan, rank_matrix(plan, scores, 1))
    cmc, mean_precision, mean_penalty = evaluate_by_loop(-scores, q_pids, g_pids, q_camids, g_camids, **how)
    np.testing.assert_allclose(found.cmc, cmc, rtol=0, atol=1e-12)
    assert found.mAP == pytest.approx(mean_precision, abs=1e-12)
    assert found.mINP == pytest.approx(mean_penalty, abs=1e-12)


def test_results_are_checked() -> None:
    good = evaluate([[0.9, 0.8]], [1], [1, 2])
    fields = {name: getattr(good, name) for name in good.__slots__}
    with pytest.raises(ValueError, match="rises"):
        type(good)(**fields | {"cmc": good.cmc[::-1] * np.linspace(0, 1, 20)[::-1]})
    with pytest.raises(ValueError, match="valid mask"):
        type(good)(**fields | {"valid": 2})
    with pytest.raises(ValueError, match="shape"):
        type(good)(**fields | {"first_rank": np.zeros(3, int)})
    with pytest.raises(ValueError, match="at least one"):
        Trials(())
