"""t-SNE: groups that are apart stay apart, the same picture on any number of cores."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from vireid_cli.errors import MissingExtra, UsageError
from vireid_cli.figures import style
from vireid_cli.figures.tsne import _apart, tsne_figure, tsne_points
from vireid_cli.types import Modality

pytest.importorskip("sklearn")


def groups(people: int = 5, each: int = 8, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of people around centres of their own, and their pids."""
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(people, 96)), each, axis=0)
    features = features + noise * rng.normal(size=features.shape)
    return features / np.linalg.norm(features, axis=1, keepdims=True), np.repeat(
        np.arange(people) * 7 + 2, each
    )


@pytest.fixture(scope="module")
def laid_out():
    features, pids = groups()
    return tsne_points(features, seed=3), pids, np.tile(np.arange(8) % 2, 5).astype(np.uint8)


def test_people_who_are_apart_stay_apart(laid_out):
    points, pids, _ = laid_out
    assert points.shape == (40, 2)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + np.diag(np.full(40, np.inf))
    same = pids[:, None] == pids[None]
    assert (pids[distances.argmin(axis=1)] == pids).all()
    assert distances[same & np.isfinite(distances)].mean() < 0.3 * distances[~same].mean()


def test_cosine_means_that_length_does_not_count():
    features, _ = groups(noise=0.1)
    features -= features.mean(axis=0)  # as the principal components do
    np.testing.assert_allclose(tsne_points(features), tsne_points(2.0 * features), rtol=1e-3, atol=1e-3)


def test_any_number_of_cores_gives_the_same_points_and_another_seed_others(tmp_path):
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


def test_perplexity_bows_to_few_points():
    features, _ = groups(2, 5)
    points = tsne_points(features, perplexity=500.0)
    assert points.shape == (10, 2)
    assert np.isfinite(points).all()
    np.testing.assert_array_equal(points, tsne_points(features, perplexity=3.0))


def test_fewer_features_than_principal_components():
    points = tsne_points(np.random.default_rng(0).normal(size=(20, 4)))
    assert np.isfinite(points).all()


@pytest.mark.parametrize(
    ("features", "error", "words"),
    [
        (np.zeros((9, 4)), UsageError, "--ids"),
        (np.ones((12, 4)), UsageError, "line or a point"),
        (np.outer(np.arange(12.0), np.ones(4)), UsageError, "line or a point"),
        (np.zeros(12), ValueError, "expected"),
        (np.full((12, 4), np.nan), ValueError, "finite"),
    ],
)
def test_what_can_not_be_laid_out(features, error, words):
    with pytest.raises(error, match=words):
        tsne_points(features)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(MissingExtra, match=r"(?s)scikit-learn.*vireid\[figures\]"):
        tsne_points(np.zeros((12, 4)))


@pytest.mark.parametrize(("by", "panels"), [("both", 2), ("modality", 1), ("identity", 1)])
def test_panels_shapes_and_colours(laid_out, by, panels):
    points, pids, modalities = laid_out
    figure = tsne_figure(points, pids, modalities, by, "t-SNE", "a run")
    assert len(figure.axes) == panels
    assert [text.get_text() for text in figure.texts] == ["t-SNE", "a run"]
    for axes in figure.axes:
        assert len(axes.collections) == 2
        circles, triangles = (c.get_paths()[0].vertices for c in axes.collections)
        assert len(circles) > len(triangles)  # a curve, and three corners
        for collection, modality in zip(axes.collections, Modality, strict=True):
            mine = modalities == modality.code
            np.testing.assert_allclose(collection.get_offsets(), points[mine])
            colours = collection.get_facecolors()[:, :3]
            if axes.get_title(loc="left") == "by modality":
                np.testing.assert_allclose(colours[0], to_rgb(style.MODALITY_COLOUR[modality]))
            else:
                assert len({tuple(c) for c in colours}) == len(np.unique(pids[mine]))
                assert {t.get_text() for t in axes.texts} == {str(pid) for pid in np.unique(pids)}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["visible", "infrared"]


@pytest.mark.parametrize("name", ["a.png", "a.svg"])
def test_same_points_same_bytes(laid_out, tmp_path, name):
    first = style.save(tsne_figure(*laid_out), tmp_path / "1" / name).read_bytes()
    assert style.save(tsne_figure(*laid_out), tmp_path / "2" / name).read_bytes() == first


def test_names_that_would_overlap_are_pushed_apart():
    box = (0.3, 0.16)
    places = _apart(np.zeros((12, 2)), box, rounds=500)
    gap = np.abs(places[:, None] - places[None])
    overlap = ((gap[..., 0] < 0.99 * box[0]) & (gap[..., 1] < 0.99 * box[1])).sum() - 12
    assert overlap == 0
    far = np.array([[0.0, 0.0], [5.0, 5.0]])
    np.testing.assert_allclose(_apart(far, box), far, atol=0.002)


def test_one_person_or_one_modality_says_what_to_do(laid_out):
    points, pids, modalities = laid_out
    with pytest.raises(UsageError, match="--ids"):
        tsne_figure(points, np.zeros_like(pids), modalities)
    with pytest.raises(UsageError, match="no infrared"):
        tsne_figure(points, pids, np.zeros_like(modalities))
    with pytest.raises(ValueError, match="pids"):
        tsne_figure(points, pids[:-1], modalities)
    with pytest.raises(ValueError, match="camera"):
        tsne_figure(points, pids, modalities, by="camera")
