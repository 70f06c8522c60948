"""Ranks from products in float32: those of exact products, with ties in gallery order."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vireid_cli.bench.oracle import evaluate_by_loop
from vireid_cli.errors import UsageError
from vireid_cli.metrics import ranking
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.metrics.layout import plan_ranks
from vireid_cli.metrics.outcome import Retrieval, result_of
from vireid_cli.metrics.ranking import Ranks
from vireid_cli.metrics.retrieval import evaluate_scores, evaluate_trials, rank_matrix, rank_rounded
from vireid_cli.metrics.rounded import RoundedScores, exact_products, first_equal, inner_products

QUERIES, GALLERY = 60, 240
RULES: list[tuple[CameraRule, bool]] = [("none", False), ("sysu", True), ("llcm", True)]
Labels = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def labels(gallery: int = GALLERY) -> Labels:
    """Person and camera of 60 queries and of a gallery; some queries have no match."""
    draw = np.random.default_rng(0)
    return (
        draw.integers(0, 26, QUERIES),
        draw.integers(0, 24, gallery),
        draw.choice([3, 6], QUERIES),
        draw.choice([1, 2, 3], gallery),
    )


def close(width: int = 700) -> tuple[np.ndarray, np.ndarray]:
    """Features of unit length, so alike that float32 confuses the order of many scores."""
    draw = np.random.default_rng(1)
    center, counts = draw.standard_normal(width), (QUERIES, GALLERY)
    sides = (center + 1e-4 * draw.standard_normal((count, width)) for count in counts)
    q, g = ((side / np.linalg.norm(side, axis=1, keepdims=True)).astype(np.float32) for side in sides)
    return q, g


def spread(width: int = 700, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Features of ordinary embeddings; some of the gallery are equal, or equal to eight digits."""
    draw = np.random.default_rng(2)
    q, g = draw.standard_normal((QUERIES, width)), draw.standard_normal((GALLERY, width))
    g[:80] = g[80:160] + 1e-8 * draw.standard_normal((80, width))
    g[160:180] = g[180:200]
    q, g = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (q, g))
    return q * scale, g * scale


def evaluated(q: np.ndarray, g: np.ndarray, of: Labels, rule: CameraRule, merge: bool) -> Retrieval:
    """The result of rounded scores."""
    product = inner_products(q, g)
    assert isinstance(product, RoundedScores)
    everything = [np.arange(len(g))]
    return evaluate_trials(product, everything, *of, rule=rule, merge_identities=merge).results[0]


def exact_scores(q: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Inner products with one rounding each."""
    return np.array([(row.astype(np.longdouble) * g).sum(axis=1) for row in q]).astype(np.float64)


def assert_equal(one: Retrieval, other: Retrieval) -> None:
    for name in ("cmc", "average_precision", "inverse_negative_penalty", "first_rank"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize(("rule", "merge"), RULES)
@pytest.mark.parametrize("features", [close, spread])
def test_ranks_are_those_of_exact_products(features: object, rule: CameraRule, merge: bool) -> None:
    q, g = features()  # type: ignore[operator]
    of = labels()
    expected = evaluate_scores(exact_scores(q, g), *of, rule=rule, merge_identities=merge)
    assert_equal(evaluated(q, g, of, rule, merge), expected)
    loop = evaluate_by_loop(-exact_scores(q, g), *of, rule=rule, merge_identities=merge)
    assert expected.mAP == pytest.approx(loop[1], abs=1e-12)
    product = inner_products(q, g)
    assert isinstance(product, RoundedScores)
    plain = evaluate_scores(product.scores, *of, rule=rule, merge_identities=merge)
    assert (plain.average_precision != expected.average_precision).sum() > 5, "float32 alone would not do"


@pytest.mark.parametrize(("rule", "merge"), RULES)
@pytest.mark.parametrize("compared", [True, False])
def test_ties_rank_in_gallery_order(
    rule: CameraRule, merge: bool, compared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products of small integers are exact in float64, and most of them tie."""
    monkeypatch.setattr(ranking, "COUNT_FROM", 1 if compared else 10_000)
    draw = np.random.default_rng(3)
    q, g = (draw.integers(-1, 2, (n, 300)).astype(np.float64) / 8 for n in (QUERIES, 40))
    g = g[draw.integers(0, 40, GALLERY)]  # six copies of each image, under different persons
    of = labels()
    result = evaluated(q, g, of, rule, merge)
    cmc, mean, penalty = evaluate_by_loop(-(q @ g.T), *of, rule=rule, merge_identities=merge)
    np.testing.assert_allclose(result.cmc, cmc, rtol=0, atol=1e-12)
    assert (result.mAP, result.mINP) == pytest.approx((mean, penalty), abs=1e-12)


def test_the_margin_is_larger_than_any_error() -> None:
    for width in (1, 3, 255, 256, 257, 2048):
        draw = np.random.default_rng(width)
        q, g = draw.random((9, width)) * 5, draw.random((11, width)) - 0.2
        q[0, 0], g[0, 0] = 1e3, 0.0  # one large value, many small ones
        product = inner_products(q, g)
        assert isinstance(product, RoundedScores)
        error = np.abs(product.scores - exact_scores(q, g))
        assert (2 * error <= product.margin[:, None]).all()
        size = np.linalg.norm(q, axis=1) * np.linalg.norm(g, axis=1).max()
        assert (product.margin < 1e-4 * size).all()


def test_blocks_and_threads_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    q, g = spread()
    of = labels()
    plan = plan_ranks(*of, rule="sysu", merge_identities=True)
    product = inner_products(q, g)
    assert isinstance(product, RoundedScores)
    results: list[Ranks] = [
        rank_rounded(plan, product, block_bytes=size, threads=threads)
        for size, threads in ((1, 1), (1 << 20, 1), (9_999, 3))
    ]
    for field in dataclasses.fields(Ranks):
        first, *others = (getattr(result, field.name) for result in results)
        for other in others:
            np.testing.assert_array_equal(first, other)


def test_a_gallery_of_some_columns() -> None:
    q, g = spread()
    of = labels()
    columns = np.random.default_rng(4).permutation(GALLERY)[:100]
    product = inner_products(q, g)
    assert isinstance(product, RoundedScores)
    plan = plan_ranks(of[0], of[1][columns], of[2], of[3][columns], rule="none", merge_identities=True)
    ranks = rank_rounded(plan, product, columns=columns)
    expected = rank_matrix(plan, exact_scores(q, g), 1, columns=columns)
    assert_equal(result_of(plan, ranks), result_of(plan, expected))


@pytest.mark.parametrize("scale", [1e-5, 1e5])
def test_norms_scale_the_margin(scale: float) -> None:
    q, g = spread(scale=scale)
    of = labels()
    expected = evaluate_scores(exact_scores(q, g), *of, rule="none", merge_identities=False)
    assert_equal(evaluated(q, g, of, "none", False), expected)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-9, 1e9, 1e30])
def test_features_out_of_float32_s_range_are_multiplied_in_float64(scale: float) -> None:
    q, g = spread()
    g[5] *= scale
    product = inner_products(q, g)
    assert isinstance(product, RoundedScores) == (scale == 0.0)
    of = labels()
    trials = evaluate_trials(product, [np.arange(GALLERY)], *of, rule="sysu", merge_identities=True)
    assert_equal(trials.results[0], evaluate_scores(q @ g.T, *of, rule="sysu", merge_identities=True))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(value: float) -> None:
    q, g = spread()
    q[7, 3] = value
    with pytest.raises(UsageError, match="NaN or infinity at query 7"):
        evaluate_trials(
            inner_products(q, g), [np.arange(GALLERY)], *labels(), rule="none", merge_identities=False
        )


@pytest.mark.parametrize("gallery", [13, 301])
@pytest.mark.parametrize("scale", [1.0, 1e9])
@pytest.mark.parametrize("kinds", [1, 2])
def test_equal_features_rank_in_gallery_order(gallery: int, scale: float, kinds: int) -> None:
    """Collapsed embeddings: matrix products round equal columns differently if G is no multiple of 8."""
    draw = np.random.default_rng(5)
    features = draw.standard_normal((kinds, 512)).astype(np.float32)
    features *= np.float32(scale) / np.linalg.norm(features, axis=1, keepdims=True)
    q, g = features[draw.integers(0, kinds, QUERIES)], features[draw.integers(0, kinds, gallery)]
    g[0, 0], q[0, 1] = -0.0, 0.0
    g[1], q[1] = g[0], q[0]
    g[1, 0] = 0.0
    of = labels(gallery)
    products = exact_products(q, g)
    same = [[(one == other).all() for one in side for other in side] for side in (q, g)]
    for rows, equal in ((products, same[0]), (products.T, same[1])):
        twice = np.array(equal).reshape(len(rows), len(rows))
        for number, row in enumerate(rows):
            assert (rows[twice[number]] == row).all()
    np.testing.assert_allclose(products, exact_scores(q, g), rtol=1e-12)
    result = inner_products(q, g)
    assert isinstance(result, RoundedScores) == (scale == 1.0)
    trials = evaluate_trials(result, [np.arange(gallery)], *of, rule="none", merge_identities=False)
    expected = evaluate_scores(products, *of, rule="none", merge_identities=False)
    assert_equal(trials.results[0], expected)


def test_numbers_of_equal_rows() -> None:
    rows = np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 2.0], [0.0, 1.0], [-0.0, 1.0]])
    assert first_equal(rows).tolist() == [0, 1, 0, 3, 3]  # type: ignore[union-attr]
    assert first_equal(rows[:2]) is None
    assert first_equal(np.empty((3, 0))) is None
