"""Re-ranking of many queries equals that of each query by itself."""

import numpy as np
import pytest

from vireid_cli.metrics import rerank_each
from vireid_cli.metrics.rerank import k_reciprocal
from vireid_cli.metrics.rerank_each import k_reciprocal_each


def made(queries: int, gallery: int, width: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    centres = random.standard_normal((10, width))
    sides = [
        centres[np.arange(n) % 10] + 0.8 * random.standard_normal((n, width)) for n in (queries, gallery)
    ]
    q, g = ((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32) for rows in sides)
    return q, g


def nearest(q: np.ndarray, g: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(-(q @ g.T), axis=1)[:, :count]


def check(q: np.ndarray, g: np.ndarray, chosen: np.ndarray) -> None:
    result = k_reciprocal_each(q, g, chosen)
    for row, known, query in zip(result, chosen, q, strict=True):
        count = int((known >= 0).sum())
        assert np.isinf(row[count:]).all()
        if count:
            expected = k_reciprocal(query[None], g[known[:count]])[0]
            np.testing.assert_allclose(row[:count], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("gallery", "count"), [(90, 90), (120, 80), (400, 60), (30, 5), (30, 1)])
def test_equals_each_query_by_itself(gallery: int, count: int) -> None:
    """All queries share the gallery, most of it, little of it; fewer candidates than neighbours."""
    q, g = made(12, gallery)
    check(q, g, nearest(q, g, count))


def test_shared_candidates_of_which_lists_are_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of neighbours without enough candidates of a query are computed from all distances."""
    monkeypatch.setattr(rerank_each, "_SHARED", 22)
    monkeypatch.setattr(rerank_each, "_FARTHEST", 1)
    q, g = made(12, 120)
    check(q, g, np.array([np.random.default_rng(i).permutation(120)[:70] for i in range(12)]))


def test_different_numbers_of_candidates() -> None:
    q, g = made(7, 60)
    chosen = nearest(q, g, 50)
    for row, count in zip(chosen, (50, 30, 0, 50, 1, 30, 25), strict=True):
        row[count:] = -1
    check(q, g, chosen)


def test_steps_do_not_affect_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    q, g = made(9, 80)
    chosen = nearest(q, g, 80)
    whole = k_reciprocal_each(q, g, chosen)
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(rerank_each, "_NODES", 200)
    result = k_reciprocal_each(q, g, chosen, progress=lambda done, total: calls.append((done, total)))
    np.testing.assert_allclose(result, whole, rtol=0, atol=1e-12)
    assert calls == [(2, 9), (4, 9), (6, 9), (8, 9), (9, 9)]
