"""Chance level of a CMC against all orders of a small gallery and exact fractions."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from vireid_cli.bench.oracle import evaluate_by_loop
from vireid_cli.metrics.camera_rules import CameraRule
from vireid_cli.metrics.chance import chance_cmc
from vireid_cli.metrics.retrieval import evaluate_scores

GALLERY = {"g_pids": np.array([1, 1, 2, 2, 2, 3, 9]), "g_camids": np.array([1, 2, 1, 2, 4, 2, 3])}
QUERY = {"q_pids": np.array([1, 2, 2, 3, 1, 7]), "q_camids": np.array([6, 3, 6, 6, 1, 6])}


def level(ranks: int, rule: CameraRule, merge: bool) -> np.ndarray:
    return chance_cmc(**QUERY, **GALLERY, rule=rule, merge_identities=merge, ranks=ranks)


@pytest.mark.parametrize("merge", [True, False], ids=["identities", "images"])
@pytest.mark.parametrize("rule", ["none", "sysu", "llcm"])
def test_mean_over_every_order_of_the_gallery(rule: CameraRule, merge: bool) -> None:
    orders = np.array(list(itertools.permutations(range(7))), dtype=np.float64)  # (5040, 7)
    queries = {name: np.tile(labels, len(orders)) for name, labels in QUERY.items()}
    labels: dict[str, Any] = queries | GALLERY
    curve = evaluate_scores(
        orders.repeat(6, axis=0), **labels, rule=rule, merge_identities=merge, ranks=7
    ).cmc
    np.testing.assert_allclose(level(7, rule, merge), curve, rtol=0, atol=1e-12)


def test_one_image_per_identity() -> None:
    pids = np.arange(5)
    levels = chance_cmc(pids, pids, pids, pids, rule="none", merge_identities=True, ranks=7)
    np.testing.assert_allclose(levels, [0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0], rtol=0, atol=1e-13)


def test_two_of_six_images() -> None:
    gallery = np.array([4, 4, 1, 1, 2, 3])
    levels = chance_cmc(
        np.array([4]), gallery, np.array([1]), np.ones(6), rule="none", merge_identities=False, ranks=3
    )
    expected = [
        1 - Fraction(4, 6),
        1 - Fraction(4, 6) * Fraction(3, 5),
        1 - Fraction(4, 6) * Fraction(3, 5) * Fraction(2, 4),
    ]
    np.testing.assert_allclose(levels, [float(x) for x in expected], rtol=0, atol=1e-13)


def test_benchmark_size_against_sampled_orders() -> None:
    random = np.random.default_rng(0)
    g_pids = np.repeat(np.arange(96), random.integers(1, 5, 96))
    g_camids = random.choice([1, 2, 4, 5], len(g_pids))
    q_pids, q_camids = np.repeat(np.arange(96), 2), np.tile([3, 6], 96)
    drawn = [
        evaluate_by_loop(
            random.random((len(q_pids), len(g_pids))),
            q_pids,
            g_pids,
            q_camids,
            g_camids,
            rule="sysu",
            merge_identities=True,
        )[0]
        for _ in range(10)
    ]
    levels = chance_cmc(q_pids, g_pids, q_camids, g_camids, rule="sysu", merge_identities=True)
    error = np.std(drawn, axis=0) / np.sqrt(10)
    assert (np.abs(levels[:20] - np.mean(drawn, axis=0)) < 4 * error).all()
    assert len(levels) == 50
    assert (np.diff(levels) > 0).all()


def test_queries_without_match_raise() -> None:
    with pytest.raises(ValueError, match="legal match"):
        chance_cmc(
            np.array([1]), np.array([2]), np.array([1]), np.array([1]), rule="none", merge_identities=True
        )
