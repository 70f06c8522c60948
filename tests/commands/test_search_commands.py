"""``vireid index`` and ``vireid search`` on files of embeddings, through the command line."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command
from tests.search.made import FINGERPRINT, brute, columns, people, rows_of
from vireid_cli.embedding_files import write_embeddings
from vireid_cli.embedding_files.origin import EmbeddingOrigin
from vireid_cli.embedding_files.rows import ImageRows, parse_time
from vireid_cli.errors import DataError, Interrupted, UsageError
from vireid_cli.lock import locked
from vireid_cli.search import approximate, approximate_search
from vireid_cli.search.index import Index
from vireid_cli.types import Modality


def written(path: Path, count: int = 60, start: int = 0, **changes: object) -> Path:
    """A file of embeddings of the made records from ``start`` on."""
    table = columns(count, start)
    rows = ImageRows(
        np.array(table["path"]),
        np.array([Modality(name).code for name in table["modality"]], np.uint8),
        np.array(table["camid"]),
        np.array([-1 if pid is None else pid for pid in table["pid"]]),
        np.array([parse_time(time) for time in table["time"]]),
        {"door": np.array(table["door"]), "score": np.array(table["score"])},
    )
    origin = EmbeddingOrigin(FINGERPRINT | changes, 16, "list", None, "/images", "p")
    return write_embeddings(path, origin, rows, [people(240)[start : start + count]])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIREID_DATA", raising=False)
    written(tmp_path / "gallery.npz")
    written(tmp_path / "queries.npz", 3, 60)
    return tmp_path


def test_the_story(place: Path, vireid: Command) -> None:
    done = vireid("index", "create", "gallery", "gallery.npz", "--model", "RUN")
    assert done.code == 0, done.err
    assert "gallery.npz: added 60, replaced 0, skipped 0" in done.out
    assert "next: vireid search gallery QUERY" in done.out
    assert (place / "data" / "indexes" / "gallery" / "records.sqlite").is_file()
    assert "skipped 60" in vireid("index", "add", "gallery", "gallery.npz").out
    assert "replaced 60" in vireid("index", "add", "gallery", "gallery.npz", "--replace").out
    shown = vireid("index", "info", "gallery").out
    assert "60 records (20 infrared, 40 visible)" in shown
    assert "60 vectors of removed records" in shown
    assert "model: RUN" in shown
    assert "door (text)" in shown
    assert vireid("index", "info", "--json").out == '[\n  "gallery"\n]\n'
    assert "undamaged: 60 records" in vireid("index", "verify", "gallery").out
    assert "dropped 60 vectors" in vireid("index", "compact", "gallery").out
    removed = vireid("index", "remove", "gallery", "--where", "camid = 1")
    assert "removed 10 of index gallery; 50 remain" in removed.out


def test_json_equals_loops(place: Path, vireid: Command) -> None:
    vireid("index", "create", "gallery", "gallery.npz")
    done = vireid("search", "gallery", "queries.npz", "--top", "7", "--json", "--exclude-same-camera",
                  "--where", "camid in (1, 2, 3) and door = 'north'")  # fmt: skip
    assert done.code == 0, done.err
    content = json.loads(done.out)
    assert content["index"] == "gallery"
    for place_, query in enumerate(content["queries"]):
        number = 60 + place_
        assert query["query"] == columns(3, 60)["path"][place_]
        cameras = {1, 2, 3} - {query["camid"]}
        kept = [row for row in rows_of(60) if row["camid"] in cameras and row["door"] == "north"]
        vectors = people(240)[[int(row["path"][5:10]) for row in kept]]
        expected = brute(vectors, people(240)[number], kept, lambda row: True)
        assert [match["path"] for match in query["matches"]] == expected[:7]
        assert all(match["root"] == "/images" for match in query["matches"])


def test_the_table(place: Path, vireid: Command) -> None:
    vireid("index", "create", "gallery", "gallery.npz")
    done = vireid("search", "gallery", "queries.npz", "--top", "2", "--rerank", "k-reciprocal",
                  "--group-by", "pid", "--modality", "infrared")  # fmt: skip
    assert done.code == 0, done.err
    header = next(line for line in done.out.splitlines() if "rank" in line)
    assert header.split() == [
        "rank",
        "score",
        "distance",
        "modality",
        "camid",
        "pid",
        "time",
        "door",
        "score",
        "(record)",
        "path",
    ]
    assert done.out.count(" infrared ") == 6
    assert "cam1/00060.jpg" in done.out


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("search", "galery", "queries.npz"), 2, "Nearest: gallery."),
        (("search", "gallery", "missing.npz"), 2, "missing.npz does not exist"),
        (("search", "gallery", "queries.npz", "--where", "cam = 3"), 2, "Nearest column: camid"),
        (("search", "gallery", "queries.npz", "--where", "camid = 1; DROP TABLE records"), 2, "unexpected"),
        (("search", "gallery", "other.npz"), 1, "embeddings of another model than index gallery"),
        (("index", "add", "gallery", "other.npz"), 1, "size: 64x32 and 288x144"),
        (("index", "add", "gallery", "gallery.npz", "gallery.npz"), 2, "given twice"),
        (("index", "create", "gallery"), 2, "exists already"),
        (("index", "create", "../x y/.."), 2, "exists already"),
        (("index", "create", "a b"), 2, "can't be named"),
        (("index", "remove", "gallery", "--where", ""), 2, "expected the name of a column"),
        (("index", "info", "gone"), 2, "there is no index 'gone'"),
    ],
)
def test_refused(place: Path, vireid: Command, words: tuple[str, ...], code: int, part: str) -> None:
    written(place / "other.npz", 3, 60, size="288x144")
    (place / "x y").mkdir()
    vireid("index", "create", "gallery", "gallery.npz")
    done = vireid(*words)
    assert done.code == code, done.err
    assert part in " ".join(done.err.split())
    assert "60 records" in vireid("index", "info", "gallery").out


def test_files_of_two_models_create_nothing(place: Path, vireid: Command) -> None:
    written(place / "other.npz", 3, 60, size="288x144")
    done = vireid("index", "create", "gallery", "gallery.npz", "other.npz")
    assert done.code == DataError.exit_code
    assert "other.npz has embeddings of another model than gallery.npz" in done.err
    assert not (place / "data" / "indexes" / "gallery").exists()
    vireid("index", "create", "gallery")
    assert vireid("index", "add", "gallery", "gallery.npz", "other.npz").code == DataError.exit_code
    assert "\n0 records" in vireid("index", "info", "gallery").out


def test_an_existing_index_names_the_way_to_add(place: Path, vireid: Command) -> None:
    vireid("index", "create", "gallery")
    assert "vireid index add NAME FILE" in vireid("index", "create", "gallery", "gallery.npz").err


def test_an_interrupted_creation_names_the_command_that_continues(
    place: Path, vireid: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Index, "add", stop)
        done = vireid("index", "create", "gallery", "gallery.npz")
    assert done.code == Interrupted.exit_code
    assert "Continue: vireid index add gallery gallery.npz" in done.err
    assert "added 60" in vireid("index", "add", "gallery", "gallery.npz").out


@pytest.mark.parametrize("url", ["localhost:6333", "nonsense", "", "ftp://x"])
def test_a_server_without_scheme_is_no_folder(place: Path, vireid: Command, url: str) -> None:
    pytest.importorskip("qdrant_client")
    done = vireid("index", "create", "far", "--backend", "qdrant", "--url", url)
    assert done.code == UsageError.exit_code
    assert "expected http://HOST:PORT" in done.err
    assert [path.name for path in place.iterdir() if path.is_dir() and path.name != "data"] == []


def test_many_queries_are_a_few_tables(place: Path, vireid: Command) -> None:
    """A file of many queries does not fill the terminal; JSON and the sheet have them all."""
    vireid("index", "create", "gallery", "gallery.npz")
    written(place / "many.npz", 25, 60)
    names = columns(25, 60)["path"]
    few = vireid("search", "gallery", "many.npz", "--top", "2")
    assert few.code == 0, few.err
    assert few.out.count("rank") == 10
    assert [name for name in names if name in few.out] == names[:10]
    assert few.out.endswith("15 of 25 queries are not printed; all: --tables 25, --json or --html FILE\n")
    every = vireid("search", "gallery", "many.npz", "--top", "2", "--tables", "25")
    assert every.out.count("rank") == 25
    assert "not printed" not in every.out
    content = json.loads(vireid("search", "gallery", "many.npz", "--top", "2", "--json").out)
    assert [query["query"] for query in content["queries"]] == names
    vireid("search", "gallery", "many.npz", "--top", "2", "--html", "sheet.html")
    assert all(name in (place / "sheet.html").read_text() for name in names)


def test_no_match_is_one_line(place: Path, vireid: Command) -> None:
    vireid("index", "create", "gallery")
    done = vireid("search", "gallery", "queries.npz")
    assert done.code == 0
    assert done.out.splitlines() == [
        "index gallery has 0 records; none of them matches",
        "next: vireid index add gallery FILE",
    ]
    vireid("index", "add", "gallery", "gallery.npz")
    done = vireid("search", "gallery", "queries.npz", "--where", "camid = 99")
    assert done.out.splitlines() == ["index gallery has 60 records; none of them matches"]


def test_a_removal_without_effect_suggests_nothing(place: Path, vireid: Command) -> None:
    vireid("index", "create", "gallery", "gallery.npz")
    assert "next:" not in vireid("index", "remove", "gallery", "--where", "camid = 99").out
    assert "next: vireid index compact" in vireid("index", "remove", "gallery", "--where", "camid = 1").out


def test_damage_is_an_exit_code(place: Path, vireid: Command) -> None:
    vireid("index", "create", "gallery", "gallery.npz")
    file = place / "data" / "indexes" / "gallery" / "vectors-000001.f32"
    content = bytearray(file.read_bytes())
    content[5] ^= 1
    file.write_bytes(content)
    done = vireid("index", "verify", "gallery")
    assert done.code == 1
    assert "record 1 (cam1/00000.jpg): its values or its vector are damaged" in done.out


def test_a_writer_names_the_other_one(place: Path, vireid: Command) -> None:
    vireid("index", "create", "gallery", "gallery.npz")
    with locked(place / "data" / "indexes" / "gallery"):
        done = vireid("index", "add", "gallery", "queries.npz")
        assert vireid("search", "gallery", "queries.npz", "--json").code == 0
    assert done.code == DataError.exit_code
    assert "is being written by another process" in done.err


def test_qdrant_has_the_same_verbs(place: Path, vireid: Command) -> None:
    pytest.importorskip("qdrant_client")
    warnings.filterwarnings("ignore", "Local mode performs exact")
    done = vireid("index", "create", "far", "gallery.npz", "--backend", "qdrant", "--url", place / "server")
    assert done.code == 0, done.err
    vireid("index", "create", "near", "gallery.npz")
    words = ("queries.npz", "--json", "--where", "camid in (3, 6)")
    near, far = (json.loads(vireid("search", name, *words).out)["queries"] for name in ("near", "far"))
    for ours, theirs in zip(near, far, strict=True):
        assert [m["path"] for m in ours["matches"]] == [m["path"] for m in theirs["matches"]]
    sheet = vireid("search", "far", "queries.npz", "--top", "2", "--html", place / "sheet.html")
    assert sheet.code == 0, sheet.err
    assert "60 records" in (place / "sheet.html").read_text()
    assert "exact search on qdrant" in vireid("index", "info", "far").out
    assert "undamaged: 60 records" in vireid("index", "verify", "far").out
    assert "removed 10 of index far" in vireid("index", "remove", "far", "--where", "camid = 3").out
    for wrong in (("--backend", "qdrant"), ("--url", "http://127.0.0.1:1")):
        refused = vireid("index", "create", "x", *wrong)
        assert refused.code == 2
        assert "belong together" in refused.err


def test_the_benchmark(place: Path, vireid: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    size = ("--records", "1000", "--width", "8", "--queries", "5", "--kind", "hnsw")
    refused = vireid("bench", "search", *size)
    assert refused.code == 2
    assert "1,000 records is searched exactly" in refused.err
    monkeypatch.setattr(approximate, "BUILT_FROM", 100)
    monkeypatch.setattr(approximate_search, "ROWS_PER_EFFORT", {"hnsw": 0, "ivf-pq": 0})
    done = vireid("bench", "search", *size, "--spectrum", "decaying", "--json")
    assert done.code == 0, done.err
    measured = json.loads(done.out)
    assert measured["exact"]["recall_at_10"] == measured["exact_filtered"]["recall_at_10"] == 1.0
    assert measured["hnsw"]["recall_at_10"] >= 0.9
    assert [entry["recall_at_10"] for entry in list(measured["hnsw"]["filtered"].values())[1:]] == [1.0] * 3


def test_few_records_say_that_the_search_is_exact(place: Path, vireid: Command) -> None:
    for words in (
        ("create", "near", "gallery.npz", "--kind", "hnsw"),
        ("compact", "near"),
        ("info", "near"),
    ):
        done = vireid("index", *words)
        assert done.code == 0, done.err
        shown = " ".join(done.out.split())
        assert "hnsw: 60 records are searched exactly. A structure is built from 20,000 records on" in shown
    assert "searched exactly" not in vireid("index", "create", "plain", "gallery.npz").out


@pytest.mark.parametrize("model", ["/nope", "nope.onnx", "runs/nope"])
@pytest.mark.parametrize("verb", ["create", "add"])
def test_a_missing_model_is_refused_at_once(verb: str, model: str, place: Path, vireid: Command) -> None:
    if verb == "add":
        vireid("index", "create", "gallery")
    done = vireid("index", verb, "gallery", "gallery.npz", "--model", model)
    assert done.code == 2
    assert "--model" in done.err
    assert "does not exist" in done.err
    assert (place / "data" / "indexes" / "gallery").exists() == (verb == "add")
