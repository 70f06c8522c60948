"""HNSW and IVF-PQ: recall as measured independently, filters, additions, removal, damage."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.search.made import FINGERPRINT, columns, people, unit
from vireid_cli.errors import DataError, MissingExtra
from vireid_cli.search import approximate, approximate_search, building
from vireid_cli.search.index import Index, Kind

COUNT, WIDTH = 1600, 32
QUERIES = unit(people(40, WIDTH) + 0.05 * np.random.default_rng(3).standard_normal((40, WIDTH)))
KINDS: tuple[Kind, ...] = ("hnsw", "ivf-pq")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "BUILT_FROM", 50)
    monkeypatch.setattr(approximate_search, "ROWS_PER_EFFORT", {"hnsw": 0, "ivf-pq": 0})


def made(folder: Path, kind: Kind) -> Index:
    index = Index.create(folder, kind=kind)
    index.add(people(COUNT, WIDTH), columns(COUNT), fingerprint=FINGERPRINT)
    return index


def exact_paths(index: Index, keep: np.ndarray, top: int = 10) -> list[set[str]]:
    table = columns(COUNT)["path"]
    scores = np.where(keep, QUERIES @ people(COUNT, WIDTH).T, -2)
    return [{table[i] for i in row[:top]} for row in np.argsort(-scores, axis=1)]


def recall(index: Index, expected: list[set[str]], where: str | None = None) -> float:
    results = index.search(QUERIES, top=10, where=where)
    return float(
        np.mean(
            [
                len({m.record.path for m in row} & best) / 10
                for row, best in zip(results, expected, strict=True)
            ]
        )
    )


@pytest.mark.parametrize("kind", KINDS)
def test_recall(kind: Kind, tmp_path: Path) -> None:
    index = made(tmp_path / "i", kind)
    structure = index.info()["structure"]
    assert structure["kind"] == kind
    assert structure["covered"] == COUNT
    assert structure["recall"] >= building.TARGETS[0]
    camera = np.array(columns(COUNT)["camid"])
    assert recall(index, exact_paths(index, np.ones(COUNT, bool))) >= 0.97
    assert recall(index, exact_paths(index, np.isin(camera, [3, 6])), "camid in (3, 6)") >= 0.97
    for match in index.search(QUERIES[:1], top=3)[0]:  # the scores are exact
        vector = people(COUNT, WIDTH)[int(match.record.path[5:10])]
        assert match.score == pytest.approx(float(vector.astype(np.float64) @ QUERIES[0]), abs=1e-12)
    assert index.verify() == []


@pytest.mark.parametrize("kind", KINDS)
def test_few_selected_rows_are_searched_exactly(kind: Kind, tmp_path: Path) -> None:
    index = made(tmp_path / "i", kind)
    keep = np.array([pid in (3, 9) for pid in columns(COUNT)["pid"]])
    found = index.search(QUERIES, top=10, where="pid in (3, 9)")
    assert [{m.record.path for m in row} for row in found] == exact_paths(index, keep)


@pytest.mark.parametrize("kind", KINDS)
def test_additions_and_removal(kind: Kind, tmp_path: Path) -> None:
    index = made(tmp_path / "i", kind)
    file = index.info()["structure"]["file"]
    new = people(60, WIDTH, seed=9)
    index.add(new, columns(60, 5000), fingerprint=FINGERPRINT)
    assert index.info()["structure"]["file"] == file, "a small addition is searched exactly"
    assert [row[0].record.path for row in index.search(new, top=1)] == list(columns(60, 5000)["path"])
    index.remove("path = 'cam3/05000.jpg'")
    assert "cam3/05000.jpg" not in {m.record.path for m in index.search(new[:1], top=50)[0]}
    index.add(people(200, WIDTH, seed=10), columns(200, 6000), fingerprint=FINGERPRINT)
    assert index.info()["structure"]["covered"] == COUNT + 260
    assert [row[0].record.path for row in index.search(new[1:], top=1)] == list(columns(60, 5000)["path"][1:])
    index.remove("camid = 1")
    assert not any(m.record.camid == 1 for row in index.search(QUERIES, top=30) for m in row)
    index.compact()
    assert index.info()["structure"]["covered"] == index.count()
    assert len(list(index.folder.glob("*.faiss"))) == 1
    assert not any(m.record.camid == 1 for row in index.search(QUERIES, top=30) for m in row)
    assert index.verify() == []


def test_a_damaged_structure_is_refused_and_rebuilt(tmp_path: Path) -> None:
    index = made(tmp_path / "i", "hnsw")
    path = index.folder / index.info()["structure"]["file"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    other = Index(index.folder)
    assert "does not match its hash" in other.verify()[0]
    with pytest.raises(DataError, match="vireid index compact i"):
        other.search(QUERIES)
    path.unlink()
    assert len(other.search(QUERIES, top=5)[0]) == 5, "without it, the search is exact"
    other.compact()
    assert other.verify() == []
    assert recall(other, exact_paths(other, np.ones(COUNT, bool))) >= 0.97


def test_the_kind_can_be_changed(tmp_path: Path) -> None:
    index = made(tmp_path / "i", "exact")
    before = index.search(QUERIES)
    assert index.info()["structure"] is None
    index.compact(kind="hnsw")
    assert index.kind == index.info()["structure"]["kind"] == "hnsw"
    assert recall(index, exact_paths(index, np.ones(COUNT, bool))) >= 0.97
    index.compact(kind="exact")
    assert index.search(QUERIES) == before
    assert not list(index.folder.glob("*.faiss"))


def test_without_faiss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact indexes need no further package; approximate ones name it."""
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert len(made(tmp_path / "i", "exact").search(QUERIES, top=5)[0]) == 5
    with pytest.raises(MissingExtra, match="faiss"):
        Index.create(tmp_path / "j", kind="hnsw")
    assert not (tmp_path / "j").exists()
    with pytest.raises(MissingExtra, match="faiss"):
        Index(tmp_path / "i").compact(kind="ivf-pq")
    assert Index(tmp_path / "i").kind == "exact"


def test_few_records_have_no_structure(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i", kind="hnsw")
    index.add(people(50), columns(50), fingerprint=FINGERPRINT)
    assert index.info()["structure"] is None
    assert len(index.search(people(2))[0]) == 20


def test_a_deep_search_is_exact(tmp_path: Path) -> None:
    """Beyond the depths with a measured recall, the order is that of all records."""
    index = made(tmp_path / "i", "hnsw")
    top = approximate.DEPTHS[-1] + 1
    results = index.search(QUERIES, top=top)
    expected = exact_paths(index, np.ones(COUNT, bool), top)
    assert [{match.record.path for match in row} for row in results] == expected


def test_effort_and_candidates_by_hand() -> None:
    structure = approximate.Structure("hnsw", None, 1000, (24, 64, None))
    assert structure.effort(10, 1000) == 24
    assert structure.effort(10, 500) == 48, "half of the rows are passed over"
    assert structure.effort(11, 1000) == 64
    assert structure.effort(100, 1000) is None
    assert structure.effort(101, 1000) is None
    assert structure.candidate_count(10, 24) == 24
    assert structure.candidate_count(10, 512) == 52
    assert structure.candidate_count(20, 16) == 28
    cells = approximate.Structure("ivf-pq", None, 1000, (16, 16, 16))
    assert [cells.candidate_count(10, effort) for effort in (16, 512, 4096)] == [80, 128, 200]


def test_components_are_chosen_by_recall(tmp_path: Path) -> None:
    """Vectors in few directions need few components; independent directions need more."""
    random = np.random.default_rng(0)
    thin = unit(people(COUNT, 16) @ random.standard_normal((16, 160)))
    flat = unit(random.standard_normal((COUNT, 160)))
    numbers = []
    for vectors in (thin, flat):
        structure, _ = building.build("hnsw", vectors, np.arange(COUNT))
        numbers.append(structure.components)
    assert numbers[0] == building.WIDTHS[0]
    assert numbers[1] is None or numbers[1] > building.WIDTHS[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [3, 10, 100])
def test_recall_of_filters(kind: Kind, share: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third, a tenth and a hundredth of the records, without the floor below which all is exact."""
    monkeypatch.setattr(approximate, "BUILT_FROM", 10)
    index = made(tmp_path / "i", kind)
    limit = COUNT / share / 10
    keep = np.array(columns(COUNT)["score"]) < limit
    assert recall(index, exact_paths(index, keep), f"score < {limit}") == 1.0


def test_recall_by_hand() -> None:
    exact = np.array([[0, 1, 2, 3], [5, -1, -1, -1]])
    assert building.recall_of(np.array([[1, 9, 0], [4, 6, -1]]), exact, 2) == 0.5
    assert building.recall_of(np.array([[1, 9, 0], [5, 6, -1]]), exact, 4) == 0.75


@pytest.mark.parametrize("kind", ["hnsw", "ivf-pq"])
def test_the_recall_is_that_of_new_queries(
    kind: approximate.ApproximateKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample is measured before the structure has it, and then added under its rows."""
    vectors = people(COUNT, WIDTH)
    seen: list[np.ndarray] = []
    candidates = approximate.Structure.candidates

    def recorded(self: approximate.Structure, queries: np.ndarray, *rest: object) -> np.ndarray:
        seen.append(candidates(self, queries, *rest))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(approximate.Structure, "candidates", recorded)
    structure, recall = building.build(kind, vectors, np.arange(COUNT))
    sample = building._Sample(vectors, np.arange(COUNT), 0)
    assert not any(np.isin(sample.places, proposed).any() for proposed in seen)
    assert 0.9 <= recall <= 1.0
    found = candidates(structure, vectors, 1, None, 64)
    assert (found == np.arange(COUNT)[:, None]).any(axis=1).all()
