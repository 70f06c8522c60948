"""An index that is replaced by another one while a process has it open."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.search.made import COUNT, FINGERPRINT, columns, made, people
from tests.search.test_index import paths
from vireid_cli.errors import DataError, OtherModel
from vireid_cli.search import approximate
from vireid_cli.search.index import Index

OTHER = FINGERPRINT | {"weights_sha256": "b" * 64}
TABLE = {"path": list("wxyz"), "modality": ["visible"] * 4}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Index]:
    """An index that was searched, with an idle connection, a mapping and selections."""
    index = Index.create(tmp_path / "i")
    index.add(people(4), TABLE | {"path": list("abcd")}, fingerprint=FINGERPRINT)
    index.search(people(1), where="path != 'a'")
    yield index
    index.close()


def test_a_deleted_index_is_noticed(opened: Index) -> None:
    shutil.rmtree(opened.folder)
    with pytest.raises(DataError, match=r"records\.sqlite is missing"):
        opened.search(people(1))


def test_an_index_of_as_many_records_in_its_place(opened: Index) -> None:
    """Its connection, its vectors and its selections are those of the new index."""
    shutil.rmtree(opened.folder)
    with Index.create(opened.folder) as new:
        new.add(people(4, seed=9), TABLE, fingerprint=OTHER)
        log = opened.folder / "records.sqlite-wal"
        assert log.stat().st_size
        for where, expected in ((None, "wxyz"), ("path != 'a'", "wxyz"), ("path != 'w'", "xyz")):
            results = opened.search(people(4, seed=9), where=where, top=4)
            assert {path for row in results for path in paths(row)} == set(expected)
            assert results == new.search(people(4, seed=9), where=where, top=4)
        assert opened.fingerprint == OTHER
        assert log.stat().st_size, "the log belongs to the new index"
    assert Index(opened.folder).verify() == []


def test_replaced_during_a_search(opened: Index) -> None:
    """A reader keeps its state; a connection in use is not used again."""
    with opened.database.reading() as connection:
        shutil.rmtree(opened.folder)
        Index.create(opened.folder).add(people(4, seed=9), TABLE, fingerprint=OTHER)
        assert paths(opened.search(people(1, seed=9), top=1)[0]) == ["w"]
        assert connection.execute("SELECT path FROM records LIMIT 1").fetchone() == ("a",)
    assert paths(opened.search(people(1, seed=9), top=1)[0]) == ["w"]


def test_replaced_between_the_records_and_the_vectors(opened: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of one index never meet the vectors of another one."""
    vectors = opened._caches[0]
    get = vectors.get

    def replace(meta: object) -> np.ndarray:
        monkeypatch.undo()
        shutil.rmtree(opened.folder)
        Index.create(opened.folder).add(people(4, seed=9), TABLE, fingerprint=OTHER)
        return get(meta)  # type: ignore[arg-type]

    monkeypatch.setattr(vectors, "get", replace)
    [match] = opened.search(people(1, seed=9), top=1)[0]
    assert (match.record.path, round(match.score, 3)) == ("w", 1.0)


def test_an_earlier_copy_in_its_place(opened: Index, tmp_path: Path) -> None:
    """A copy has the identifier of its original; equal numbers of states do not mean equal states."""
    shutil.copytree(opened.folder, tmp_path / "copy")
    table = TABLE | {"path": list("efgh")}
    opened.add(people(4, seed=2), table, fingerprint=FINGERPRINT)
    query = people(4, seed=3)
    opened.search(query, where="path > 'd'")
    shutil.rmtree(opened.folder)
    shutil.copytree(tmp_path / "copy", opened.folder)
    with Index(opened.folder) as other:
        other.add(people(4, seed=3), TABLE, fingerprint=FINGERPRINT)
    for row, path in zip(opened.search(query, where="path > 'd'", top=1), "wxyz", strict=True):
        assert (row[0].record.path, round(row[0].score, 3)) == (path, 1.0)


def test_the_model_is_compared_in_the_searched_state(opened: Index) -> None:
    """Another process gives all records another model, between two searches of this one."""
    assert opened.search(people(1), fingerprint=FINGERPRINT)
    with Index(opened.folder) as other:
        other.remove("record_id > 0")
        other.compact()
        assert opened.search(people(1), fingerprint=FINGERPRINT) == [[]]
        other.add(people(4, seed=9), TABLE, fingerprint=OTHER)
    with pytest.raises(OtherModel, match="the query has embeddings of another model than index i"):
        opened.search(people(1), fingerprint=FINGERPRINT)
    assert opened.search(people(1), fingerprint=OTHER)


def test_a_structure_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(approximate, "BUILT_FROM", 200)
    index = made(tmp_path / "i", kind="hnsw")
    with index.snapshot() as state:
        former = state.structure()
    shutil.rmtree(index.folder)
    with Index.create(index.folder, kind="hnsw") as new:
        new.add(people(seed=9), columns(), fingerprint=FINGERPRINT)
        with new.snapshot() as state, index.snapshot() as ours:
            assert ours.meta["structure"] == state.meta["structure"]
            structure = ours.structure()
    assert former is not None
    assert structure is not None
    assert structure is not former
    rows = structure.index.index if hasattr(structure.index, "index") else structure.index
    assert rows.ntotal == COUNT


def test_qdrant_compares_the_model(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    from vireid_cli.search.qdrant_index import QdrantIndex

    with QdrantIndex.create(tmp_path / "i", str(tmp_path / "server")) as index:
        index.add(people(4), TABLE, fingerprint=FINGERPRINT)
        assert index.search(people(1), fingerprint=FINGERPRINT)
        with pytest.raises(OtherModel, match="another model than index i"):
            index.search(people(1), fingerprint=OTHER)
