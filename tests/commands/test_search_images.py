"""``vireid search`` with images: embedded by the model of the index, and the ranking sheet."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import TINY, Command
from vireid_cli.engine.engine import Engine


@pytest.fixture(scope="module")
def made(sysu_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, the embeddings of two cameras, and an index that knows the run."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "tiny.yaml").write_text(TINY)
    engine = Engine.choose("cpu", "fp32", data_dir=sysu_tree, runs_dir=folder / "runs")
    run = engine.train(str(folder / "tiny.yaml"), epochs=1)
    run.folder.rename(folder / "RUN")
    return folder


@pytest.fixture
def index(made: Path, sysu_tree: Path, vireid: Command, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Words that every search has; the index is created by the first test."""
    monkeypatch.chdir(made)
    data = ["--data", str(made / "data")]
    if not (made / "data").exists():
        for camera in ("cam1", "cam3"):
            words = (
                "--images",
                sysu_tree / "SYSU-MM01" / camera,
                "--out",
                f"{camera}.npz",
                "--precision",
                "fp32",
            )
            assert vireid("embed", "./RUN", *words).code == 0
        done = vireid("index", "create", "people", "cam1.npz", "cam3.npz", "--model", "./RUN", *data)
        assert done.code == 0, done.err
    return ["search", "people", "--device", "cpu", *data]


def image(tree: Path, name: str) -> str:
    return str(tree / "SYSU-MM01" / name)


def test_an_image_finds_itself(index: list[str], vireid: Command, sysu_tree: Path) -> None:
    """Grey images are infrared, others visible: each by its own path of the network."""
    queries = [image(sysu_tree, "cam1/0011/0001.jpg"), "cam3.npz", image(sysu_tree, "cam3/0012/0002.jpg")]
    done = vireid(*index, *queries, "--top", "2", "--json")
    assert done.code == 0, done.err
    results = json.loads(done.out)["queries"]
    assert len(results) == 38
    for query, modality in ((results[0], "visible"), (results[-1], "infrared")):
        best = query["matches"][0]
        assert query["modality"] == best["modality"] == modality
        assert Path(best["root"], best["path"]) == Path(query["query"])
        assert best["score"] == pytest.approx(1.0, abs=1e-4)
    assert [query["camid"] for query in results] == [1, *[3] * 37]


def test_options_of_images(index: list[str], vireid: Command, sysu_tree: Path) -> None:
    query = image(sysu_tree, "cam1/0011/0001.jpg")
    same = json.loads(vireid(*index, query, "--json", "--exclude-same-camera").out)["queries"][0]
    assert {match["camid"] for match in same["matches"]} == {3}
    other = json.loads(vireid(*index, query, "--json", "--camera", "3", "--exclude-same-camera").out)[
        "queries"
    ][0]
    assert {match["camid"] for match in other["matches"]} == {1}
    infrared = json.loads(vireid(*index, query, "--json", "--query-modality", "infrared").out)["queries"][0]
    assert infrared["modality"] == "infrared"


def test_the_sheet(index: list[str], vireid: Command, sysu_tree: Path, tmp_path: Path) -> None:
    page = tmp_path / "sheet.html"
    query = image(sysu_tree, "cam3/0012/0002.jpg")
    done = vireid(
        *index, query, "cam3.npz", "--top", "4", "--html", page, "--where", "camid = 1 and pid < 90"
    )
    assert done.code == 0, done.err
    assert f"wrote {page}" in done.out
    text = page.read_text()
    assert len(re.findall(r'<img src="data:image/webp;base64,', text)) == 37 * 5
    assert "where camid = 1 and pid &lt; 90" in text
    assert "<script" not in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert 'class="right"' in text
    assert 'class="wrong"' in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("missing.jpg",), 2, "the query missing.jpg does not exist"),
        (("tiny.yaml",), 1, "tiny.yaml"),
        (("IMAGE", "--model", "./gone"), 2, "can't be opened"),
    ],
)
def test_refused(
    index: list[str], vireid: Command, sysu_tree: Path, words: tuple[str, ...], code: int, part: str
) -> None:
    real = [image(sysu_tree, "cam1/0011/0001.jpg") if word == "IMAGE" else word for word in words]
    done = vireid(*index, *real)
    assert done.code == code, done.err
    assert part in " ".join(done.err.split())


def test_an_index_without_a_model(index: list[str], vireid: Command, sysu_tree: Path, made: Path) -> None:
    data = ["--data", str(made / "data")]
    vireid("index", "create", "bare", "cam1.npz", *data)
    query = image(sysu_tree, "cam1/0011/0001.jpg")
    done = vireid("search", "bare", query, *data)
    assert done.code == 2
    assert "index bare does not know its model" in done.err
    assert vireid("search", "bare", query, "--model", "./RUN", "--device", "cpu", *data).code == 0
