"""Run folders: made, named, found; files that survive a kill."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from vireid_cli import files
from vireid_cli.errors import DataError, UsageError
from vireid_cli.results import run as runs
from vireid_cli.results import schema
from vireid_cli.results.arrays import read_arrays
from vireid_cli.results.run import RunFolder

NOW = datetime(2024, 2, 3, 4, 5, 6)


EVALUATION = {
    "version": 2, "protocol": "all-single-seeded", "fingerprint": {}, "metrics": {}, "interval": "",
    "cmc": [], "chance": {}, "variants": [], "reported": [], "per_trial": {},
    "trials": 1, "queries": 1, "valid_queries": 1, "gallery": 1,
}  # fmt: skip


def made(folder: Path, name: str = "sepg") -> runs.RunFolder:
    run = runs.create(name, "sysu", runs=folder, now=NOW)
    run.recipe_file.write_text("name: x\n")
    return run


def test_names_and_latest(tmp_path: Path) -> None:
    first, second = made(tmp_path), made(tmp_path)
    assert (first.name, second.name) == ("sepg-sysu-20240203-040506", "sepg-sysu-20240203-040506-2")
    with pytest.raises(UsageError, match="no run yet"):
        runs.find(None, runs=tmp_path)
    runs.set_latest(first)
    runs.set_latest(second)
    assert runs.find(None, runs=tmp_path).name == second.name
    assert runs.find("latest", runs=tmp_path).name == second.name
    assert runs.find(first.name, runs=tmp_path) == first
    assert runs.find(first.folder, runs=tmp_path) == first
    with pytest.raises(UsageError, match="sepg-sysu"):
        runs.find("nowhere", runs=tmp_path)


def test_commands_are_quoted(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "my runs" / "a")
    assert run.command("export", "onnx") == f"vireid export onnx '{run.folder}'"


def test_latest_as_a_text_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    run = made(tmp_path)
    runs.set_latest(run)
    assert (tmp_path / "latest").is_file()
    assert runs.find(None, runs=tmp_path) == run


def test_log_rows(tmp_path: Path) -> None:
    run = made(tmp_path)
    for step in (1, 2, 3):
        runs.append_row(run.log, {"kind": "step", "global_step": step})
    with run.log.open("a") as file:
        file.write('{"kind": "st')  # cut by a kill
    assert [row["global_step"] for row in run.log_rows()] == [1, 2, 3]
    runs.truncate_log(run.log, 2)
    assert [row["global_step"] for row in run.log_rows()] == [1, 2]


def test_atomic_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = files.write_text(tmp_path / "a" / "x.json", "old")

    def fail(file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match="No space left"):
        files.write_with(path, fail)
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["x.json"]


def test_arrays_and_their_errors(tmp_path: Path) -> None:
    path = tmp_path / "e.npz"
    with pytest.raises(UsageError, match="vireid evaluate"):
        read_arrays(path, {"a": ""}, "vireid evaluate")
    files.write_npz(path, a=np.arange(3))
    assert read_arrays(path, {"a": ""}, "x")["a"].tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="lacks b"):
        read_arrays(path, {"a": "", "b": ""}, "x")
    path.write_bytes(b"nonsense")
    with pytest.raises(DataError, match="can't be read"):
        read_arrays(path, {"a": ""}, "x")


def test_evaluations(tmp_path: Path) -> None:
    run = made(tmp_path)
    path = run.evaluation("all-single-seeded") / schema.METRICS
    files.write_json(path, EVALUATION)
    (run.folder / "evaluation" / "half").mkdir()
    assert list(run.evaluations()) == ["all-single-seeded"]
    for damaged in ('{"fingerprint": ', "{}", "[]"):
        path.write_text(damaged)
        with pytest.raises(DataError, match=r"metrics\.json") as caught:
            run.evaluations()
        assert "vireid evaluate" in caught.value.hint


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"data": {}}'])
def test_a_damaged_environment_is_named(tmp_path: Path, damaged: str) -> None:
    run = made(tmp_path)
    with pytest.raises(DataError, match=r"environment\.json does not exist"):
        run.environment()
    (run.folder / schema.ENVIRONMENT).write_text(damaged)
    with pytest.raises(DataError, match=r"environment\.json"):
        run.environment()


def test_damaged_arrays_are_named(tmp_path: Path) -> None:
    path = files.write_npz(tmp_path / "x.npz", a=np.random.default_rng(0).normal(size=200))
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="can't be read"):
            read_arrays(path, {"a": ""}, "x")
    for begin in range(60, len(whole) - 200, 97):
        path.write_bytes(whole[:begin] + bytes(100) + whole[begin + 100 :])
        with pytest.raises(DataError, match="can't be read"):
            read_arrays(path, {"a": ""}, "x")


def test_lines_of_a_log_that_are_none_are_left_out(tmp_path: Path) -> None:
    run = made(tmp_path)
    run.log.write_bytes(b'\xff\xfe{"kind\n[1]\n{"kind": "step", "global_step": 1}\n{"epoch": 1}\n')
    assert [row["global_step"] for row in run.log_rows()] == [1]
    runs.truncate_log(run.log, 1)
    assert [row["global_step"] for row in run.log_rows()] == [1]


STEP = {"kind": "step", "global_step": 2, "lr": 0.1, "loss": 1.5, "losses": {"identity": 1.5}}
EPOCH = {"kind": "epoch", "epoch": 0, "global_step": 2, "val": {"mAP": 0.5}}


def test_whole_rows_are_drawn(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    rows = [
        STEP,
        {**STEP, "loss": None, "losses": {}},
        {**STEP, "monitors": {"agp.layer1": 0.02}},
        EPOCH,
        {"kind": "epoch", "epoch": 1, "global_step": 3},
    ]
    rows.append({"kind": "remark", "text": "of nobody's concern"})
    for row in rows:
        runs.append_row(run.log, row)
    assert run.checked_log_rows() == rows


@pytest.mark.parametrize("key", ["global_step", "lr", "loss", "losses"])
def test_a_row_that_lacks_something_is_named_by_its_line(tmp_path: Path, key: str) -> None:
    run = RunFolder(tmp_path)
    runs.append_row(run.log, STEP)
    runs.append_row(run.log, {name: value for name, value in STEP.items() if name != key})
    with pytest.raises(DataError, match=rf"train\.jsonl:2: {key}: this key is missing"):
        run.checked_log_rows()


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({**STEP, "loss": "high"}, "loss"),
        ({**STEP, "lr": None}, "lr"),
        ({**STEP, "losses": 3.0}, "losses"),
        ({**STEP, "losses": {"identity": [1]}}, "losses"),
        ({**STEP, "monitors": {"agp.layer1": "high"}}, "monitors"),
        ({**EPOCH, "epoch": "first"}, "epoch"),
        ({**EPOCH, "val": None}, "val"),
    ],
)
def test_a_row_without_numbers_is_named_by_its_line(tmp_path: Path, row: dict, key: str) -> None:
    run = RunFolder(tmp_path)
    runs.append_row(run.log, row)
    with pytest.raises(DataError, match=rf"train\.jsonl:1: {key}.*: expected"):
        run.checked_log_rows()


def test_a_log_of_other_lines_is_damaged_and_a_cut_last_one_is_not(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    runs.append_row(run.log, STEP)
    with run.log.open("a", encoding="utf-8") as log:
        log.write('{"kind": "st')
    assert run.checked_log_rows() == [STEP]
    run.log.write_text('garbage\n{"x":\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"train\.jsonl: 2 of 2 lines are not rows"):
        run.checked_log_rows()


def test_runs_in_a_folder_each_once_under_its_own_name(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home / "b", elsewhere / "c"):
        files.write_text(folder / schema.RECIPE, "")
    for name, target in (
        ("a", home / "b"),
        ("latest", home / "b"),
        ("c", elsewhere / "c"),
        ("d", home / "c"),
    ):
        (home / name).symlink_to(target)
    (home / "broken").symlink_to(tmp_path / "nowhere")
    assert [run.name for run in runs.runs_in(home)] == ["b", "c"]
    assert runs.runs_in(tmp_path / "nowhere") == []


def test_a_run_has_the_requested_name(tmp_path: Path) -> None:
    assert runs.create("sepg", "sysu", runs=tmp_path, name="first try").folder == tmp_path / "first try"
    with pytest.raises(UsageError, match="exists already"):
        runs.create("sepg", "sysu", runs=tmp_path, name="first try")
    for name in ("", "a/b", "..", "-x", "latest", "means", "a\nb", "x" * 201, " x"):
        with pytest.raises(UsageError, match="can't be the name of a run"):
            runs.check_new_name(name, tmp_path)


def test_the_name_of_a_run_has_no_colon(tmp_path: Path) -> None:
    assert runs.create("a", "folder:site", runs=tmp_path, now=NOW).name == "a-folder-site-20240203-040506"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_a_log_does_not_hang_the_training(tmp_path: Path) -> None:
    log = RunFolder(tmp_path).log
    os.mkfifo(log)
    with pytest.raises(DataError, match="is a named pipe"):
        runs.append_row(log, {"kind": "step"})
