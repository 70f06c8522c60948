"""The ranking figure of runs: which queries, the same ones for all runs, images from the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.engine.conftest import MakeRun
from vireid_cli.engine.engine import Engine, RunName
from vireid_cli.engine.subjects.output import Output
from vireid_cli.engine.visualize import ranking as drawing
from vireid_cli.errors import UsageError
from vireid_cli.results import schema
from vireid_cli.results.arrays import read_arrays
from vireid_cli.results.run import RunFolder
from vireid_cli.types import RecordTable

PROTOCOL = "all-single-seeded"
CHOICE = {"protocol": None, "queries": None, "order": None, "seed": 0}


class Drawn:
    """Records the arguments of the figure."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, paths: np.ndarray) -> None:
        self.groups: list[Any] = []
        self.words: tuple[str, ...] = ()
        real = {name: getattr(drawing.ranking, name) for name in ("ranking_figure", "compared_figure")}
        for name, figure in real.items():
            monkeypatch.setattr(drawing.ranking, name, self._catch(figure))
        store = SimpleNamespace(
            records=records_of(np.sort(paths)),
            folder=Path("store"),
            batch=lambda size, rows: np.stack([np.full((8, 4, 3), row, np.uint8) for row in rows]),
        )
        self.sorted = np.sort(paths)
        monkeypatch.setattr(drawing, "ensure_prepared", lambda *_: store)

    def _catch(self, figure: Callable[..., Figure]) -> Callable[..., Figure]:
        def caught(rows: Sequence[object], *words: str) -> Figure:
            self.groups, self.words = list(rows), words
            return figure(rows[:1], *words)  # the whole page takes long, and is the figure's own test

        return caught


def records_of(paths: np.ndarray) -> RecordTable:
    """The record table of ``cam<camid>/<pid>/<image>.jpg``; infrared are cameras 3 and 6."""
    parts = np.char.partition(np.char.replace(paths, "cam", ""), "/")
    camids = parts[:, 0].astype(np.int64)
    pids = np.char.partition(parts[:, 2], "/")[:, 0].astype(np.int64)
    modalities = np.isin(camids, (3, 6)).astype(np.uint8)
    return RecordTable(paths, pids, camids, modalities, np.full(len(paths), "test"))


def table(run: RunFolder) -> dict[str, np.ndarray]:
    return read_arrays(run.evaluation(PROTOCOL) / schema.RANKING, schema.RANKING_ARRAYS, "")


@pytest.fixture
def runs(evaluated_run: MakeRun) -> list[RunFolder]:
    return [evaluated_run("near", noise=1.0), evaluated_run("far", noise=3.0)]


@pytest.fixture
def drawn(runs: list[RunFolder], monkeypatch: pytest.MonkeyPatch) -> Drawn:
    arrays = table(runs[0])
    return Drawn(monkeypatch, np.concatenate([arrays["query_paths"], arrays["gallery_paths"]]))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine.choose(device="cpu", data_dir=tmp_path, runs_dir=tmp_path / "runs")


def draw(engine: Engine, runs: RunName | Sequence[RunName], tmp_path: Path, **options: Any) -> Path:
    output = Output(tmp_path / "figure.png", dpi=40)
    return engine.visualize("ranking", runs, output=output, **{**CHOICE, **options})


def test_two_runs_are_drawn_for_the_same_queries(
    engine: Engine, runs: list[RunFolder], drawn: Drawn, tmp_path: Path
) -> None:
    draw(engine, runs, tmp_path, order="worst", queries=3)
    near, far = table(runs[0]), table(runs[1])
    worst = np.argsort(near["average_precision"], kind="stable")[:3]
    assert len(drawn.groups) == 3
    for query, (ours, theirs) in zip(worst, drawn.groups, strict=True):
        assert (
            ours.query_label == theirs.query_label == f"pid {query % 6} · cam {near['query_camids'][query]}"
        )
        at = np.searchsorted(drawn.sorted, near["query_paths"][query])
        np.testing.assert_array_equal(ours.query_image, np.full_like(ours.query_image, at))
        np.testing.assert_array_equal(ours.query_image, theirs.query_image)
        for row, arrays, name in ((ours, near, "near"), (theirs, far, "far")):
            top = arrays["top"][query]
            np.testing.assert_array_equal(row.correct, arrays["gallery_pids"][top] == query % 6)
            at = np.searchsorted(drawn.sorted, arrays["gallery_paths"][top])
            np.testing.assert_array_equal(row.images[:, 0, 0, 0], at)
            assert row.head == f"{name}: AP {100 * arrays['average_precision'][query]:.1f} %"
    assert drawn.words == (
        "near above far",
        f"{PROTOCOL}, trial 0, worst queries by near; cosine similarity",
    )


def test_best_random_and_one_run(engine: Engine, runs: list[RunFolder], drawn: Drawn, tmp_path: Path) -> None:
    arrays = table(runs[0])
    draw(engine, "near", tmp_path, order="best", queries=2)
    assert drawn.groups[0].query_label.endswith(f"AP {100 * np.nanmax(arrays['average_precision']):.1f} %")
    draw(engine, "near", tmp_path)
    first = [row.query_label for row in drawn.groups]
    assert len(first) == drawing.QUERIES
    draw(engine, "near", tmp_path)
    assert [row.query_label for row in drawn.groups] == first
    draw(engine, "near", tmp_path, seed=1)
    assert [row.query_label for row in drawn.groups] != first


def test_queries_of_people_and_by_path(
    engine: Engine, runs: list[RunFolder], drawn: Drawn, tmp_path: Path
) -> None:
    draw(engine, runs, tmp_path, pids=[4, 2], queries=50)
    assert {group[0].query_label[:5] for group in drawn.groups} == {"pid 2", "pid 4"}
    assert len(drawn.groups) == 10
    assert "random queries of pid 4, 2" in drawn.words[1]
    paths = table(runs[0])["query_paths"][[7, 3]].tolist()
    draw(engine, "near", tmp_path, paths=[f"/somewhere/SYSU-MM01/{paths[0]}", paths[1]])
    assert [row.query_label.split(" · ")[0] for row in drawn.groups] == ["pid 1", "pid 3"]
    assert "queries as named" in drawn.words[1]


def test_wrong_choices_are_refused(
    engine: Engine, runs: list[RunFolder], drawn: Drawn, tmp_path: Path, evaluated_run: MakeRun
) -> None:
    with pytest.raises(UsageError, match=r"no query of pid 77(.|\n)*0, 1, 2"):
        draw(engine, "near", tmp_path, pids=[77])
    with pytest.raises(UsageError, match=r"not a query(.|\n)*Nearest: cam6/0000/000"):
        draw(engine, "near", tmp_path, paths=["cam6/0000/9000.jpg"])
    with pytest.raises(UsageError, match="can't be combined with --pid, --order or --queries"):
        draw(engine, "near", tmp_path, paths=["x"], order="best")
    with pytest.raises(UsageError, match="1 to 4 runs, not 5"):
        draw(engine, ["near", "far", "near", "far", "near"], tmp_path)
    bare = tmp_path / "runs" / "bare"
    bare.mkdir()
    (bare / "recipe.yaml").write_text((runs[0].recipe_file).read_text())
    with pytest.raises(UsageError, match="vireid evaluate"):
        draw(engine, "bare", tmp_path)


def test_runs_that_were_asked_other_queries_are_refused(
    engine: Engine, runs: list[RunFolder], drawn: Drawn, tmp_path: Path
) -> None:
    file = runs[1].evaluation(PROTOCOL) / schema.RANKING
    with np.load(file) as content:
        arrays = dict(content)
    arrays["query_paths"] = arrays["query_paths"][::-1]
    np.savez(file, **arrays)
    with pytest.raises(UsageError, match=r"far was evaluated .* with other queries"):
        draw(engine, runs, tmp_path)
