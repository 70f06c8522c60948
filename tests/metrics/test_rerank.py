"""Re-ranking against a plain implementation of the authors' procedure."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vireid_cli.errors import UsageError
from vireid_cli.metrics import rerank
from vireid_cli.metrics.rerank import gallery_mean, k_reciprocal


def plain(q: NDArray[Any], g: NDArray[Any], k1: int = 20, k2: int = 6, weight: float = 0.3) -> NDArray[Any]:
    """Compute the published procedure with full matrices and a loop over images, in float64."""
    x = np.concatenate([q, g]).astype(np.float64)
    total, queries = len(x), len(q)
    distance = np.array([[((a - b) ** 2).sum() for b in x] for a in x])
    distance = distance / distance.max(axis=1)[:, None]
    rank = np.argsort(distance, axis=1, kind="stable")
    encoding = np.zeros((total, total))
    for i in range(total):
        forward = rank[i, : k1 + 1]
        near = [j for j in forward if i in rank[j, : k1 + 1]]
        expanded = set(near)
        for candidate in near:
            half = int(np.around(k1 / 2)) + 1
            candidates = [j for j in rank[candidate, :half] if candidate in rank[j, :half]]
            if len(set(candidates) & set(near)) > 2 / 3 * len(candidates):
                expanded |= set(candidates)
        members = sorted(expanded)
        weights = np.exp(-distance[i, members])
        encoding[i, members] = weights / weights.sum()
    if k2 > 1:
        encoding = np.array([encoding[rank[i, :k2]].mean(axis=0) for i in range(total)])
    final = np.empty((queries, total - queries))
    for i in range(queries):
        for j in range(queries, total):
            shared = np.minimum(encoding[i], encoding[j]).sum()
            final[i, j - queries] = (1 - shared / (2 - shared)) * (1 - weight) + distance[i, j] * weight
    return final


def people(seed: int, queries: int = 30, gallery: int = 50, width: int = 6) -> list[NDArray[Any]]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((8, width))
    sides = (centres[np.arange(n) % 8] + 0.7 * rng.standard_normal((n, width)) for n in (queries, gallery))
    return [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in sides]


@pytest.mark.parametrize(
    ("seed", "options"),
    [
        (0, {}),
        (1, {"k1": 5, "k2": 2}),
        (2, {"k1": 7, "k2": 1, "weight": 0.0}),
        (3, {"k1": 10, "k2": 4, "weight": 1.0}),
    ],
)
def test_equals_the_plain_procedure(seed: int, options: dict[str, Any]) -> None:
    q, g = people(seed)
    np.testing.assert_allclose(k_reciprocal(q, g, **options), plain(q, g, **options), rtol=0, atol=1e-9)


def test_block_size_does_not_affect_result(monkeypatch: pytest.MonkeyPatch) -> None:
    q, g = people(4)
    whole = k_reciprocal(q, g)
    monkeypatch.setattr(rerank, "_CELLS", 100)
    np.testing.assert_allclose(k_reciprocal(q, g), whole, rtol=0, atol=1e-12)


def test_fewer_images_than_neighbours() -> None:
    q, g = people(5, queries=4, gallery=9)
    np.testing.assert_allclose(k_reciprocal(q, g), plain(q, g), rtol=0, atol=1e-9)


def test_features_of_any_norm() -> None:
    q, g = people(6)
    np.testing.assert_allclose(k_reciprocal(3 * q, 3 * g), plain(3 * q, 3 * g), rtol=0, atol=1e-9)


def test_invalid_settings_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    q, g = people(0)
    with pytest.raises(UsageError, match="k2"):
        k_reciprocal(q, g, k1=3, k2=9)
    monkeypatch.setattr(rerank, "MOST_CELLS", 100)
    with pytest.raises(UsageError, match="re-ranking 30 queries against 50"):
        k_reciprocal(q, g)


def test_gallery_mean_by_hand() -> None:
    q, g = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [0.6, 0.8]])
    means = gallery_mean(q, g, np.array([[1, 0], [0, -1]]))
    first = np.array([1.6, 1.8]) / np.hypot(1.6, 1.8)
    np.testing.assert_allclose(means, [first, [0.0, 1.0]])


def test_gallery_mean_of_images_that_cancel() -> None:
    """The mean has no direction: it is 0 and never NaN, which would give the query an arbitrary order."""
    q, g = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[-1.0, 0.0]])
    means = gallery_mean(q, g, np.array([[0], [-1]]))
    assert means.tolist() == [[0.0, 0.0], [0.0, 1.0]]
