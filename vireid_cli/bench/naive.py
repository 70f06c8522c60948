"""Three nearest-neighbour matchers without learning, and chance.

If raw pixels, grey-level histograms or HOG matched people across modalities, a benchmark would be too easy.
``measure_tree`` computes their cross-modality Rank-1 with the protocol of SYSU-MM01 (all-search, single-shot,
ten draws of the gallery), and the Rank-1 of a random ranking.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vireid_cli.errors import DataError
from vireid_cli.metrics.retrieval import evaluate_scores
from vireid_cli.rendered.cameras import CAMERAS
from vireid_cli.types import Modality

Array = np.ndarray
HEIGHT, WIDTH = 128, 64


@dataclass(frozen=True, slots=True)
class NaiveScore:
    """Cross-modality metrics of a matcher, in [0, 1].

    Attributes:
        rank1: Rank-1.
        mean_average_precision: mAP.
        chance: Expected Rank-1 of a random ranking for the same queries.
        queries: Number of valid queries per trial.
    """

    rank1: float
    mean_average_precision: float
    chance: float
    queries: int

    @property
    def times_chance(self) -> float:
        """Rank-1 divided by chance."""
        return self.rank1 / self.chance


def grey_levels(images: Array) -> Array:
    """Convert (N, h, w, 3) uint8 RGB to luminance, (N, h, w) in [0, 1]."""
    return images.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32) / 255.0


def pixel_features(images: Array) -> Array:
    """Compute grey pixels on a 32 × 16 grid, without the mean of the image: (N, 512), unit length."""
    grey = grey_levels(images)
    n, h, w = grey.shape
    coarse = grey.reshape(n, 32, h // 32, 16, w // 16).mean(axis=(2, 4)).reshape(n, -1)
    return _unit(coarse - coarse.mean(axis=1, keepdims=True))


def histogram_features(images: Array) -> Array:
    """Compute square roots of grey-level histograms (16 bins) of six stripes: (N, 96), unit length."""
    grey = grey_levels(images)
    n, h, _ = grey.shape
    rows = h // 6 * 6
    stripes = np.minimum((grey[:, :rows] * 16).astype(np.int64), 15).reshape(n * 6, -1)
    flat = stripes + 16 * np.arange(n * 6)[:, None]
    counts = np.bincount(flat.ravel(), minlength=n * 96).reshape(n, 96)
    return _unit(np.sqrt(counts.astype(np.float32)))


def hog_features(images: Array) -> Array:
    """Compute histograms of oriented gradients in the pedestrian layout: (N, 3780) for 128 × 64, unit length.

    Cells of 8 × 8 pixels, 9 unsigned directions with linear interpolation, overlapping blocks of 2 × 2 cells,
    L2-Hys with 0.2 (Dalal and Triggs, CVPR 2005). Unlike OpenCV's descriptor, which not every build contains,
    cells do not share votes.
    """
    grey = np.pad(grey_levels(images), ((0, 0), (1, 1), (1, 1)), mode="edge")
    down, right = grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1], grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]
    magnitude = np.hypot(down, right)
    place = (np.arctan2(down, right) % np.pi) * (9 / np.pi) - 0.5
    low = np.floor(place)
    share = place - low
    n, h, w = magnitude.shape
    votes = np.zeros((n, h // 8, w // 8, 9), dtype=np.float32)
    for direction in range(9):
        # direction −1 equals 8, because directions are periodic
        weight = magnitude * ((low % 9 == direction) * (1 - share) + ((low + 1) % 9 == direction) * share)
        votes[..., direction] = weight.reshape(n, h // 8, 8, w // 8, 8).sum(axis=(2, 4))
    corners = [votes[:, i : h // 8 - 1 + i, j : w // 8 - 1 + j] for i in (0, 1) for j in (0, 1)]
    blocks = np.concatenate(corners, axis=-1)  # (N, 15, 7, 36)
    clipped = np.minimum(blocks / (np.linalg.norm(blocks, axis=-1, keepdims=True) + 1e-3), 0.2)
    blocks = clipped / (np.linalg.norm(clipped, axis=-1, keepdims=True) + 1e-3)
    return _unit(blocks.reshape(n, -1))


MATCHERS: dict[str, Callable[[Array], Array]] = {
    "pixels": pixel_features,
    "histograms": histogram_features,
    "hog": hog_features,
}
"""Feature functions by name: from (N, 128, 64, 3) uint8 to (N, D) float32 rows of unit length."""


def _unit(features: Array) -> Array:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-8)


def match(features: Array, pids: Array, camids: Array, *, trials: int = 10, seed: int = 0) -> NaiveScore:
    """Rank visible gallery images by cosine similarity for each infrared query.

    Args:
        features: (N, D), rows of unit length.
        pids, camids: (N,) labels of the images.
        trials: Number of random galleries, with one image per person and camera.
        seed: Seed of the galleries.

    Raises:
        DataError: No query has a match in the gallery.
    """
    infrared = [c.camid for c in CAMERAS.values() if c.modality is Modality.INFRARED]
    queries = np.flatnonzero(np.isin(camids, infrared))
    values = []
    for trial in range(trials):
        gallery = _draw_gallery(pids, camids, np.random.default_rng((seed, trial)), infrared)
        result = evaluate_scores(
            features[queries] @ features[gallery].T,  # (Q, G)
            pids[queries],
            pids[gallery],
            camids[queries],
            camids[gallery],
            rule="sysu",
            merge_identities=True,
        )
        values.append((result.rank(1), result.mAP, result.chance.rank1, result.valid))
    rank1, precision, chance, valid = np.mean(values, axis=0)
    return NaiveScore(float(rank1), float(precision), float(chance), int(valid))


def _draw_gallery(pids: Array, camids: Array, rng: np.random.Generator, infrared: list[int]) -> Array:
    """Draw one visible image of each person and camera, and return the indices."""
    visible = np.flatnonzero(~np.isin(camids, infrared))
    shuffled = rng.permutation(visible)
    _, first = np.unique(pids[shuffled] * 100 + camids[shuffled], return_index=True)
    return shuffled[first]


def load_split(root: Path, split: str = "test") -> tuple[Array, Array, Array]:
    """Load a split of a tree in SYSU's layout: (N, 128, 64, 3) uint8 RGB images, pids (N,) and camids (N,).

    Raises:
        DataError: An image is unreadable.
    """
    pids = [int(pid) for pid in (root / "exp" / f"{split}_id.txt").read_text().split(",")]
    images, owners, cameras = [], [], []
    for camid in CAMERAS:
        for pid in pids:
            for path in sorted((root / f"cam{camid}" / f"{pid:04d}").glob("*.jpg")):
                image = cv2.imread(str(path), cv2.IMREAD_COLOR)
                if image is None:
                    raise DataError(f"{path} is unreadable.", "Render the tree again.")
                images.append(cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)[..., ::-1])
                owners.append(pid)
                cameras.append(camid)
    return np.stack(images), np.array(owners), np.array(cameras)


def measure_tree(root: Path, split: str = "test", *, trials: int = 10) -> dict[str, NaiveScore]:
    """Evaluate the naive matchers on a split of a tree. Returns scores, keyed by matcher."""
    images, pids, camids = load_split(Path(root), split)
    return {name: match(features(images), pids, camids, trials=trials) for name, features in MATCHERS.items()}
