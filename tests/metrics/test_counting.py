"""Counting better images by comparison and by sorting, against a plain loop and each other."""

from typing import Any

import numpy as np
import pytest

from vireid_cli.metrics import ranking
from vireid_cli.metrics.camera_rules import CameraRule, ignore, ignored_cells
from vireid_cli.metrics.counting import COUNT_GROUP, by_comparing, by_sorting
from vireid_cli.metrics.retrieval import evaluate_scores

RULES = ["none", "sysu", "llcm"]


@pytest.mark.parametrize("width", [COUNT_GROUP - 1, COUNT_GROUP, 2 * COUNT_GROUP + 3])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_both_counts_equal_a_plain_loop(width: int, kind: type[np.floating[Any]]) -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 40, (5, width)).astype(kind)  # many ties
    scores[1] = 7  # all equal: every byte of every group is set
    scores[2, : width // 2] = -np.inf
    row = np.array([0, 0, 0, 1, 1, 2, 4])
    value = np.array([-1, 3, 40, 7, 6.5, 11, 39], dtype=kind)
    more = np.array([(scores[r] > v).sum() for r, v in zip(row, value, strict=True)])
    equal = np.array([(scores[r] == v).sum() for r, v in zip(row, value, strict=True)])
    greater, at_least = by_comparing(scores, row, value, value)
    np.testing.assert_array_equal(greater, more)
    np.testing.assert_array_equal(at_least, more + equal)
    greater, at_least = by_sorting(scores, row, value, value)
    np.testing.assert_array_equal(greater, more)
    np.testing.assert_array_equal(at_least, more + np.minimum(equal, 2))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("tied", [False, True])
def test_both_counts_give_equal_results(
    monkeypatch: pytest.MonkeyPatch, rule: CameraRule, tied: bool
) -> None:
    rng = np.random.default_rng(1)
    scores = (
        rng.integers(0, 30, (40, 900)) if tied else rng.permuted(np.tile(np.arange(900), (40, 1)), axis=1)
    )
    labels = (
        rng.integers(0, 12, 40),
        rng.integers(0, 90, 900),
        rng.choice([3, 6], 40),
        rng.choice([1, 2, 3, 4], 900),
    )
    for merge in (False, True):
        results = []
        for least in (1, 10_000):  # always compare, then always sort
            monkeypatch.setattr(ranking, "COUNT_FROM", least)
            monkeypatch.setattr(ranking, "COUNT_CELLS", 7 * 900 * 3)  # parts that do not divide the block
            results.append(evaluate_scores(scores, *labels, rule=rule, merge_identities=merge))
        compared, ordered = results
        np.testing.assert_array_equal(compared.average_precision, ordered.average_precision)
        np.testing.assert_array_equal(compared.inverse_negative_penalty, ordered.inverse_negative_penalty)
        np.testing.assert_array_equal(compared.first_rank, ordered.first_rank)


@pytest.mark.parametrize("rule", RULES)
def test_ignore_writes_and_counts_cells(rule: CameraRule) -> None:
    rng = np.random.default_rng(2)
    labels = (rng.integers(0, 5, 8), rng.choice([3, 6], 8), rng.integers(0, 5, 30), rng.choice([2, 3, 6], 30))
    scores = rng.standard_normal((8, 30))
    scores[:, 0] = np.nan  # ignored cells may hold any value, all others stay unchanged
    expected, mask = scores.copy(), ignored_cells(rule, *labels)
    dropped = ignore(rule, *labels, scores)
    if mask is None:
        mask = np.zeros(scores.shape, dtype=bool)
    np.testing.assert_array_equal(np.broadcast_to(dropped, 8), mask.sum(axis=1))
    assert (scores[mask] == -np.inf).all()
    finite = ~mask & np.isfinite(expected)
    np.testing.assert_array_equal(scores[finite], expected[finite])
    assert not np.isfinite(scores[:, 0]).any()
