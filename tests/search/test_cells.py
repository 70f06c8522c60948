"""Cells of IVF-PQ: the cover against a plain loop, a cell per person, balanced codes, float32 candidates."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from tests.search.made import people, unit
from vireid_cli.search import building, cells
from vireid_cli.search.approximate import Structure
from vireid_cli.search.approximate_search import narrowed
from vireid_cli.search.exact import MARGIN, exact_top

PERSONS, IMAGES, WIDTH = 100, 24, 256


def independent(seed: int) -> np.ndarray:
    """Images of persons whose directions are independent, in the order of the images."""
    random = np.random.default_rng(seed)
    persons = np.random.default_rng(99).standard_normal((PERSONS, WIDTH))
    images = persons[np.arange(PERSONS * IMAGES) % PERSONS]
    return unit(images + 0.6 * random.standard_normal(images.shape))


def test_the_cover_equals_a_loop() -> None:
    rows = unit(np.random.default_rng(0).standard_normal((300, 6)))
    similar = rows @ rows.T >= 0.7
    expected: list[int] = []
    for row in range(len(rows)):
        if not any(similar[row, other] for other in expected):
            expected.append(row)
    assert sorted(cells.first_of_cover(similar).tolist()) == expected
    assert cells.first_of_cover(np.empty((0, 0), bool)).tolist() == []


def test_groups_have_nearly_equal_products() -> None:
    variances = np.exp(-np.arange(128) / 17)
    order = cells.balanced(variances, 32)
    assert sorted(order.tolist()) == list(range(128))
    products = np.log(variances[order]).reshape(32, 4).sum(axis=1)
    assert np.ptp(products) < 1
    assert np.ptp(np.log(variances).reshape(32, 4).sum(axis=1)) > 25, "in order, they differ"


def number_of_cells(index: Any) -> int:
    cells_of_index: Any = faiss.downcast_index(index.index)
    return int(cells_of_index.nlist)


def test_each_person_has_a_cell() -> None:
    """K-means from random rows missed a third of such persons, and the recall with few cells with them."""
    vectors = independent(0)
    structure, recall = building.build("ivf-pq", vectors, np.arange(len(vectors)))
    assert PERSONS <= number_of_cells(structure.index) <= 1.5 * PERSONS
    assert structure.efforts[0] == 16
    assert recall >= building.TARGETS[0]
    queries = independent(1)[:PERSONS]
    nearest = structure.candidates(queries, 10, None, 4)
    best, _ = exact_top(queries, vectors, None, 10)
    assert building.recall_of(nearest, best, 10) >= 0.95, "four cells have a person's images"


def test_rows_without_neighbours_share_cells() -> None:
    vectors = unit(np.random.default_rng(0).standard_normal((9000, 96)))
    pairs = np.stack([vectors[:50], vectors[:50]], axis=1)  # of similarity 1: each row begins a cell
    index = cells.empty_cells(vectors[:2000], vectors, np.arange(9000), pairs)
    assert number_of_cells(index) == 4096, "those of the first block"


def test_few_values_per_vector() -> None:
    for width in (1, 3, 40):
        vectors = unit(np.random.default_rng(width).standard_normal((1500, width)) + 0.1)
        structure, recall = building.build("ivf-pq", vectors, np.arange(1500))
        assert structure.components == width
        assert 0 <= recall <= 1


def test_candidates_by_float32_are_the_best() -> None:
    vectors, queries = people(900, 32), people(7, 32, seed=5)
    slots = np.random.default_rng(0).permutation(900)[: 7 * 60].reshape(7, 60)
    slots[:, 50:] = -1
    kept = narrowed(queries, vectors, slots, 5)
    assert kept.shape == (7, 5 + MARGIN)
    for query, near, rest in zip(queries, kept, slots, strict=True):
        real = rest[rest >= 0]
        scores = vectors[real].astype(np.float64) @ query
        assert set(near) == set(real[np.argsort(-scores)[: 5 + MARGIN]])
    assert np.array_equal(narrowed(queries, vectors, slots[:, :9], 5), slots[:, :9])


def test_a_structure_of_an_earlier_version_is_searched_and_replaced() -> None:
    vectors = people(1600, 32)
    old = faiss.IndexIVFPQ(faiss.IndexFlatIP(32), 32, 8, 8, 4, faiss.METRIC_INNER_PRODUCT)
    old.train(vectors)
    old.add(vectors[:1000])
    former = Structure("ivf-pq", old, 1000, (16, 16, 16))
    assert former.components is None
    assert (former.candidates(vectors[:20], 1, None, 16) == np.arange(20)[:, None]).any(axis=1).mean() > 0.7
    structure, _ = building.build("ivf-pq", vectors, np.arange(1600), former=former)
    assert structure.covered == 1600
    assert isinstance(structure.index, faiss.IndexPreTransform)
