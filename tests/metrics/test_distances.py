"""Distances of visible–infrared pairs against plain loops and closed forms, with several tile sizes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vireid_cli.metrics.distances import BINS, PairDistances, pair_distances, readable_bins


def random_features(
    count: int = 60, width: int = 7, people: int = 5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(count, width)) * rng.uniform(0.1, 9.0, (count, 1))
    return features, rng.integers(0, people, count) * 11, rng.integers(0, 2, count).astype(np.uint8)


def by_loops(features: NDArray[Any], pids: NDArray[Any], modalities: NDArray[Any]) -> dict[str, list[float]]:
    """Distances of intra- and inter-class pairs, pair by pair, in float64."""
    distances: dict[str, list[float]] = {"intra": [], "inter": []}
    for i in np.flatnonzero(modalities == 0):
        for j in np.flatnonzero(modalities == 1):
            a, b = features[i].astype(float), features[j].astype(float)
            cosine = math.fsum(a * b) / math.sqrt(math.fsum(a * a) * math.fsum(b * b))
            distances["intra" if pids[i] == pids[j] else "inter"].append(1.0 - cosine)
    return distances


def assert_same(one: PairDistances, other: PairDistances, tolerance: float) -> None:
    for name in ("intra", "inter", "edges"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.intra_mean == pytest.approx(other.intra_mean, abs=tolerance)
    assert one.inter_mean == pytest.approx(other.inter_mean, abs=tolerance)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-14), (np.float32, 1e-7), (np.float16, 1e-7)]
)
def test_counts_and_means_against_plain_loops(dtype: type[np.floating[Any]], tolerance: float) -> None:
    features, pids, modalities = random_features()
    features = features.astype(dtype)
    loops = by_loops(features, pids, modalities)
    result = pair_distances(features, pids, modalities, tile=13)
    for name in ("intra", "inter"):
        expected = np.histogram(loops[name], bins=result.edges)[0]
        np.testing.assert_array_equal(getattr(result, name), expected)
        assert getattr(result, f"{name}_mean") == pytest.approx(np.mean(loops[name]), abs=tolerance)
    assert result.delta == pytest.approx(np.mean(loops["inter"]) - np.mean(loops["intra"]), abs=2 * tolerance)
    assert (result.visible, result.infrared) == ((modalities == 0).sum(), (modalities == 1).sum())
    assert result.pairs == result.intra.sum() + result.inter.sum()
    assert result.people == 5


def test_means_equal_products_of_sums() -> None:
    """Reference: Σ a·b over pairs = (Σ a)·(Σ b)."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 16)) + 0.5
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    pids, modalities = np.arange(300) // 2 % 10, np.arange(300) % 2
    sums = np.array(
        [[features[(modalities == m) & (pids == p)].sum(axis=0) for p in range(10)] for m in (0, 1)]
    )
    one_person = (sums[0] * sums[1]).sum() / (10 * 15 * 15)
    two_people = (sums[0].sum(axis=0) @ sums[1].sum(axis=0) - one_person * 2250) / (150 * 150 - 2250)
    result = pair_distances(features, pids, modalities)
    assert result.intra_mean == pytest.approx(1 - one_person, abs=1e-13)
    assert result.inter_mean == pytest.approx(1 - two_people, abs=1e-13)


@pytest.mark.parametrize("tile", [1, 7, 1000])
def test_tile_size_does_not_affect_result(tile: int) -> None:
    progress_calls: list[tuple[int, int]] = []
    arrays = random_features()
    result = pair_distances(*arrays, tile=tile, progress=lambda *counts: progress_calls.append(counts))
    assert_same(result, pair_distances(*arrays, tile=10), 1e-14)
    assert progress_calls[-1] == (result.pairs, result.pairs)
    assert [done for done, _ in progress_calls] == sorted(done for done, _ in progress_calls)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_sampled_pairs_are_a_subset_and_means_are_exact(parts: int) -> None:
    features, pids, modalities = random_features(count=300, people=9)
    every = pair_distances(features, pids, modalities, most=None)
    work = every.pairs * features.shape[1]
    progress_calls: list[tuple[int, int]] = []
    result = pair_distances(
        features,
        pids,
        modalities,
        tile=20,
        most=-(-work // parts),
        progress=lambda *counts: progress_calls.append(counts),
    )
    assert (every.parts, result.parts) == (1, parts)
    np.testing.assert_array_equal(result.intra, every.intra)
    assert (result.inter <= every.inter).all()  # each pair at most once
    assert result.inter.sum() == pytest.approx(every.inter.sum() / parts, rel=0.02)
    assert result.of_two == every.inter.sum()
    assert result.intra_mean == pytest.approx(every.intra_mean, abs=1e-14)
    assert result.inter_mean == pytest.approx(every.inter_mean, abs=1e-14)
    untiled = pair_distances(features, pids, modalities, tile=1000, most=-(-work // parts))
    assert_same(result, untiled, 1e-14)
    assert progress_calls[-1][0] == progress_calls[-1][1]
    assert [done for done, _ in progress_calls] == sorted(done for done, _ in progress_calls)


def test_sampled_histogram_includes_every_image() -> None:
    """One image points in the opposite direction; its pairs must occur at any position."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(120, 3)) * 0.01 + [1.0, 0.0, 0.0]
    pids, modalities = np.arange(120) // 4, np.arange(120) % 2
    for odd in (0, 17, 58, 119):
        turned = features.copy()
        turned[odd] *= -1
        result = pair_distances(turned, pids, modalities, most=60 * 60 * 3 // 4)
        assert result.parts == 4
        assert result.inter[-5:].sum() == pytest.approx(58 / 4, abs=1)


def test_sampled_histogram_approximates_the_full_one() -> None:
    rng = np.random.default_rng(7)
    people, cameras = rng.normal(size=(40, 32)), 2 * rng.normal(size=(6, 32))
    pids = rng.integers(0, 40, 3000)
    features = rng.normal(size=(3000, 32)) + people[pids] + cameras[rng.integers(0, 6, 3000)]
    modalities = np.arange(3000) % 2
    every = pair_distances(features, pids, modalities, most=None)
    result = pair_distances(features, pids, modalities, most=every.pairs * 32 // 5)
    _, _, whole = every.merged(25)
    _, _, drawn = result.merged(25)
    assert np.abs(drawn / drawn.sum() - whole / whole.sum()).max() < 0.0015  # of bars up to 0.06


def test_invariant_to_order_norm_and_exchange_of_modalities() -> None:
    features, pids, modalities = random_features()
    result = pair_distances(features, pids, modalities)
    order = np.random.default_rng(1).permutation(len(pids))
    assert_same(result, pair_distances(features[order], pids[order], modalities[order]), 1e-14)
    assert_same(result, pair_distances(3.0 * features, pids, modalities), 1e-14)
    assert_same(result, pair_distances(features, pids, 1 - modalities), 1e-14)


def test_smallest_and_largest_distance_have_a_bin() -> None:
    features = np.array([[1.0, 0.0], [2.0, 0.0], [-3.0, 0.0], [0.0, 4.0]])
    result = pair_distances(features, np.array([1, 1, 2, 2]), np.array([0, 1, 1, 1]))
    # distances of the visible image: 0 to its person, 2 and 1 to the other person
    assert (result.intra_mean, result.inter_mean, result.delta) == (0.0, 1.5, 1.5)
    assert result.intra.nonzero()[0].tolist() == [0]
    assert result.inter.nonzero()[0].tolist() == [BINS // 2, BINS - 1]
    assert (result.visible, result.infrared, result.people, result.pairs) == (1, 3, 1, 3)


def test_readable_bins_merges_until_counts_suffice() -> None:
    def one(intra: dict[int, int], inter: dict[int, int]) -> PairDistances:
        counts = np.zeros((2, BINS), dtype=np.int64)
        for row, filled in enumerate((intra, inter)):
            counts[row, list(filled)] = list(filled.values())
        return PairDistances(np.linspace(0, 2, BINS + 1), counts[0], counts[1], 0.0, 0.0, 1, 1, 1)

    many = one(dict.fromkeys(range(100, 140), 500), {150: 7})
    assert readable_bins([many]) == 1  # 51 bins wide, 500 pairs each
    assert readable_bins([many, one({400: 500}, {401: 1})]) == 4  # 302 bins over both
    few = one(dict.fromkeys(range(100, 140), 21), {150: 7})
    assert readable_bins([few]) == 5
    assert readable_bins([many, few]) == 5
    assert readable_bins([one({3: 1}, {900: 1})]) == 25
    edges, intra, inter = few.merged(5)
    assert intra.nonzero()[0].tolist() == list(range(20, 28))
    assert intra[20] == 105
    assert (inter[30], inter.sum()) == (7, 7)
    assert edges[20] == pytest.approx(0.2)
    assert len(edges) == len(intra) + 1 == len(inter) + 1 == 201


def test_row_of_zeros_has_distance_one() -> None:
    result = pair_distances(
        np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array([1, 1, 2]), np.array([0, 1, 1])
    )
    assert (result.intra_mean, result.inter_mean) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("pids", "modalities"),
    [([1, 1, 2], [0, 0, 0]), ([1, 1, 1], [0, 1, 1]), ([1, 2, 2], [0, 1, 1]), ([1, 2], [0, 1])],
    ids=["one modality", "one person", "no person in both", "missing row"],
)
def test_invalid_input_raises(pids: list[int], modalities: list[int]) -> None:
    with pytest.raises(ValueError, match=r"pairs|features"):
        pair_distances(np.ones((3, 4)), np.array(pids), np.array(modalities))
