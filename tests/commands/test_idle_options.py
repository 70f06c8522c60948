"""An option that another one leaves without effect is refused before anything is done: one line, exit 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command
from vireid_cli.processors import most_processes

IDLE = [
    (
        "prepare sysu --verify --root ROOT --size 96x48 --skip-bad",
        "--verify",
        ["--root", "--size", "--skip-bad"],
    ),
    ("prepare regdb --verify --size 288x144", "--verify", ["--size"]),
    ("prepare occluded --verify --seed 0 --part 1/1", "--verify", ["--seed", "--part"]),
    (
        "prepare occluded --verify --preset occ-all --query-p 0.5 --query-modality visible --epsilon area",
        "--verify",
        ["--preset", "--query-p", "--query-modality", "--epsilon"],
    ),
    ("prepare occluded --verify --library L --trial 2 --workers 1", "--verify", ["--library", "--trial"]),
    ("prepare occluders --weights w.pth", "--detector maskrcnn", ["--weights"]),
    ("prepare occluders --images I --detector net.onnx --weights w.pth", "maskrcnn", ["--weights"]),
    (
        "prepare occluders --sam-weights s.pth --sam-kind vit_h",
        "--refine sam",
        ["--sam-weights", "--sam-kind"],
    ),
    (
        "visualize occlusion --library-sheet --dataset sysu --by camera",
        "--library-sheet",
        ["--dataset", "--by"],
    ),
    ("visualize occlusion --library-sheet --rows 3 --seed 1", "--library-sheet", ["--rows", "--seed"]),
    ("visualize spectrum a.png --dataset sysu", "files", ["--dataset"]),
    ("visualize phase-swap a.png b.png --dataset sysu", "files", ["--dataset"]),
    ("visualize phase-swap --visible a.png --infrared b.png --dataset sysu", "files", ["--dataset"]),
    ("visualize seg --pid 6 --ids 4", "--pid", ["--ids"]),
    ("visualize seg --weight 0 --amplitude unit", "--weight 0", ["--amplitude"]),
    ("visualize attention --pid 6 --ids 4", "--pid", ["--ids"]),
    ("visualize ranking --order worst --seed 1", "--order", ["--seed"]),
    ("visualize ranking --query a.jpg --seed 1", "--query", ["--seed"]),
    ("visualize tsne --precision fp32", "--component spatial", ["--precision"]),
    ("compare methods --json --markdown", "--json", ["--markdown"]),
    ("compare methods --json --verbose", "--json", ["--verbose"]),
    ("evaluate a --json --verbose", "--json", ["--verbose"]),
    ("evaluate --features f.npz --dataset sysu --json --verbose", "--json", ["--verbose"]),
    ("evaluate --explain --dataset sysu --verbose", "--explain", ["--verbose"]),
    ("evaluate --cost a --verbose", "--cost", ["--verbose"]),
    ("evaluate-features f.npz --dataset sysu --json --verbose", "--json", ["--verbose"]),
    ("results a --json --verbose", "--json", ["--verbose"]),
    ("results a --markdown --verbose", "--markdown", ["--verbose"]),
    ("results a --latex --verbose", "--latex", ["--verbose"]),
    ("results a --csv --verbose", "--csv", ["--verbose"]),
    ("results a b --verbose", "Several runs", ["--verbose"]),
    ("search g q.npz --camera 1", "embeddings", ["--camera"]),
    (
        "search g q.npz q.parquet --query-modality infrared --model m",
        "embeddings",
        ["--query-modality", "--model"],
    ),
    ("search g q.npz --json --tables 3", "--json", ["--tables"]),
    ("search g q.png --html q.html --tables 3", "--html", ["--tables"]),
    ("export onnx --calibration 64", "--quantize int8", ["--calibration"]),
    ("export onnx --check-on test --calibration 64", "--quantize int8", ["--check-on", "--calibration"]),
    ("export openvino --check-on val", "--precision int8", ["--check-on"]),
    ("export openvino --precision fp16 --calibration 64", "--precision int8", ["--calibration"]),
    ("bench serve --token a-token-of-the-test", "--url", ["--token"]),
    ("bench serve --url http://127.0.0.1:1 --rows 5", "--url", ["--rows"]),
    ("cost a --artifacts --precision bf16", "--artifacts", ["--precision"]),
    ("bench evaluate --gallery 400 --repeats 2", "--gallery", ["--repeats"]),
    ("evaluate --explain --dataset sysu --rerank k-reciprocal", "--explain", ["--rerank"]),
    ("evaluate --explain --dataset sysu --flip sum --breakdown", "--explain", ["--flip", "--breakdown"]),
    (
        "evaluate --explain --dataset sysu --features f.npz --against g",
        "--explain",
        ["--features", "--against"],
    ),
    ("evaluate --explain --dataset sysu --allow-overlap --precision fp32", "--explain", ["--precision"]),
    ("evaluate a --explain --dataset sysu", "--dataset", ["RUN"]),
    ("evaluate --features f.npz --dataset sysu --allow-overlap", "--features", ["--allow-overlap"]),
    ("evaluate --features f.npz --dataset sysu --precision fp32", "--features", ["--precision"]),
]


@pytest.mark.parametrize(("words", "by", "idle"), IDLE, ids=[words for words, _, _ in IDLE])
def test_refused_with_both_named(
    vireid: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, by: str, idle: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = vireid(*words.split())
    assert result.code == 2
    first = " ".join(result.err.split())
    assert by in first
    assert " no effect; remove " in first
    for option in idle:
        assert option in first.split(": ", 1)[1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "first", "later"),
    [
        ("--set train.epochs=1 --set train.epochs=2", "train.epochs=1", "train.epochs=2"),
        (
            "--set train.optimizer.lr=1 --set train.optimizer={lr:2}",
            "train.optimizer.lr=1",
            "optimizer={lr:2}",
        ),
        ("--set data.dataset=regdb --dataset llcm", "data.dataset=regdb", "data.dataset=llcm"),
        ("--set train.seed=1 --seed 2", "train.seed=1", "train.seed=2"),
        ("--set data.trial=3 --trial all", "data.trial=3", "data.trial=all"),
    ],
)
def test_a_setting_that_is_replaced(vireid: Command, words: str, first: str, later: str) -> None:
    result = vireid("train", "--recipe", "baseline", *words.split())
    assert result.code == 2
    assert f"{first} has no effect: " in result.err
    assert later in result.err
    if "--trial" not in words and "--dataset" not in words and "--seed" not in words:
        assert vireid("bench", "train", *words.split()).code == 2


def test_a_part_may_be_set_after_its_section(vireid: Command, place: Path) -> None:
    settings = ("--set", "train.optimizer={name: adam}", "--set", "train.optimizer.lr=nonsense")
    result = vireid("train", "--recipe", "baseline", *settings)
    assert result.code == 2
    assert "train.optimizer.lr: expected a valid number" in result.err


def test_a_folder_from_the_environment_is_no_typed_option(vireid: Command, place: Path) -> None:
    """``VIREID_DATA`` and ``VIREID_RUNS`` are set here."""
    result = vireid("evaluate", "--explain", "--dataset", "sysu", "--mode", "indoor", "--json")
    assert result.code == 0, result.err


def test_verify_takes_its_threads_from_workers(
    vireid: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vireid_cli.engine import prepare as preparation

    assert vireid("prepare", "sysu", "--size", "64x32").code == 0
    taken = []

    def verify(store: object, workers: int, progress: object) -> list[str]:
        taken.append(workers)
        return []

    monkeypatch.setattr(preparation, "verify_store", verify)
    monkeypatch.setattr(preparation, "compare_with_published", lambda store: [])
    assert vireid("prepare", "sysu", "--verify", "--workers", 3).code == 0
    assert vireid("prepare", "sysu", "--verify").code == 0
    assert taken == [3, None]


@pytest.mark.parametrize(
    "words",
    ["train --recipe quickstart.yaml --processes", "prepare synthetic --workers", "embed latest --workers"],
)
def test_a_number_of_processes_that_no_machine_carries_is_refused(vireid: Command, words: str) -> None:
    option = words.split()[-1]
    result = vireid(*words.split(), most_processes() + 1)
    assert result.code == 2
    assert f"{option} {most_processes() + 1}: " in result.err
    assert f"from 1 to {most_processes()}" in result.err
