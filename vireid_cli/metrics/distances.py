"""Cosine distances between visible and infrared images of one person and of two: FDNM's sixth figure.

The distance is 1 − cosine similarity, in [0, 2]. δ is the mean over pairs of two people (inter-class) minus
the mean over pairs of one person (intra-class): the larger, the better are people told apart across
modality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vireid_cli.types import Modality, Progress

BINS = 1000
"""Bins of a histogram, each 0.002 wide: fixed, so that the histograms of all runs lie on one grid."""

LARGEST = 2.0
"""The cosine distance of opposite directions."""

MOST_MERGED = 25
"""Bins that are drawn as one at most: 0.05 of distance."""

TILE = 1024
"""Images of each modality whose pairs are held at once: 4 MiB of distances."""

MOST = 130_000_000_000
"""Multiplications above which pairs of two people are drawn instead of counted in full: two seconds.
All pairs of SYSU-MM01 and of LLCM stay below with 2,048 numbers an embedding; FDNM's 20,480 do not."""

SEED = 0
"""Of the draw."""


@dataclass(frozen=True, slots=True)
class PairDistances:
    """Distances of all visible–infrared pairs, counted.

    Attributes:
        edges: (BINS + 1,) float64 from 0 to 2; a bin holds its lower edge, the last one 2 as well.
        intra: (BINS,) int64 pairs of images of one person, all of them.
        inter: (BINS,) int64 pairs of images of two people: all, or about one in ``parts``.
        intra_mean: Mean distance of all those pairs themselves, not of their bins.
        inter_mean: The same over all pairs of two people, however many were drawn.
        visible, infrared: Images of each modality.
        people: Persons with images in both.
        parts: In how many parts the images were dealt, so that each was compared with those of two people's
            pairs that lie in its own; 1: with all.
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

    @property
    def of_two(self) -> int:
        """All pairs of two people, of which ``inter`` holds those that were counted."""
        return self.pairs - int(self.intra.sum())


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
    most: int | None = MOST,
    progress: Progress | None = None,
) -> PairDistances:
    """Count the cosine distances of visible images to infrared ones, tile by tile.

    Means and the pairs of one person are always of all. Where all pairs are more than ``most`` allows,
    images are dealt by a fixed seed into parts in which people have equal shares, and pairs of two people
    are counted within each part: every image has its place in the histogram. Beside its arguments it holds
    two tiles of features, one of distances, and a sum for each person, however many pairs there are.

    Args:
        features: (N, D) floats of any length; a row of zeros is at distance 1 from everything.
        pids: (N,) integers.
        modalities: (N,) ``Modality.code``.
        tile: Images of each modality at once; moves no pair but by the rounding of a product.
        most: Multiplications, pairs times D, up to which every pair is counted; None: always.
        progress: Called with (done, total) pairs.

    Raises:
        ValueError: Lengths differ, a modality is missing, or there is no pair of one or of two people.
    """
    if features.ndim != 2 or not len(features) == len(pids) == len(modalities):
        raise ValueError(f"features {features.shape}, pids {pids.shape}, modalities {modalities.shape}")
    order = np.lexsort((np.random.default_rng(SEED).permutation(len(pids)), pids))
    sides = tuple(order[modalities[order] == modality.code] for modality in Modality)
    visible, infrared = (len(rows) for rows in sides)
    people = np.unique(pids)
    places = (np.searchsorted(people, pids[rows]) for rows in sides)
    numbers = np.stack([np.bincount(place, minlength=len(people)) for place in places])  # (2, people)
    of_one = int(numbers.prod(axis=0).sum())
    of_two = visible * infrared - of_one
    if not (of_one and of_two):
        raise ValueError(f"{of_one} pairs of one person and {of_two} of two: need both")
    units = _Units(features, tile)
    parts = 1 if most is None else max(1, -(-visible * infrared * features.shape[1] // most))
    counts = _counts(units, pids, sides, parts, progress)
    means = _means(units, pids, sides, (of_one, of_two))
    edges = np.linspace(0.0, LARGEST, BINS + 1)
    shared = int(np.count_nonzero(numbers.all(axis=0)))
    return PairDistances(edges, counts[1], counts[0], *means, visible, infrared, shared, parts)


class _Units:
    """Rows of unit length, made when they are wanted.

    Args:
        features: (N, D) floats of any length.
        tile: Rows at once.
    """

    def __init__(self, features: np.ndarray, tile: int) -> None:
        self.features, self.tile = features, tile
        lengths = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))
        self._scale = 1.0 / np.maximum(lengths, np.finfo(np.float32).tiny)  # a row of zeros stays one

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """(n, D) in float32; float64 stays."""
        found = self.features[rows].astype(np.result_type(self.features, np.float32), copy=False)
        found *= self._scale[rows, None].astype(found.dtype)
        return found

    def tiles(self, rows: np.ndarray) -> list[np.ndarray]:
        """Rows in their order, a tile at a time."""
        return [rows[first : first + self.tile] for first in range(0, len(rows), self.tile)]


def _blocks(
    units: _Units, pids: np.ndarray, sides: Sequence[np.ndarray], parts: int
) -> list[tuple[np.ndarray, np.ndarray, bool]]:
    """What is multiplied with what: rows of each modality, and whether for their pairs of one person.

    Args:
        units: Give the size of a tile.
        pids: Of all rows.
        sides: Visible and infrared rows by person, in a random order within each.
        parts: Into how many the pairs of two people are dealt.
    """
    found = [
        (chosen, columns, False)
        for part in range(parts)
        for columns in units.tiles(sides[1][part::parts])
        for chosen in units.tiles(sides[0][part::parts])
    ]
    if parts == 1:
        return found
    # people stand together on both sides: a narrow band holds all pairs of one person
    infrared = pids[sides[1]]
    width = max(1, units.tile // 4)
    for first in range(0, len(sides[0]), width):
        chosen = sides[0][first : first + width]
        low = np.searchsorted(infrared, pids[chosen[0]], side="left")
        high = np.searchsorted(infrared, pids[chosen[-1]], side="right")
        found += [(chosen, columns, True) for columns in units.tiles(sides[1][low:high])]
    return found


def _counts(
    units: _Units,
    pids: np.ndarray,
    sides: Sequence[np.ndarray],
    parts: int,
    progress: Progress | None,
) -> np.ndarray:
    """(2, BINS) pairs of two people and of one."""
    blocks = _blocks(units, pids, sides, parts)
    total = sum(len(chosen) * len(columns) for chosen, columns, _ in blocks)
    counts = np.zeros((2, BINS), dtype=np.int64)
    done, right, held = 0, np.empty((0, 0)), np.empty(0)
    for chosen, columns, of_one in blocks:
        if columns is not held:
            right, held = units[columns], columns
        found = _counted(units[chosen] @ right.T, pids[chosen][:, None] == pids[columns][None])
        if parts == 1:
            counts += found
        else:
            counts[int(of_one)] += found[int(of_one)]
        done += len(chosen) * len(columns)
        if progress is not None:
            progress(done, total)
    return counts


def _counted(cosines: np.ndarray, same: np.ndarray) -> np.ndarray:
    """One tile's pairs by their distance, (2, BINS); the cosines are used up."""
    np.subtract(1.0, cosines, out=cosines)
    cosines *= BINS / LARGEST
    # rounding may take a distance a hair below 0 or above 2
    places = np.clip(cosines, 0, BINS - 1, out=cosines).astype(np.intp)
    places += BINS * same
    return np.bincount(places.ravel(), minlength=2 * BINS).reshape(2, BINS)


def _means(
    units: _Units, pids: np.ndarray, sides: Sequence[np.ndarray], numbers: tuple[int, int]
) -> tuple[float, float]:
    """Mean distance of one person's pairs and of two people's, from sums: Σ a·b = (Σ a)·(Σ b)."""
    people = np.unique(pids)
    sums = np.zeros((2, len(people), units.features.shape[1]))
    for total, side in zip(sums, sides, strict=True):
        for rows in units.tiles(side):
            found = units[rows]
            persons = np.unique(pids[rows])
            # a product is many times faster than adding row by row
            total[np.searchsorted(people, persons)] += (persons[:, None] == pids[rows]).astype(
                found.dtype
            ) @ found
    of_one = float(np.einsum("pd,pd->", *sums))
    of_all = float(np.dot(*sums.sum(axis=1)))
    return 1.0 - of_one / numbers[0], 1.0 - (of_all - of_one) / numbers[1]
