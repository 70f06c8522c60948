"""The client's local mode of Qdrant: the top 20 of FAISS, the same filters, and the same refusals."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from tests.search.made import COUNT, FINGERPRINT, columns, made, people, unit
from tests.search.test_filters import TREES
from vireid_cli.errors import DataError, UsageError
from vireid_cli.search import qdrant_add
from vireid_cli.search.index import Index
from vireid_cli.search.open import list_indexes, open_index
from vireid_cli.search.qdrant_collection import payload_schema
from vireid_cli.search.qdrant_index import QdrantIndex

pytest.importorskip("qdrant_client")
pytestmark = pytest.mark.filterwarnings("ignore:Local mode performs exact")

QUERIES = unit(people(8, seed=0) + 0.05 * people(8, seed=5))


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    """Hide the warnings of the client's local mode."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    yield
    root.setLevel(level)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Index, QdrantIndex]:
    folder = tmp_path_factory.mktemp("data")
    index = made(folder / "indexes" / "here")
    server = QdrantIndex.create(folder / "indexes" / "there", str(folder / "server"))
    assert server.search(QUERIES) == [[]] * 8
    added = server.add(people(), columns(), fingerprint=FINGERPRINT, root="/images")
    assert added.added == COUNT
    return index, server


def listed(index: Index | QdrantIndex, **options: Any) -> list[list[tuple[Any, ...]]]:
    """Matches without identifiers; scores as Qdrant's float32 allows."""
    return [
        [
            (m.record.path, m.record.extra, m.record.time, m.record.camid, m.rank, round(m.score, 5))
            for m in row
        ]
        for row in index.search(QUERIES, **options)
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"where": "camid in (3, 6) and time > '2026-11-12'"},
        {"where": "not (camid in (3, 6)) and pid is not null"},
        {"where": "pid is null or score > 20"},
        {"where": "door = 'it''s; DROP TABLE records --' and score != 3.0"},
        {"where": "score in (1.5, 2.7, 100) or time is null"},
        {"where": "time = '2026-11-05T08:00:00' or path in ('cam1/00000.jpg', 'nothing')"},
        {"where": "camid = 77"},
        {"modality": "infrared", "query_cameras": [1, 2, None, 3, 3, 4, 5, 6]},
        {"group_by": "pid"},
        {"group_by": "pid", "top": 200, "where": "pid is not null"},
        {"rerank": True, "top": 12},
    ],
    ids=str,
)
def test_the_matches_of_faiss(both: tuple[Index, QdrantIndex], options: dict[str, Any]) -> None:
    index, server = both
    options = {"top": 20} | options
    assert listed(server, **options) == listed(index, **options)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES)
def test_filters_select_the_same_records(both: tuple[Index, QdrantIndex], tree: tuple[str, tuple]) -> None:
    index, server = both
    assert server.count(tree[0]) == index.count(tree[0])


def test_every_column_has_a_payload_index(both: tuple[Index, QdrantIndex]) -> None:
    schema = {name: kind.value for name, kind in payload_schema({"door": "text", "score": "real"}).items()}
    assert schema == {
        "path": "keyword", "modality": "keyword", "camid": "integer", "pid": "integer", "time": "datetime",
        "door": "keyword", "score": "float",
    }  # fmt: skip
    assert set(both[1].columns) == {*schema, "record_id"}


def test_payload_indexes_are_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The local mode ignores them, so the requests are recorded."""
    from qdrant_client import QdrantClient

    fields = []
    monkeypatch.setattr(
        QdrantClient, "create_payload_index", lambda self, name, key, kind: fields.append(key)
    )
    server = QdrantIndex.create(tmp_path / "i", str(tmp_path / "server"))
    server.add(people(3), columns(3), fingerprint=FINGERPRINT)
    assert fields == ["path", "modality", "camid", "pid", "time", "extra.door", "extra.score"]


def test_records(both: tuple[Index, QdrantIndex]) -> None:
    index, server = both
    match = server.search(QUERIES[:1])[0][0]
    record = server.record(match.record.id)
    assert record == match.record
    assert record.root == "/images"
    assert server.count(f"record_id = '{record.id}'") == 1
    assert server.count(f"record_id != '{record.id}'") == COUNT - 1
    place = columns()["path"].index(record.path)
    assert np.array_equal(server.vectors([record.id])[0], people()[place])
    some = server.records(where="camid = 3", offset=30, limit=20)
    assert len(some) == 10
    assert {r.camid for r in some} == {3}
    for wrong in ("7", "nothing", record.id.replace("-", "")):  # type: ignore[union-attr]
        with pytest.raises(UsageError, match="has no record"):
            server.record(wrong)
    ours, theirs = index.info(), server.info()
    for key in ("records", "modalities", "dimension", "fingerprint", "kind"):
        assert theirs[key] == ours[key]
    assert server.verify() == []


def test_additions_are_repeatable_and_removable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An addition that fails in the middle is continued by the same command."""
    server = QdrantIndex.create(tmp_path / "i", str(tmp_path / "server"), model="RUN")
    monkeypatch.setattr(qdrant_add, "PART", 20)

    def stop(done: int, total: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        server.add(people(60), columns(60), fingerprint=FINGERPRINT, progress=stop)
    assert server.count() == 40
    added = server.add(people(60), columns(60), fingerprint=FINGERPRINT)
    assert (added.added, added.skipped) == (20, 40)
    moved = server.add(people(2, seed=9), columns(2), fingerprint=FINGERPRINT, replace=True)
    assert (moved.added, moved.replaced) == (0, 2)
    assert server.remove("camid = 1") == 10
    assert server.count() == 50
    assert server.verify() == []
    server.close()
    again = open_index(str(tmp_path / "i"), tmp_path)
    assert isinstance(again, QdrantIndex)
    assert again.model == "RUN"
    assert again.count() == 50
    again.close()


def test_a_changed_payload_is_damage(tmp_path: Path) -> None:
    from qdrant_client import QdrantClient

    server = QdrantIndex.create(tmp_path / "i", str(tmp_path / "server"))
    server.add(people(3), columns(3), fingerprint=FINGERPRINT)
    record = server.records(where="camid = 2")[0]
    server.close()
    client = QdrantClient(path=str(tmp_path / "server"))
    client.set_payload("i", {"camid": 5}, [record.id])
    client.close()
    [line] = QdrantIndex(tmp_path / "i").verify()
    assert str(record.id) in line


def test_refusals(both: tuple[Index, QdrantIndex], tmp_path: Path) -> None:
    _, server = both
    with pytest.raises(UsageError, match="door is text, which Qdrant compares by"):
        server.search(QUERIES, where="door > 'a'")
    with pytest.raises(UsageError, match="no column 'cam'"):
        server.search(QUERIES, where="cam = 1")
    with pytest.raises(UsageError, match="17 values"):
        server.search(people(1, 17))
    with pytest.raises(DataError, match="another model than index there"):
        server.add(people(1), columns(1, 999), fingerprint=FINGERPRINT | {"size": "1x1"})
    with pytest.raises(UsageError, match="column 'score' is real on the server"):
        server.add(people(1), columns(1, 999) | {"score": ["high"]}, fingerprint=FINGERPRINT)
    with pytest.raises(DataError, match="is not UTF-8"):
        server.add(people(1), columns(1, 999) | {"path": ["\udcff.jpg"]}, fingerprint=FINGERPRINT)
    assert server.count() == COUNT
    with pytest.raises(UsageError, match="no kind 'ivf-pq'"):
        QdrantIndex.create(tmp_path / "x", "http://127.0.0.1:1", kind="ivf-pq")
    with pytest.raises(UsageError, match="expected http"):
        QdrantIndex.create(tmp_path / "x", "ftp://127.0.0.1")
    with pytest.raises(DataError, match="can't be reached"):
        QdrantIndex.create(tmp_path / "x", "http://127.0.0.1:1")
    assert not (tmp_path / "x").exists()
    with pytest.raises(UsageError, match="can't be changed"):
        server.compact(kind="hnsw")
    assert server.compact() == 0
    assert list_indexes(server.folder.parent.parent) == ["here", "there"]


def test_a_foreign_collection_is_refused(tmp_path: Path) -> None:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(path=str(tmp_path / "server"))
    client.create_collection("i", models.VectorParams(size=4, distance=models.Distance.COSINE))
    client.close()
    with pytest.raises(DataError, match="was not created by vireid"):
        QdrantIndex.create(tmp_path / "i", str(tmp_path / "server"))
