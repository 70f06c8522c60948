"""t-SNE: features of images as points on a plane, the same ones on every machine.

Needs scikit-learn, the extra ``figures``.
"""

from __future__ import annotations

import importlib

import numpy as np

from vireid_cli.errors import MissingExtra, UsageError

FEWEST_POINTS = 10
PRINCIPAL = 50
"""Principal components that are kept before t-SNE."""


def tsne_points(features: np.ndarray, seed: int = 0, perplexity: float = 30.0) -> np.ndarray:
    """Lay features out on a plane, (N, 2): the same points for the same arguments, on any number of cores.

    Principal components first (at most 50), then t-SNE with cosine distances, started from the first
    two components.

    Args:
        features: (N, D), N ≥ 10.
        seed: Disturbs the start by a tenth: what another seed lays out differently is chance.
        perplexity: About the number of neighbours that count; taken down to (N − 1) / 3 where there
            are fewer points than that needs.

    Raises:
        MissingExtra: scikit-learn is not installed.
        ValueError: ``features`` is not (N, D), or holds numbers that are not finite.
        UsageError: Fewer than ten points.
    """
    if features.ndim != 2 or not np.isfinite(features).all():
        raise ValueError(f"features: expected (N, D) of finite numbers, not {features.shape}")
    if len(features) < FEWEST_POINTS:
        raise UsageError(
            f"{len(features)} images are too few for t-SNE; it needs {FEWEST_POINTS} or more.",
            "Show more identities (--ids), or more images of each.",
        )
    try:
        threads = importlib.import_module("threadpoolctl")  # comes with scikit-learn
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingExtra("scikit-learn", "figures", "The t-SNE figure") from error
    data = features.astype(np.float64)
    nowhere = UsageError(
        "The features lie on a line or a point: nothing to lay out.", "Train first: vireid train"
    )
    if not np.ptp(data, axis=0).any():
        raise nowhere
    kept = min(PRINCIPAL, *data.shape)
    with threads.threadpool_limits(limits=1):  # sums over several threads come out in another order each time
        data = PCA(n_components=kept, svd_solver="full").fit_transform(data)  # (N, kept)
        # rounding noise in place of a coordinate would become a direction of its own under the cosine
        data = data[:, data.std(axis=0) > 1e-9 * max(float(data.std()), 1e-30)]
        if data.shape[1] < 2:
            raise nowhere
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
    """Starting points, (N, 2) float32: the first two components at t-SNE's small scale, disturbed.

    From the components alone t-SNE draws nothing at random, and a seed would change nothing.
    """
    start = 1e-4 * components[:, :2] / components[:, 0].std()
    noise = np.random.default_rng(seed).normal(scale=1e-5, size=start.shape)
    return (start + noise).astype(np.float32)
