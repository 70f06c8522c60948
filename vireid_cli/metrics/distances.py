"""Cosine distances between visible and infrared images of one person and of two: FDNM's sixth figure.

The distance is 1 − cosine similarity, in [0, 2]. δ is the mean over pairs of two people (inter-class) minus
the mean over pairs of one person (intra-class): the larger, the better are people told apart across
modality.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vireid_cli.types import Modality

BINS = 1000
"""Bins of a histogram, each 0.002 wide: fixed, so that the histograms of all runs lie on one grid."""

LARGEST = 2.0
"""The cosine distance of opposite directions."""

MOST_MERGED = 25
"""Bins that are drawn as one at most: 0.05 of distance."""

TILE = 1024
"""Images of each modality whose pairs are held at once: 4 MiB of distances."""


@dataclass(frozen=True, slots=True)
class PairDistances:
    """Distances of all visible–infrared pairs, counted.

    Attributes:
        edges: (BINS + 1,) float64 from 0 to 2; a bin holds its lower edge, the last one 2 as well.
        intra: (BINS,) int64 pairs of images of one person.
        inter: (BINS,) int64 pairs of images of two people.
        intra_mean: Mean distance of those pairs themselves, not of their bins.
        inter_mean: The same over pairs of two people.
        visible, infrared: Images of each modality.
        people: Persons with images in both.
    """

    edges: np.ndarray
    intra: np.ndarray
    inter: np.ndarray
    intra_mean: float
    inter_mean: float
    visible: int
    infrared: int
    people: int

    @property
    def delta(self) -> float:
        """δ = inter-class mean − intra-class mean; in [−2, 2]."""
        return self.inter_mean - self.intra_mean

    def merged(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Edges, intra and inter of wider bins, ``number`` of the bins in each; it divides ``BINS``."""
        intra, inter = (counts.reshape(-1, number).sum(axis=1) for counts in (self.intra, self.inter))
        return self.edges[::number], intra, inter

    @property
    def pairs(self) -> int:
        """All pairs: visible × infrared images."""
        return self.visible * self.infrared


def readable_bins(found: Sequence[PairDistances]) -> int:
    """How many bins to draw as one, the same for all: ``PairDistances.merged`` takes it.

    Few enough for a smooth outline, at most 80 over all distances that occur; and so many that each holds
    a hundred pairs of one person on average, lest chance draws a comb.
    """
    occupied = np.flatnonzero(sum(one.intra + one.inter for one in found))
    span = int(occupied[-1] - occupied[0]) + 1
    sparse = min(float(one.intra.sum()) / np.count_nonzero(one.intra) for one in found)
    divisors = [n for n in range(1, MOST_MERGED + 1) if BINS % n == 0]
    return next((n for n in divisors if span / n <= 80 and n * sparse >= 100), divisors[-1])


def pair_distances(
    features: np.ndarray,
    pids: np.ndarray,
    modalities: np.ndarray,
    *,
    tile: int = TILE,
    progress: Callable[[int, int], None] | None = None,
) -> PairDistances:
    """Count the cosine distances of every visible image to every infrared one, tile by tile.

    Beside its arguments it holds two tiles of features and one of distances, however many pairs there are.

    Args:
        features: (N, D) floats of any length; a row of zeros is at distance 1 from everything.
        pids: (N,) integers.
        modalities: (N,) ``Modality.code``.
        tile: Images of each modality at once; moves no pair but by the rounding of a product.
        progress: Called with (done, total) pairs.

    Raises:
        ValueError: Lengths differ, a modality is missing, or there is no pair of one or of two people.
    """
    if features.ndim != 2 or not len(features) == len(pids) == len(modalities):
        raise ValueError(f"features {features.shape}, pids {pids.shape}, modalities {modalities.shape}")
    rows = {modality: np.flatnonzero(modalities == modality.code) for modality in Modality}
    visible, infrared = rows[Modality.VISIBLE], rows[Modality.INFRARED]
    people = len(np.intersect1d(pids[visible], pids[infrared]))
    total = len(visible) * len(infrared)
    lengths = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))
    lengths = np.maximum(lengths, np.finfo(np.float32).tiny)  # a row of zeros stays one
    counts = np.zeros((2, BINS), dtype=np.int64)  # of two people, of one
    sums = np.zeros(2)
    done = 0
    for first in range(0, len(infrared), tile):
        columns = infrared[first : first + tile]
        right = _widened(features[columns])
        for start in range(0, len(visible), tile):
            chosen = visible[start : start + tile]
            distances = _widened(features[chosen]) @ right.T  # (tile, tile)
            distances /= lengths[chosen][:, None]
            distances /= lengths[columns]
            np.subtract(1.0, distances, out=distances)
            _count(distances, pids[chosen][:, None] == pids[columns][None], counts, sums)
            done += distances.size
            if progress is not None:
                progress(done, total)
    numbers = counts.sum(axis=1)
    if not numbers.all():
        raise ValueError(f"{numbers[1]} pairs of one person and {numbers[0]} of two: need both")
    inter, intra = (float(mean) for mean in sums / numbers)
    edges = np.linspace(0.0, LARGEST, BINS + 1)
    return PairDistances(edges, counts[1], counts[0], intra, inter, len(visible), len(infrared), people)


def _widened(features: np.ndarray) -> np.ndarray:
    """Features in float32; float64 stays."""
    return features.astype(np.result_type(features, np.float32), copy=False)


def _count(distances: np.ndarray, same: np.ndarray, counts: np.ndarray, sums: np.ndarray) -> None:
    """Add one tile's pairs to ``counts`` (2, BINS) and their distances to ``sums`` (2,)."""
    of_one = float(distances[same].sum(dtype=np.float64))
    sums += (float(distances.sum(dtype=np.float64)) - of_one, of_one)
    # rounding may take a distance a hair below 0 or above 2
    places = np.clip(distances * (BINS / LARGEST), 0, BINS - 1).astype(np.intp)
    places += BINS * same
    counts += np.bincount(places.ravel(), minlength=2 * BINS).reshape(2, BINS)
