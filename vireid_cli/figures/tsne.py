"""t-SNE of image features: points on a plane, identical on every machine.

Requires scikit-learn, from the extra ``figures``.
"""

from __future__ import annotations

import importlib

import numpy as np

from vireid_cli.counts import counted
from vireid_cli.errors import MissingExtra, UsageError

FEWEST_POINTS = 10
PRINCIPAL = 50
"""Number of principal components computed before t-SNE."""


def tsne_points(features: np.ndarray, seed: int = 0, perplexity: float = 30.0) -> np.ndarray:
    """Compute t-SNE points (N, 2), identical for identical arguments on any number of cores.

    Projects onto at most 50 principal components, then runs t-SNE with cosine distances, initialised with
    the first two components.

    Args:
        features: (N, D), N ≥ 10.
        seed: Seed of a noise of one tenth added to the initial points; differences between seeds are chance.
        perplexity: Approximate number of neighbours; limited to (N − 1) / 3.

    Raises:
        MissingExtra: scikit-learn is not installed.
        ValueError: ``features`` is not (N, D) or not finite.
        UsageError: Fewer than ten points.
    """
    if features.ndim != 2 or not np.isfinite(features).all():
        raise ValueError(f"features: expected (N, D) of finite numbers, not {features.shape}")
    if len(features) < FEWEST_POINTS:
        raise UsageError(
            f"{counted(len(features), 'image')}: too few for t-SNE, which needs {FEWEST_POINTS} or more.",
            "Show more identities (--ids), or more images of each.",
        )
    try:
        threads = importlib.import_module("threadpoolctl")  # comes with scikit-learn
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingExtra("scikit-learn", "figures", "The t-SNE figure") from error
    data = features.astype(np.float64)
    degenerate = UsageError(
        "The features vary in fewer than two directions, so t-SNE has no plane.", "Train first: vireid train"
    )
    if not np.ptp(data, axis=0).any():
        raise degenerate
    kept = min(PRINCIPAL, *data.shape)
    with threads.threadpool_limits(limits=1):  # threads sum in a varying order
        data = PCA(n_components=kept, svd_solver="full").fit_transform(data)  # (N, kept)
        # the cosine would amplify a coordinate that consists of rounding noise
        data = data[:, data.std(axis=0) > 1e-9 * max(float(data.std()), 1e-30)]
        if data.shape[1] < 2:
            raise degenerate
        tsne = TSNE(
            n_components=2,
            perplexity=min(perplexity, (len(data) - 1) / 3),
            metric="cosine",
            init=_start(data, seed),
            learning_rate="auto",
            random_state=seed,
        )
        return np.asarray(tsne.fit_transform(data), dtype=np.float64)


def _start(components: np.ndarray, seed: int) -> np.ndarray:
    """Compute initial points (N, 2) float32: the first two components at t-SNE's small scale, plus noise.

    Without the noise, t-SNE would be deterministic and the seed would have no effect.
    """
    start = 1e-4 * components[:, :2] / components[:, 0].std()
    noise = np.random.default_rng(seed).normal(scale=1e-5, size=start.shape)
    return (start + noise).astype(np.float32)
