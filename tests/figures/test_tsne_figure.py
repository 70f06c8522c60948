"""t-SNE: separate groups stay separate; the number of cores has no effect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vireid_cli.errors import MissingExtra, UsageError
from vireid_cli.figures.tsne import tsne_points

pytest.importorskip("sklearn")


def groups(people: int = 5, each: int = 8, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings of people around separate centres, and their pids."""
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(people, 96)), each, axis=0)
    features = features + noise * rng.normal(size=features.shape)
    return features / np.linalg.norm(features, axis=1, keepdims=True), np.repeat(
        np.arange(people) * 7 + 2, each
    )


@pytest.fixture(scope="module")
def laid_out() -> tuple[NDArray[Any], NDArray[Any]]:
    features, pids = groups()
    return tsne_points(features, seed=3), pids


def test_separate_people_stay_separate(laid_out: tuple[NDArray[Any], NDArray[Any]]) -> None:
    points, pids = laid_out
    assert points.shape == (40, 2)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + np.diag(np.full(40, np.inf))
    same = pids[:, None] == pids[None]
    assert (pids[distances.argmin(axis=1)] == pids).all()
    assert distances[same & np.isfinite(distances)].mean() < 0.3 * distances[~same].mean()


def test_norm_of_features_has_no_effect() -> None:
    features, _ = groups(noise=0.1)
    features -= features.mean(axis=0)  # as the principal components do
    np.testing.assert_allclose(tsne_points(features), tsne_points(2.0 * features), rtol=1e-3, atol=1e-3)


def test_points_depend_on_the_seed_but_not_on_cores(tmp_path: Path) -> None:
    features = groups(6, 20)[0]
    np.save(tmp_path / "features.npy", features)
    code = (
        "import sys, numpy as np; from vireid_cli.figures.tsne import tsne_points;"
        "print(tsne_points(np.load(sys.argv[1]), seed=4).tobytes().hex())"
    )
    alone = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "features.npy")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    here = tsne_points(features, seed=4)
    assert alone.stdout.strip() == here.tobytes().hex()
    assert np.abs(tsne_points(features, seed=5) - here).max() > 0


def test_perplexity_is_limited_for_few_points() -> None:
    features, _ = groups(2, 5)
    points = tsne_points(features, perplexity=500.0)
    assert points.shape == (10, 2)
    assert np.isfinite(points).all()
    np.testing.assert_array_equal(points, tsne_points(features, perplexity=3.0))


def test_fewer_features_than_principal_components() -> None:
    points = tsne_points(np.random.default_rng(0).normal(size=(20, 4)))
    assert np.isfinite(points).all()


@pytest.mark.parametrize(
    ("features", "error", "words"),
    [
        (np.zeros((9, 4)), UsageError, "--ids"),
        (np.ones((12, 4)), UsageError, "fewer than two directions"),
        (np.outer(np.arange(12.0), np.ones(4)), UsageError, "fewer than two directions"),
        (np.zeros(12), ValueError, "expected"),
        (np.full((12, 4), np.nan), ValueError, "finite"),
    ],
)
def test_invalid_features_raise(features: NDArray[Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        tsne_points(features)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(MissingExtra, match=r"(?s)scikit-learn.*vireid\[figures\]"):
        tsne_points(np.zeros((12, 4)))
