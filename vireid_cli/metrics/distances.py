"""Cosine distances of visible–infrared pairs, within one identity and between two (FDNM, figure 6).

The distance is 1 − cosine similarity, in [0, 2]. δ is the mean over pairs of two people (inter-class) minus
the mean over pairs of one person (intra-class); a larger δ means better separation of people across
modalities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vireid_cli.types import Modality, Progress

BINS = 1000
"""Number of histogram bins, each 0.002 wide; fixed, so that the histograms of all runs share one grid."""

LARGEST = 2.0
"""Cosine distance of opposite directions."""

MOST_MERGED = 25
"""Maximum number of bins drawn as one: a distance of 0.05."""

TILE = 1024
"""Images per modality in one tile: 4 MiB of distances."""

MOST = 130_000_000_000
"""Maximum number of multiplications; beyond it, pairs of two people are sampled. Takes two seconds.
All pairs of SYSU-MM01 and of LLCM stay below it with 2,048-D embeddings, but not with FDNM's 20,480-D."""

SEED = 0
"""Seed of the sampling."""


@dataclass(frozen=True, slots=True)
class PairDistances:
    """Histograms and means of the distances of all visible–infrared pairs.

    Attributes:
        edges: (BINS + 1,) float64 from 0 to 2; a bin includes its lower edge, the last bin also includes 2.
        intra: (BINS,) int64 counts of all pairs of one person.
        inter: (BINS,) int64 counts of pairs of two people: all pairs, or about one in ``parts``.
        intra_mean: Mean distance of all pairs of one person, computed without binning.
        inter_mean: Mean distance of all pairs of two people, sampled or not.
        visible, infrared: Numbers of images per modality.
        people: Number of people with images in both modalities.
        parts: Number of parts into which the images were split; pairs of two people are counted within
            each part. 1 counts all pairs.
    """

    edges: np.ndarray
    intra: np.ndarray
    inter: np.ndarray
    intra_mean: float
    inter_mean: float
    visible: int
    infrared: int
    people: int
    parts: int = 1

    @property
    def delta(self) -> float:
        """δ: inter-class mean − intra-class mean, in [−2, 2]."""
        return self.inter_mean - self.intra_mean

    def merged(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Merge every ``number`` bins, a divisor of ``BINS``; return edges, intra and inter counts."""
        intra, inter = (counts.reshape(-1, number).sum(axis=1) for counts in (self.intra, self.inter))
        return self.edges[::number], intra, inter

    @property
    def pairs(self) -> int:
        """Number of all pairs: visible × infrared images."""
        return self.visible * self.infrared

    @property
    def of_two(self) -> int:
        """Number of all pairs of two people; ``inter`` may count a sample of them."""
        return self.pairs - int(self.intra.sum())


def readable_bins(histograms: Sequence[PairDistances]) -> int:
    """Return the number of bins to merge into one, shared by all histograms.

    The merged histogram has at most 80 bins over the occupied range and, on average, at least a hundred
    pairs of one person per bin, so that sampling noise does not dominate the outline. Pass the result to
    ``PairDistances.merged``.
    """
    occupied = np.flatnonzero(sum(one.intra + one.inter for one in histograms))
    span = int(occupied[-1] - occupied[0]) + 1
    sparse = min(float(one.intra.sum()) / np.count_nonzero(one.intra) for one in histograms)
    divisors = [n for n in range(1, MOST_MERGED + 1) if BINS % n == 0]
    return next((n for n in divisors if span / n <= 80 and n * sparse >= 100), divisors[-1])


def pair_distances(
    features: np.ndarray,
    pids: np.ndarray,
    modalities: np.ndarray,
    *,
    tile: int = TILE,
    most: int | None = MOST,
    progress: Progress | None = None,
) -> PairDistances:
    """Compute the histograms and means of visible–infrared cosine distances, tile by tile.

    The means and the histogram of one person's pairs always cover all pairs. If the number of pairs exceeds
    the limit ``most``, a fixed seed splits the images into parts with equal shares of every person, and
    pairs of two people are counted within each part, so every image contributes to the histogram. Memory
    beyond the arguments is two tiles of features, one tile of distances and one sum per person, regardless
    of the number of pairs.

    Args:
        features: (N, D) floats of any norm; a row of zeros has distance 1 to every image.
        pids: (N,) integers.
        modalities: (N,) ``Modality.code``.
        tile: Images of each modality per tile; affects results by rounding only.
        most: Maximum number of multiplications (pairs × D) without sampling; None never samples.
        progress: Callback that receives (done, total) pairs.

    Raises:
        ValueError: Lengths differ, a modality is missing, or no pair of one person or of two people exists.
    """
    if features.ndim != 2 or not len(features) == len(pids) == len(modalities):
        raise ValueError(
            f"features {features.shape}, pids {pids.shape} and modalities {modalities.shape} do not match"
        )
    order = np.lexsort((np.random.default_rng(SEED).permutation(len(pids)), pids))
    sides = tuple(order[modalities[order] == modality.code] for modality in Modality)
    visible, infrared = (len(rows) for rows in sides)
    people = np.unique(pids)
    places = (np.searchsorted(people, pids[rows]) for rows in sides)
    numbers = np.stack([np.bincount(place, minlength=len(people)) for place in places])  # (2, people)
    of_one = int(numbers.prod(axis=0).sum())
    of_two = visible * infrared - of_one
    if not (of_one and of_two):
        raise ValueError(f"{of_one} pairs of one person and {of_two} pairs of two people: both are needed")
    units = _Units(features, tile)
    parts = 1 if most is None else max(1, -(-visible * infrared * features.shape[1] // most))
    counts = _counts(units, pids, sides, parts, progress)
    means = _means(units, pids, sides, (of_one, of_two))
    edges = np.linspace(0.0, LARGEST, BINS + 1)
    shared = int(np.count_nonzero(numbers.all(axis=0)))
    return PairDistances(edges, counts[1], counts[0], *means, visible, infrared, shared, parts)


class _Units:
    """Rows of unit length, computed on access.

    Args:
        features: (N, D) floats of any norm.
        tile: Rows per tile.
    """

    def __init__(self, features: np.ndarray, tile: int) -> None:
        self.features, self.tile = features, tile
        lengths = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))
        self._scale = 1.0 / np.maximum(lengths, np.finfo(np.float32).tiny)  # a row of zeros stays zero

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return rows (n, D) of unit length in float32, or in float64 if the features are float64."""
        units = self.features[rows].astype(np.result_type(self.features, np.float32), copy=False)
        units *= self._scale[rows, None].astype(units.dtype)
        return units

    def tiles(self, rows: np.ndarray) -> list[np.ndarray]:
        """Split row numbers into tiles, in order."""
        return [rows[first : first + self.tile] for first in range(0, len(rows), self.tile)]


def _blocks(
    units: _Units, pids: np.ndarray, sides: Sequence[np.ndarray], parts: int
) -> list[tuple[np.ndarray, np.ndarray, bool]]:
    """List the products to compute: visible rows, infrared rows, and whether to count pairs of one person.

    Args:
        units: Rows of unit length, with the tile size.
        pids: (N,) labels of all rows.
        sides: Visible and infrared row numbers, sorted by person, in random order within each person.
        parts: Number of parts into which the images are split.
    """
    blocks = [
        (chosen, columns, False)
        for part in range(parts)
        for columns in units.tiles(sides[1][part::parts])
        for chosen in units.tiles(sides[0][part::parts])
    ]
    if parts == 1:
        return blocks
    # rows of a person are adjacent on both sides: a narrow band contains all pairs of one person
    infrared = pids[sides[1]]
    width = max(1, units.tile // 4)
    for first in range(0, len(sides[0]), width):
        chosen = sides[0][first : first + width]
        low = np.searchsorted(infrared, pids[chosen[0]], side="left")
        high = np.searchsorted(infrared, pids[chosen[-1]], side="right")
        blocks += [(chosen, columns, True) for columns in units.tiles(sides[1][low:high])]
    return blocks


def _counts(
    units: _Units,
    pids: np.ndarray,
    sides: Sequence[np.ndarray],
    parts: int,
    progress: Progress | None,
) -> np.ndarray:
    """Count the pairs of two people (row 0) and of one person (row 1) per bin: (2, BINS)."""
    blocks = _blocks(units, pids, sides, parts)
    total = sum(len(chosen) * len(columns) for chosen, columns, _ in blocks)
    counts = np.zeros((2, BINS), dtype=np.int64)
    done, right, loaded = 0, np.empty((0, 0)), np.empty(0)
    for chosen, columns, of_one in blocks:
        if columns is not loaded:
            right, loaded = units[columns], columns
        counted = _counted(units[chosen] @ right.T, pids[chosen][:, None] == pids[columns][None])
        if parts == 1:
            counts += counted
        else:
            counts[int(of_one)] += counted[int(of_one)]
        done += len(chosen) * len(columns)
        if progress is not None:
            progress(done, total)
    return counts


def _counted(cosines: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Histogram one tile's pairs by distance: (2, BINS); overwrites the cosines."""
    np.subtract(1.0, cosines, out=cosines)
    cosines *= BINS / LARGEST
    # rounding may produce a distance slightly below 0 or above 2
    places = np.clip(cosines, 0, BINS - 1, out=cosines).astype(np.intp)
    places += BINS * same
    return np.bincount(places.ravel(), minlength=2 * BINS).reshape(2, BINS)


def _means(
    units: _Units, pids: np.ndarray, sides: Sequence[np.ndarray], numbers: tuple[int, int]
) -> tuple[float, float]:
    """Compute the mean distance of one person's and of two people's pairs: Σ a·b = (Σ a)·(Σ b)."""
    people = np.unique(pids)
    sums = np.zeros((2, len(people), units.features.shape[1]))
    for total, side in zip(sums, sides, strict=True):
        for rows in units.tiles(side):
            unit_rows = units[rows]
            persons = np.unique(pids[rows])
            # a matrix product is many times faster than adding row by row
            total[np.searchsorted(people, persons)] += (persons[:, None] == pids[rows]).astype(
                unit_rows.dtype
            ) @ unit_rows
    of_one = float(np.einsum("pd,pd->", *sums))
    of_all = float(np.dot(*sums.sum(axis=1)))
    return 1.0 - of_one / numbers[0], 1.0 - (of_all - of_one) / numbers[1]
