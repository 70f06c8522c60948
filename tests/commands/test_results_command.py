"""``vireid runs`` and ``vireid results``: a list of runs, and several runs side by side."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.arrays import save_arrays
from tests.conftest import Command
from vireid_cli.commands import console, evaluation_output
from vireid_cli.commands.terminal import Terminal
from vireid_cli.results.run import RunFolder, set_latest

MARK: dict[str, Any] = {
    "dataset": "SYSU-MM01", "split": "test", "mode": "all", "shots": 1, "trials": 10,
    "gallery_draw": "seeded", "camera_rule": "sysu: queries of camera 3 ignore gallery images of camera 2",
    "cmc": "identities", "data": "abc", "source": "sysu", "trained_on": "SYSU-MM01 abc", "seed": 0,
    "embedding": "256-d, unit length", "distance": "cosine (float64 product)", "precision": "bf16",
    "checkpoint": "last (epoch 2 of 2)", "weights": "rendered (resnet18, sha256 5b50)", "image_size": "96x48",
}  # fmt: skip


def made(runs: Path, name: str, rank1: float, *, prefix: str = "", **mark: Any) -> RunFolder:
    """A run folder with an evaluation whose Rank-1 is ``rank1`` and whose fingerprint has ``mark``."""
    run = RunFolder(runs / name)
    place = run.evaluation(f"{prefix}all-single-seeded")
    place.mkdir(parents=True)
    recipe = mark.setdefault("recipe", "agw_base")
    run.recipe_file.write_text(f"name: {recipe}\ndata:\n  dataset: sysu\ntrain:\n  epochs: 4\n")
    values = dict.fromkeys(("rank1", "rank5", "rank10", "rank20", "mAP", "mINP"), rank1)
    content = {
        "version": 3, "protocol": "all-single-seeded", "fingerprint": {**MARK, **mark}, "trials": 10,
        "queries": 9, "valid_queries": 8, "gallery": 7, "interval": "bootstrap", "cmc": [], "variants": [],
        "metrics": {k: {"mean": v, "std": 0.01, "interval": [v - 0.1, v + 0.1]} for k, v in values.items()},
        "per_trial": {k: [v] for k, v in values.items()}, "chance": {"rank1": 0.0125, "mAP": 0.03},
        "reported": [],
    }  # fmt: skip
    (place / "metrics.json").write_text(json.dumps(content))
    return run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIREID_RUNS", str(tmp_path))
    monkeypatch.setattr(console, "out", Terminal(width=80))
    return tmp_path


def checkpoint(run: RunFolder, epoch: int, time: float) -> None:
    place = run.checkpoints / "last"
    place.mkdir(parents=True)
    (place / "state.json").write_text(json.dumps({"epoch": epoch}))
    os.utime(place / "state.json", (time, time))


def test_runs_are_listed_and_sorted(vireid: Command, runs: Path) -> None:
    first = made(runs, "quickstart-sysu-20261130-083911", 0.25, rendered="version 2, seed 0, abc")
    checkpoint(first, 2, 1e9)
    checkpoint(made(runs, "best", 0.5), 4, 0.9e9)
    (runs / "unfinished").mkdir()
    (runs / "unfinished" / "recipe.yaml").write_text(
        "name: deen\ndata: {dataset: llcm}\ntrain: {epochs: 9}\n"
    )
    (runs / "broken").mkdir()
    (runs / "broken" / "recipe.yaml").write_text("{")
    set_latest(first)
    code, out, err = vireid("runs")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "2/4" in out
    assert "25.00*" in out
    assert "*: on rendered people" in out
    assert "broken: " in err
    order = [row["name"] for row in json.loads(vireid("runs", "--json").out)]
    assert set(order[:2]) == {"broken", "unfinished"}, "the newest first"
    assert order[2:] == [first.name, "best"]
    by_metric = json.loads(vireid("runs", "--sort", "rank1", "--json").out)
    assert [row["name"] for row in by_metric[:2]] == ["best", first.name]
    assert by_metric[0] | {"date": ""} == {
        "name": "best", "recipe": "agw_base", "dataset": "sysu", "epochs": 4, "planned": 4, "date": "",
        "protocol": "all-single-seeded", "rank1": 0.5, "mAP": 0.5, "latest": False, "rendered": False,
        "precision": "bf16", "problem": "",
    }  # fmt: skip
    assert [row["recipe"] for row in json.loads(vireid("runs", "--sort", "recipe", "--json").out)][1:] == [
        "agw_base",
        "agw_base",
        "deen",
    ]


def test_no_runs(vireid: Command, runs: Path) -> None:
    code, _, err = vireid("runs")
    assert (code, "has no runs" in err) == (2, True)


def test_several_runs_side_by_side(vireid: Command, runs: Path) -> None:
    made(runs, "a", 0.25)
    made(runs, "b", 0.5, seed=1)
    out = vireid("results", "a", "b").out
    assert max(map(len, out.splitlines())) <= 80
    assert "agw_base, seed 1" in out
    assert "50.00 ± 1.00" in out
    assert out.count("mINP") == 1
    assert "unlike" not in out
    markdown = vireid("results", "a", "b", "--markdown").out
    assert "| % | Rank-1 | Rank-5 | Rank-10 | Rank-20 | mAP | mINP |" in markdown
    assert "| agw_base, seed 0 | 25.00 ± 1.00 |" in markdown
    assert "| chance | 1.25 |" in markdown
    latex = vireid("results", "a", "b", "--latex").out
    assert r"agw\_base, seed 1 & 50.00 $\pm$ 1.00 & " in latex
    assert latex.count(r"\\") == 4
    assert r"\toprule" in latex
    rows = list(csv.DictReader(io.StringIO(vireid("results", "a", "b", "--csv").out)))
    assert len(rows) == 12
    assert rows[0] | {} == {
        "run": "a", "recipe": "agw_base", "dataset": "SYSU-MM01", "protocol": "all-single-seeded",
        "precision": "bf16", "rendered": "no", "queries": "9", "valid_queries": "8", "gallery": "7",
        "trials": "10", "metric": "rank1", "mean": "0.25", "std": "0.01", "low": "0.15", "high": "0.35",
        "chance": "0.0125",
    }  # fmt: skip
    assert json.loads(vireid("results", "a", "b", "--json").out).keys() == {"a", "b"}
    code, _, err = vireid("results", "a", "--csv", "--latex")
    assert (code, "exclude each other" in err) == (2, True)
    code, _, err = vireid("results", "a", "--protocol", "none")
    assert (code, "Choose: all-single-seeded" in err) == (2, True)


def test_unlike_conditions_are_marked(vireid: Command, runs: Path) -> None:
    made(runs, "a", 0.25, recipe="one")
    made(runs, "b", 0.5, recipe="two", precision="fp32")
    for form in ("--markdown", "--latex"):
        out = vireid("results", "a", "b", form).out
        assert "one (bf16)" in out
        assert "two (fp32)" in out
        assert "unlike conditions, so not strictly comparable: one: bf16; two: fp32" in out
    assert "two (fp32)" in vireid("results", "a", "b").out
    assert "not strictly comparable: unlike conditions (bf16: 1 result, fp32: 1 result)" in vireid("runs").out
    made(runs, "c", 0.5, recipe="two")
    assert "unlike" not in vireid("results", "a", "c").out


def test_four_short_lines_unless_verbose(vireid: Command, runs: Path) -> None:
    made(runs, "a", 0.25, rendered="version 2, seed 0, b5a013faa3fd")
    out = vireid("results", "a").out
    names = ("protocol: ", "data: ", "model: ", "scores: ")
    lines = [line for line in out.splitlines() if line.startswith(names)]
    assert [line.split(":")[0] for line in lines] == ["protocol", "data", "model", "scores"]
    assert all(len(line) <= 80 for line in out.splitlines() if "MB)" not in line)
    assert "single-shot, seeded gallery, CMC of identities, cameras: sysu" in lines[0]
    assert "sysu abc, rendered version 2, seed 0, trained on SYSU-MM01 abc" in lines[1]
    assert "last (epoch 2 of 2)" in lines[2]
    assert "test_time_augmentation" not in out
    verbose = vireid("results", "a", "--verbose").out
    assert "interval: bootstrap" in verbose
    assert "camera_rule=sysu: queries of camera 3 ignore gallery images of camera 2" in verbose
    assert "protocol: single-shot" not in verbose


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_table_is_wider_than_the_terminal(runs: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    content = made(runs, "a", 0.9).evaluations()["all-single-seeded"]
    text = io.StringIO()
    screen = Terminal(width=width)
    screen.file = text
    monkeypatch.setattr(console, "out", screen)
    evaluation_output.print_evaluations([content])
    shown = text.getvalue()
    assert max(map(len, shown.splitlines()[1:])) <= width, "the title is wrapped by the terminal"
    assert shown.count("80.0–100.0") == 6, "no metric is cut off"


def test_tables_hold_results_of_one_dataset(vireid: Command, runs: Path) -> None:
    """A run evaluated on another dataset is beside the runs of that dataset, not beside those of its own."""
    mine, other = {"dataset": "folder:mine", "data": "m"}, {"dataset": "folder:other", "data": "o"}
    made(runs, "a", 0.25, recipe="one", **mine)
    cross = {**other, "cross_dataset": "trained on folder:mine"}
    made(runs, "a", 0.5, prefix="folder-other-", recipe="one", **cross)
    made(runs, "b", 0.75, recipe="two", **other)
    assert "% folder:other · all-single-seeded" in vireid("results", "a", "b", "--latex").out
    markdown = vireid("results", "a", "b", "--markdown").out
    first, second = markdown.split("**folder:other · all-single-seeded**")
    assert first.startswith("**folder:mine · all-single-seeded**")
    assert ("25.00" in first, "75.00" in first, "unlike" in first) == (True, False, False)
    assert "one (cross-dataset, trained on folder:mine) | 50.00" in second
    assert "two (same dataset) | 75.00" in second
    table = vireid("results", "a", "b").out
    assert "folder:other · all-single-seeded" in table, "the title has no cross-dataset of one row"
    rows = list(csv.DictReader(io.StringIO(vireid("results", "a", "b", "--csv").out)))
    assert {(row["run"], row["dataset"], row["protocol"]) for row in rows} == {
        ("a", "folder:mine", "all-single-seeded"),
        ("a", "folder:other", "all-single-seeded"),
        ("b", "folder:other", "all-single-seeded"),
    }
    chosen = vireid("results", "a", "b", "--protocol", "folder-other-all-single-seeded", "--markdown").out
    assert chosen.startswith("**folder:other"), "the name of a folder is accepted"


def test_json_and_csv_name_each_run_and_refuse_unknown_protocols(vireid: Command, runs: Path) -> None:
    made(runs, "one/same", 0.25)
    made(runs, "two/same", 0.5)
    words = ("results", runs / "one" / "same", runs / "two" / "same")
    contents = json.loads(vireid(*words, "--json").out)
    assert list(contents) == [str(path) for path in words[1:]]
    ranks = [one["all-single-seeded"]["metrics"]["rank1"]["mean"] for one in contents.values()]
    assert ranks == [0.25, 0.5]
    rows = list(csv.DictReader(io.StringIO(vireid(*words, "--csv").out)))
    assert {row["run"]: row["mean"] for row in rows} == dict(zip(contents, ("0.25", "0.5"), strict=True))
    (runs / "three").mkdir()
    (runs / "three" / "recipe.yaml").write_text("name: agw\n")
    for form in ((), ("--json",), ("--csv",)):
        code, out, err = vireid(*words[:2], "--protocol", "nonsense", *form)
        assert (code, out, "Choose: all-single-seeded" in err) == (2, "", True)
        code, out, err = vireid("results", "three", *form)
        assert (code, out, "has no evaluation" in err) == (2, "", True)


def test_a_file_of_features_is_in_the_table_of_the_runs_on_its_dataset(vireid: Command, runs: Path) -> None:
    made(runs, "a", 0.25, recipe="one")
    draw = np.random.default_rng(0)
    rows = [(p, c, f"cam{c}/{p:04d}/{i:04d}.jpg") for p in range(4) for c in range(1, 7) for i in range(2)]
    arrays: dict[str, np.ndarray] = {}
    for side, cameras in (("q", (3, 6)), ("g", (1, 2, 4, 5))):
        pids, camids, paths = zip(*(row for row in rows if row[1] in cameras), strict=True)
        features = draw.normal(size=(len(pids), 8))
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        columns = {"feat": features, "pids": pids, "camids": camids, "paths": paths}
        arrays |= {f"{side}_{name}": np.array(column) for name, column in columns.items()}
    save_arrays(runs / "theirs.npz", **arrays)
    kept = runs / "theirs"
    assert vireid("evaluate-features", runs / "theirs.npz", "--dataset", "sysu", "--out", kept).code == 0
    for order in (("a", kept), (kept, "a")):
        markdown = vireid("results", *order, "--protocol", "all-single-seeded", "--markdown").out
        assert markdown.startswith("**SYSU-MM01 · all-single-seeded")
        assert "| one (bf16, data abc) | 25.00" in markdown
        assert "| theirs, file theirs.npz (unknown precision, unknown images) | " in markdown
        assert "not strictly comparable" in markdown
    assert vireid("results", kept, "--markdown").out.startswith("**sysu (images of the file) · ")
    made(runs, "b", 0.5, recipe="two", dataset="rendered SYSU-MM01 layout", data="r")
    apart = vireid("results", "a", "b", kept, "--protocol", "all-single-seeded", "--csv").out
    datasets = {row["run"]: row["dataset"] for row in csv.DictReader(io.StringIO(apart))}
    assert len(set(datasets.values())) == 3, "real or rendered: the file does not record it"
