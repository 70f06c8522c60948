"""Groups of matches: the best 1,000 are re-ranked, and memory grows with the number of candidates only."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.search.made import COUNT, FINGERPRINT, columns, made, people, unit
from vireid_cli.search import exact, pipeline, ranking
from vireid_cli.search.contract import AnyIndex
from vireid_cli.search.index import Index
from vireid_cli.search.records import Match

QUERIES = unit(people(8, seed=0) + 0.05 * people(8, seed=5))
PERSONS = 30
"""Persons of the records of ``made`` with a person."""


@pytest.fixture(scope="module", params=["here", "qdrant"])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyIndex]:
    folder = tmp_path_factory.mktemp("indexes")
    if request.param == "here":
        with made(folder / "i") as index:
            yield index
        return
    pytest.importorskip("qdrant_client")
    from vireid_cli.search.qdrant_index import QdrantIndex

    with QdrantIndex.create(folder / "i", str(folder / "server")) as server:
        server.add(people(), columns(), fingerprint=FINGERPRINT, root="/images")
        yield server


def grouped(matches: list[Match], top: int) -> list[tuple[str, float | None, int]]:
    """Path, distance and rank of the first match of each person."""
    first: dict[object, Match] = {}
    for match in matches:
        pid = match.record.pid
        first.setdefault(match.record.path if pid is None else pid, match)
    chosen = list(first.values())[:top]
    return [(match.record.path, match.distance, rank) for rank, match in enumerate(chosen, 1)]


def listed(matches: list[Match]) -> list[tuple[str, float | None, int]]:
    return [(match.record.path, match.distance, match.rank) for match in matches]


@pytest.mark.filterwarnings("ignore:Local mode performs exact")
@pytest.mark.parametrize("candidates", [50, 1000])
def test_the_best_matches_are_re_ranked_once(
    candidates: int, index: AnyIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as without groups, even if there are fewer groups than requested."""
    compared: list[int] = []
    original = ranking.k_reciprocal_each

    def counted(queries: np.ndarray, gallery: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        compared.append(chosen.shape[1])
        return original(queries, gallery, chosen)

    monkeypatch.setattr(ranking, "RERANKED", candidates)
    monkeypatch.setattr(ranking, "k_reciprocal_each", counted)
    where = "pid is not null"
    every = index.search(QUERIES, top=candidates, rerank=True, where=where)
    for top in (5, 40):
        results = index.search(QUERIES, top=top, rerank=True, group_by="pid", where=where)
        for row, plain in zip(results, every, strict=True):
            assert listed(row) == grouped(plain, top)
    assert len(compared) == 3
    assert max(compared) <= candidates


@pytest.mark.filterwarnings("ignore:Local mode performs exact")
def test_parts_of_the_queries(index: AnyIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries that need more candidates are searched in small parts, with equal results."""
    from vireid_cli.search import qdrant_search

    options: dict[str, Any] = {"top": 60, "group_by": "pid", "where": "pid is not null"}
    expected = [listed(row) for row in index.search(QUERIES, **options)]
    assert {len(row) for row in expected} == {PERSONS}
    monkeypatch.setattr(pipeline, "_VALUES", 300)
    monkeypatch.setattr(qdrant_search, "_POINTS", 300)
    assert [listed(row) for row in index.search(QUERIES, **options)] == expected


def test_only_unfinished_queries_are_searched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first person has 200 images, so a query near to it has few groups among its candidates."""
    index = Index.create(tmp_path / "i")
    near = unit(people(1) + 0.05 * np.random.default_rng(0).standard_normal((200, 16)))
    vectors = np.concatenate([near, people(40, seed=7)])
    table: dict[str, list[Any]] = {
        "path": [f"{i:03d}" for i in range(240)],
        "modality": ["visible"] * 240,
        "pid": [0] * 200 + list(range(1, 41)),
    }
    index.add(vectors, table, fingerprint=FINGERPRINT)
    searched: list[tuple[int, int]] = []
    original = pipeline.nearest

    def counted(structure: Any, queries: np.ndarray, rows: np.ndarray, selected: Any, top: int) -> Any:
        searched.append((len(queries), top))
        return original(structure, queries, rows, selected, top)

    monkeypatch.setattr(pipeline, "nearest", counted)
    first, second = index.search(np.stack([near[0], vectors[220]]), top=3, group_by="pid")
    assert searched == [(2, 12), (1, 48), (1, 192), (1, 240)]
    scores = vectors.astype(np.float64) @ vectors[[0, 220]].T.astype(np.float64)
    for row, own in ((first, scores[:, 0]), (second, scores[:, 1])):
        order = np.argsort(-own, kind="stable").tolist()
        pids = list(dict.fromkeys(table["pid"][i] for i in order))[:3]
        assert [match.record.pid for match in row] == pids


def test_scores_of_many_candidates_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """One query with all rows: 10 MiB of float64 at once, in parts of 128 KiB."""
    vectors = np.ascontiguousarray(people(20_000, 64))
    candidates = np.arange(20_000)[None]
    expected = exact.rescored(vectors[:1], vectors, candidates)
    monkeypatch.setattr(exact, "_RESCORED", 1 << 14)
    tracemalloc.start()
    try:
        scores = exact.rescored(vectors[:1], vectors, candidates)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.array_equal(scores, expected)
    assert peak < 2 << 20


def test_more_candidates_than_records(tmp_path: Path) -> None:
    with made(tmp_path / "i") as index:
        [row] = index.search(QUERIES[:1], top=COUNT + 50, rerank=True, group_by="path")
        assert len(row) == COUNT
        assert index.search(QUERIES[:1], group_by="pid", where="camid = 77") == [[]]
