"""Exact search against plain loops in float64, with ties, selections and blocks of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.search.made import people, unit
from vireid_cli.search import exact
from vireid_cli.search.exact import exact_top


def truth(queries: np.ndarray, vectors: np.ndarray, slots: np.ndarray, top: int) -> list[list[int]]:
    result = []
    for query in queries:
        scores = [
            (-float((vectors[s].astype(np.float64) * query.astype(np.float64)).sum()), s) for s in slots
        ]
        result.append([int(s) for _, s in sorted(scores)[:top]])
    return result


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 90), st.integers(1, 40), st.integers(0, 10_000), st.booleans())
def test_equals_loops(count: int, top: int, seed: int, selected: bool) -> None:
    random = np.random.default_rng(seed)
    vectors = people(count, seed=seed)
    queries = unit(random.standard_normal((3, vectors.shape[1])))
    slots = np.sort(random.permutation(count)[: max(1, count // 2)]) if selected else np.arange(count)
    order, scores = exact_top(queries, vectors, slots if selected else None, top)
    assert order.shape == scores.shape == (3, top)
    expected = truth(queries, vectors, slots, top)
    assert [[s for s in row if s >= 0] for row in order.tolist()] == expected
    assert np.all(np.isneginf(scores) == (order < 0))


@pytest.mark.parametrize("copies", [5, 17, 60, 200])
@pytest.mark.parametrize("block", [7, 64, 10_000])
def test_ties_are_in_the_order_of_rows(copies: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More equal vectors than candidates, scattered over blocks: FAISS alone returns any of them."""
    monkeypatch.setattr(exact, "BLOCK_BYTES", 4 * 16 * block)
    random = np.random.default_rng(copies)
    vectors = people(400)
    places = np.sort(random.permutation(400)[:copies])
    vectors[places] = vectors[places[0]]
    query = unit(vectors[places[:1]] + 0.1 * random.standard_normal((1, 16)))
    order, scores = exact_top(query, vectors, None, 10)
    first = truth(query, vectors, np.arange(400), 10)[0]
    assert order[0].tolist() == first
    assert len(set(scores[0][np.isin(order[0], places)].tolist())) == 1


def test_scores_closer_than_float32_are_ordered() -> None:
    """Differences of 1e-9 vanish in float32; there are more such rows than candidates."""
    count, width = 300, 64
    base = np.zeros((count, width), np.float32)
    base[:, 0] = 1.0
    base[:, 1] = np.random.default_rng(1).permutation(count) * 1e-6
    query = np.zeros((1, width), np.float32)
    query[0, 0], query[0, 1] = 1.0, 1e-3
    order, _ = exact_top(query, base, None, 20)
    assert order[0].tolist() == truth(query, base, np.arange(count), 20)[0]
    assert base[order[0], 1].tolist() == sorted(base[:, 1].tolist(), reverse=True)[:20]


def test_a_query_has_the_same_result_in_any_batch() -> None:
    vectors = people(2000)
    queries = people(64, seed=9)
    together = exact_top(queries, vectors, None, 15)
    for place in range(0, 64, 13):
        alone = exact_top(queries[place : place + 1], vectors, None, 15)
        assert np.array_equal(alone[0][0], together[0][place])
        assert np.array_equal(alone[1][0], together[1][place])


def test_nothing_to_search() -> None:
    order, scores = exact_top(people(8), people(8), np.empty(0, np.int64), 3)
    assert (order == -1).all()
    assert np.isneginf(scores).all()
