"""An index in a folder: results against plain loops, additions, removal, compaction, damage."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.search.made import COUNT, FINGERPRINT, brute, columns, made, people, rows_of, unit
from vireid_cli.errors import DataError, UsageError
from vireid_cli.lock import locked
from vireid_cli.metrics.rerank import k_reciprocal
from vireid_cli.search import database, segments
from vireid_cli.search.index import Index
from vireid_cli.search.open import index_folder, list_indexes, open_index
from vireid_cli.search.records import IndexRecord, Match
from vireid_cli.search.segments import vector_file

QUERIES = unit(people(8, seed=0) + 0.05 * people(8, seed=5))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return made(tmp_path_factory.mktemp("indexes") / "gallery")


@pytest.fixture
def own(tmp_path: Path) -> Index:
    return made(tmp_path / "own")


def paths(matches: list[Match]) -> list[str]:
    return [match.record.path for match in matches]


@pytest.mark.parametrize(
    ("where", "keep"),
    [
        (None, lambda row: True),
        ("camid in (3, 6)", lambda row: row["camid"] in (3, 6)),
        (
            "camid in (3, 6) and time > '2026-11-12'",
            lambda row: row["camid"] in (3, 6) and (row["time"] or "") > "2026-11-12T00:00:00.000000",
        ),
        (
            "not (camid in (3, 6)) and pid is not null",
            lambda r: r["camid"] not in (3, 6) and r["pid"] is not None,
        ),
        ("pid is null or score > 20", lambda row: row["pid"] is None or row["score"] > 20),
        ("door = 'it''s; DROP TABLE records --'", lambda row: row["door"].startswith("it's")),
        ("path = 'cam1/00000.jpg'", lambda row: row["path"] == "cam1/00000.jpg"),
        ("record_id <= 5", lambda row: row["path"] <= "z" and int(row["path"][5:10]) < 5),
        ("camid = 77", lambda row: False),
    ],
)
def test_search_equals_loops(index: Index, where: str | None, keep: object) -> None:
    vectors, rows = people(), rows_of()
    for query, matches in zip(QUERIES, index.search(QUERIES, top=12, where=where), strict=True):
        assert paths(matches) == brute(vectors, query, rows, keep)[:12]  # type: ignore[arg-type]
        assert [match.rank for match in matches] == list(range(1, len(matches) + 1))
        for match in matches:
            vector = vectors[int(match.record.path[5:10])]
            assert match.score == pytest.approx(float(vector.astype(np.float64) @ query), abs=1e-12)


def test_modality_and_cameras_of_the_queries(index: Index) -> None:
    cameras = [1, 2, None, 1, 2, 3, 4, 5]
    found = index.search(QUERIES, top=9, modality="visible", query_cameras=cameras)
    for query, camera, matches in zip(QUERIES, cameras, found, strict=True):
        rows = [row for row in rows_of() if row["modality"] == "visible" and row["camid"] != camera]
        vectors = people()[[int(row["path"][5:10]) for row in rows]]
        assert paths(matches) == brute(vectors, query, rows, lambda row: True)[:9]


def test_records_without_a_camera_stay(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i")
    index.add(people(3), {"path": ["a", "b", "c"], "modality": ["visible"] * 3, "camid": [1, None, 2]},
              fingerprint=FINGERPRINT)  # fmt: skip
    [matches] = index.search(people(1), query_cameras=[1])
    assert set(paths(matches)) == {"b", "c"}


@pytest.mark.parametrize("group", ["pid", "path"])
def test_groups(index: Index, group: str) -> None:
    """The best match of each person; records of unknown people stay, each for itself."""
    rows = rows_of()
    by_path = {row["path"]: row for row in rows}
    for query, matches in zip(QUERIES, index.search(QUERIES, top=15, group_by=group), strict=True):
        expected: list[str] = []
        seen = set()
        for path in brute(people(), query, rows, lambda row: True):
            key = by_path[path][group]
            if key is None or key not in seen:
                expected.append(path)
                seen.add(key)
        assert paths(matches) == expected[:15]


def test_more_groups_than_there_are(index: Index) -> None:
    [matches] = index.search(QUERIES[:1], top=200, group_by="pid", where="pid is not null")
    people_of = [match.record.pid for match in matches]
    assert len(people_of) == len(set(people_of)) == len({row["pid"] for row in rows_of()} - {None})


def test_reranked(index: Index) -> None:
    """The order of the published re-ranking over all selected records; the score remains the cosine."""
    found = index.search(QUERIES[:2], top=COUNT, rerank=True)
    for query, matches in zip(QUERIES, found, strict=False):
        distances = k_reciprocal(query[None], people())[0]
        assert [m.distance for m in matches] == pytest.approx(sorted(distances.tolist()), abs=1e-9)
        for match in matches[:20]:
            assert match.distance == pytest.approx(distances[int(match.record.path[5:10])], abs=1e-9)
        assert matches[0].score == pytest.approx(
            float(people()[int(matches[0].record.path[5:10])] @ query), abs=1e-5
        )


def test_records(index: Index) -> None:
    first = index.records(limit=2)[1]
    assert first == IndexRecord(
        2, "cam2/00001.jpg", "/images", "visible", 2, 0, "2026-11-02T08:00:00.000000",
        {"door": "north", "score": 0.1},
    )  # fmt: skip
    assert first.file == Path("/images/cam2/00001.jpg")
    assert index.record(2) == index.record("2") == first
    assert [r.id for r in index.records(where="camid = 3", offset=1, limit=2)] == [9, 15]
    assert index.count() == COUNT
    assert index.count("camid = 3") == 40
    assert np.array_equal(index.vectors([3, 1]), people()[[2, 0]])
    for wrong in (0, COUNT + 1, "x", 10**30, str(-(10**30))):
        with pytest.raises(UsageError, match="record"):
            index.record(wrong)
        with pytest.raises(UsageError, match="record"):
            index.vectors([1, wrong])
    info = index.info()
    assert info["records"] == COUNT
    assert info["modalities"] == {"infrared": 80, "visible": 160}
    assert info["columns"]["door"] == "text"
    assert info["columns"]["score"] == "real"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"top": 0}, "--top 0"),
        ({"top": 10**6}, "--top"),
        ({"group_by": "camid"}, "--group-by camid"),
        ({"modality": "thermal"}, "no modality 'thermal'"),
        ({"where": "colour = 'red'"}, "no column 'colour'"),
        ({"query_cameras": [1]}, "1 cameras for 8 queries"),
    ],
)
def test_wrong_options(index: Index, options: dict, part: str) -> None:
    with pytest.raises(UsageError, match=part):
        index.search(QUERIES, **options)


def test_wrong_vectors(own: Index) -> None:
    with pytest.raises(UsageError, match="17 values; the index has vectors of 16"):
        own.search(people(2, 17))
    for wrong in (np.nan, np.inf, 3.0):
        vectors = people(4)
        vectors[2, 0] = wrong
        with pytest.raises(UsageError, match="row 3"):
            own.add(vectors, columns(4, 900), fingerprint=FINGERPRINT)
    assert own.count() == COUNT


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"modality": ["thermal", "visible"]}, r"row 1 \(cam1/00000.jpg\): modality is 'thermal'"),
        ({"camid": [1, "two"]}, "row 2 .*camid is 'two'; expected an integer"),
        ({"time": ["", "noon"]}, "row 2 .*time is 'noon'"),
        ({"path": ["a", None]}, "row 2 has no path"),
        ({"record_id": [1, 2]}, "can't be named 'record_id'"),
        ({"a\x1b[31m": [1, 2]}, "unprintable"),
        ({"extra": [1]}, "1 values for 2 vectors"),
    ],
)
def test_wrong_columns(tmp_path: Path, change: dict, part: str) -> None:
    index = Index.create(tmp_path / "i")
    with pytest.raises((DataError, UsageError), match=part):
        index.add(people(2), columns(2) | change, fingerprint=FINGERPRINT)
    assert index.count() == 0


def test_another_model_is_refused(own: Index) -> None:
    other = FINGERPRINT | {"size": "288x144"}
    with pytest.raises(DataError) as caught:
        own.add(people(2), columns(2, 900), fingerprint=other, source="new.npz")
    assert "64x32" in caught.value.message
    assert "288x144" in caught.value.message
    with pytest.raises(DataError, match="new"):
        own.check_fingerprint(other, "new.npz")


def test_an_addition_without_a_commit_binds_to_no_model(tmp_path: Path) -> None:
    """A kill after the settings and before the first records; a second model is as good as the first."""
    index = Index.create(tmp_path / "i")
    index.add(people(0), columns(0), fingerprint=FINGERPRINT)
    assert index.search(people(2)) == [[], []]
    other = FINGERPRINT | {"size": "288x144"}
    assert index.add(people(3, 24), columns(3), fingerprint=other).added == 3
    assert index.fingerprint == other
    assert index.dimension == 24


def test_an_addition_can_be_repeated(own: Index) -> None:
    added = own.add(people(COUNT + 10), columns(COUNT + 10), fingerprint=FINGERPRINT, root="/images")
    assert (added.added, added.skipped, added.replaced) == (10, COUNT, 0)
    other_root = own.add(people(2), columns(2), fingerprint=FINGERPRINT, root="/elsewhere")
    assert other_root.added == 2


def test_replaced(own: Index) -> None:
    moved = people(2, seed=77)
    table = columns(2) | {"door": ["south", "south"]}
    added = own.add(moved, table, fingerprint=FINGERPRINT, root="/images", replace=True)
    assert (added.added, added.skipped, added.replaced) == (0, 0, 2)
    assert own.record(1).extra["door"] == "south"
    assert np.array_equal(own.vectors([1, 2]), moved)
    assert own.count() == COUNT
    assert own.verify() == []


def test_the_same_path_twice_in_one_addition(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i")
    table = {"path": ["a", "a"], "modality": ["visible"] * 2}
    assert index.add(people(2), table, fingerprint=FINGERPRINT).added == 1
    assert np.array_equal(index.vectors([1])[0], people(2)[0])
    index.add(people(2, seed=3), table, fingerprint=FINGERPRINT, replace=True)
    assert np.array_equal(index.vectors([1])[0], people(2, seed=3)[1])


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i")
    path = b"cam1/\xff\xe9.jpg".decode("utf-8", "surrogateescape")
    table = {"path": [path, "b"], "modality": ["visible"] * 2, "door": [path, "é"]}
    for _ in range(2):
        index.add(people(2), table, fingerprint=FINGERPRINT, root=path)
    assert index.count() == 2
    assert index.record(1).path == index.record(1).root == index.record(1).extra["door"] == path
    assert index.count(f"path = '{path}'") == 1
    assert index.count("door = 'é'") == 1
    assert index.verify() == []


def test_a_column_gets_a_wider_type(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "i")
    for place, values in enumerate((["1", "2"], ["1.5", ""], ["gate", "0012"])):
        table = {"path": [f"{place}a", f"{place}b"], "modality": ["visible"] * 2, "door": values}
        index.add(people(2), table, fingerprint=FINGERPRINT)
        kind = ("integer", "real", "text")[place]
        assert index.columns["door"] == kind
        assert index.count("door = '1'" if kind == "text" else "door = 1") == 1
        assert index.verify() == []
    assert [r.extra.get("door") for r in index.records()] == ["1", "2", "1.5", None, "gate", "0012"]


def test_removed_and_compacted(own: Index) -> None:
    rows = rows_of()
    own.search(QUERIES)
    assert own.remove("camid = 1 or pid = 7") == sum(r["camid"] == 1 or r["pid"] == 7 for r in rows)

    def keep(row: dict) -> bool:
        return row["camid"] != 1 and row["pid"] != 7

    before = own.search(QUERIES, top=10)
    for query, matches in zip(QUERIES, before, strict=True):
        assert paths(matches) == brute(people(), query, rows, keep)[:10]
    dropped = own.info()["removed_vectors"]
    assert dropped == COUNT - own.count()
    other = Index(own.folder)
    with other.snapshot() as state:  # a reader in the middle of its work keeps its state
        assert own.compact() == dropped
        assert len(state.vectors) == COUNT
        assert np.array_equal(state.vectors, people())
    assert own.search(QUERIES, top=10) == before == other.search(QUERIES, top=10)
    assert vector_file(own.folder, 2).stat().st_size == 4 * 16 * own.count()
    assert own.verify() == []
    assert own.compact() == 0
    own.add(people(2, seed=4), columns(2, 5000), fingerprint=FINGERPRINT)
    assert [r.id for r in own.records(where="path = 'cam3/05000.jpg'")] == [COUNT + 1]
    assert [path.name for path in own.folder.glob("vectors-*")] == ["vectors-000002.f32"]


def flip(path: Path, position: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


def test_a_changed_vector_is_damage(own: Index) -> None:
    flip(vector_file(own.folder, 1), 4 * 16 * 5 + 3)
    assert own.verify() == ["record 6 (cam6/00005.jpg): its values or its vector are damaged"]
    own.remove("camid = 1")
    with pytest.raises(DataError, match="record 6"):
        own.compact()
    assert own.count() == 200
    own.remove("record_id = 6")
    own.compact()
    assert own.verify() == []


def test_a_changed_record_is_damage(own: Index) -> None:
    own.close()
    with sqlite3.connect(own.folder / "records.sqlite") as connection:
        connection.execute("UPDATE records SET camid = 5 WHERE id = 9")
        connection.execute("UPDATE records SET slot = 1000 WHERE id = 12")
    connection.close()
    with pytest.raises(DataError, match="a slot without a vector"):
        Index(own.folder).search(QUERIES)
    damage = Index(own.folder).verify()
    assert [line.split(" (")[0] for line in damage] == ["record 9", "record 12"] or len(damage) == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("generation", '"../../etc"'),
        ("generation", "-1"),
        ("slots", "1e3"),
        ("slots", "99999999999999999999"),
        ("dimension", "0"),
        ("kind", '"flat"'),
        ("version", "null"),
        ("structure", '{"file": "../../x.faiss"}'),
        ("model", "not JSON"),
        ("other", "1"),
    ],
)
def test_changed_settings_are_refused(own: Index, key: str, value: str) -> None:
    own.close()
    with sqlite3.connect(own.folder / "records.sqlite") as connection:
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", [key, value])
    connection.close()
    with pytest.raises(DataError, match="table meta"):
        Index(own.folder)


def test_a_short_vector_file_is_refused(own: Index) -> None:
    path = vector_file(own.folder, 1)
    with path.open("r+b") as file:
        file.truncate(4 * 16 * 10)
    assert "has 10 vectors; the database committed 240" in own.verify()[0]
    with pytest.raises(DataError, match="committed 240"):
        Index(own.folder)
    path.unlink()
    with pytest.raises(DataError, match="does not exist"):
        Index(own.folder)


def test_a_damaged_database_is_refused(own: Index) -> None:
    own.close()
    path = own.folder / "records.sqlite"
    path.write_bytes(b"not a database, but as long as a page" * 200)
    for name in ("records.sqlite-wal", "records.sqlite-shm"):
        (own.folder / name).unlink(missing_ok=True)
    with pytest.raises(DataError, match=r"damaged|not a database|is not"):
        Index(own.folder)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    folder.mkdir()
    sqlite3.connect(folder / "records.sqlite").execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(DataError, match="not the database of an index"):
        Index(folder)


def test_a_second_writer_is_refused(own: Index) -> None:
    with locked(own.folder), pytest.raises(DataError, match="being written by another process"):
        Index(own.folder).add(people(1), columns(1, 999), fingerprint=FINGERPRINT)
    assert own.add(people(1), columns(1, 999), fingerprint=FINGERPRINT).added == 1


def test_readers_during_additions(own: Index) -> None:
    """Each search sees one committed state: complete chunks only, and never fewer records than before."""
    seen: list[int] = []
    failures: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            reader = Index(own.folder)
            while not done.is_set():
                [matches] = reader.search(QUERIES[:1], top=5000)
                seen.append(len(matches))
                assert len({match.record.path for match in matches}) == len(matches)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for step in range(8):
        own.add(people(50, seed=step), columns(50, 1000 + 50 * step), fingerprint=FINGERPRINT)
    own.remove("camid = 1")
    own.compact()
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert all((count - COUNT) % 50 == 0 or count == own.count() for count in seen)
    assert own.verify() == []


def test_names(own: Index, tmp_path: Path) -> None:
    data = tmp_path / "data"
    made(index_folder("gallery", data), 8)
    made(index_folder("2026-11", data), 8)
    (data / "indexes" / "other").mkdir()
    assert list_indexes(data) == ["2026-11", "gallery"]
    assert open_index("gallery", data).count() == 8
    assert open_index(str(own.folder), data).count() == COUNT
    with pytest.raises(UsageError) as caught:
        open_index("galery", data)
    assert "Nearest: gallery." in caught.value.hint
    for wrong in ("..", ".hidden", "a b", "", "x" * 200):
        with pytest.raises(UsageError, match="can't be named"):
            index_folder(wrong, data)
    with pytest.raises(UsageError, match="exists already"):
        Index.create(own.folder)
    with pytest.raises(UsageError, match="no kind 'flat'"):
        Index.create(tmp_path / "x", kind="flat")  # type: ignore[arg-type]


def test_a_full_disk_gets_the_space_of_the_addition_back(own: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    file = own.folder / "vectors-000001.f32"
    size, write = file.stat().st_size, os.write

    def full(descriptor: int, content: memoryview) -> int:
        """Write some bytes, then none."""
        if file.stat().st_size > size:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content[:40])

    monkeypatch.setattr(segments.os, "write", full)
    with pytest.raises(DataError, match="No space left"):
        own.add(people(COUNT + 8)[COUNT:], columns(8, COUNT), fingerprint=FINGERPRINT, root="/images")
    monkeypatch.undo()
    assert file.stat().st_size == size
    assert own.verify() == []


def test_a_read_only_folder_can_be_searched(own: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not bind the superuser, so the answer about them is replaced."""
    before = own.search(QUERIES)
    own.close()
    names = {path.name for path in own.folder.iterdir()}
    monkeypatch.setattr(database.os, "access", lambda path, mode: False)
    reader = Index(own.folder)
    assert reader.search(QUERIES) == before
    with pytest.raises(DataError, match="can't be opened or written"):
        reader.remove("camid = 1")
    assert {path.name for path in own.folder.iterdir()} <= names | {"lock"}
