"""``vireid evaluate`` as a person calls it: variants, comparisons, means, files, rules in words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.arrays import save_arrays
from tests.conftest import Command

GOLDEN = Path(__file__).parents[1] / "golden"


def test_a_run_in_every_way(
    vireid: Command, sysu_tree: Path, tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIREID_DATA", str(sysu_tree))
    monkeypatch.setenv("VIREID_RUNS", str(tmp_path / "runs"))
    quick = ("--set", "train.steps_per_epoch=1", "--set", "train.epochs=1")
    runs = []
    for seed in (0, 1):
        choose = ("--set", "data.split=train", "--set", "train.select=val") if seed == 0 else ()
        code, out, err = vireid("train", "--recipe", tiny_recipe, "--seed", seed, *quick, *choose)
        assert code == 0, err
        runs.append(Path(out.split("wrote ")[1].splitlines()[0]))

    how = ("--mode", "all", "--trials", 2)
    ways = ("--rerank", "k-reciprocal", "--rerank", "gallery-mean", "--flip", "sum", "--breakdown")
    code, out, err = vireid("evaluate", runs[0], *how, *ways)
    assert code == 0, err
    for shown in ("k-reciprocal", "gallery-mean", "flip sum", "flip sum + k-reciprocal", "worst queries"):
        assert shown in out
    assert "best on val (epoch 1 of 1" in out
    folder = runs[0] / "evaluation" / "all-single-seeded"
    content = json.loads((folder / "metrics.json").read_text())
    assert len(content["variants"]) == 5
    assert content["breakdown"]["worst_queries"][0]["path"].endswith(".jpg")

    # our own exported embeddings give the same metrics
    code, out, err = vireid(
        "evaluate", "--features", folder / "embeddings.npz", "--dataset", "sysu", "--json", *ways[:2]
    )
    assert code == 0, err
    repeated = json.loads(out)
    assert repeated["metrics"]["mAP"]["mean"] == pytest.approx(content["metrics"]["mAP"]["mean"], abs=1e-6)
    assert repeated["per_trial"]["rank1"] == pytest.approx(content["per_trial"]["rank1"], abs=1e-6)
    assert repeated["trials"] == 2

    code, out, err = vireid("evaluate", runs[0], *how, "--against", runs[1], "--json")
    assert code == 0, err
    differences = json.loads(out)["against"]["differences"]
    assert 0.0 < differences["mAP"]["p_value"] <= 1.0
    assert json.loads((folder / "metrics.json").read_text())["against"]["name"] == runs[1].name

    refuse_runs_named_twice(vireid, runs)
    code, out, err = vireid("evaluate", *runs, *how, "--json")
    assert code == 0, err
    result = json.loads(out)
    assert [e["protocol"] for e in result] == ["all-single-seeded"] * 2 + ["all-single-seeded-mean"]
    assert result[2]["models"] == 2
    assert result[2]["runs"] == sorted(run.name for run in runs)
    [stored] = (tmp_path / "runs" / "means").glob("*/evaluation/all-single-seeded-mean/metrics.json")
    content = json.loads(stored.read_text())
    assert {key: value for key, value in content.items() if key != "sha256"} == result[2]
    code, out, err = vireid("results", stored.parents[2].name, "--json")
    assert code == 0, err
    assert json.loads(out) == {"all-single-seeded-mean": content}

    code, out, err = vireid("evaluate", runs[0], "--explain", "--mode", "indoor")
    assert "visible cameras 1, 2" in out
    assert "cameras 1, 2, 4, 5" not in out


def refuse_runs_named_twice(vireid: Command, runs: list[Path]) -> None:
    one = runs[0]
    for words in (("latest", runs[-1]), (one, one.name), (one, one), (one, "--against", one.name)):
        code, _, err = vireid("evaluate", *words)
        assert (code, "is named twice" in err) == (2, True), err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--dataset", "sysu"), "cameras 1, 2, 4, 5"),
        (("--dataset", "sysu", "--protocol", "official"), "rand_perm_cam.mat"),
        (("--dataset", "sysu", "--shots", "both"), "10 images (multi-shot)"),
        (("--dataset", "regdb", "--direction", "i2v"), "infrared images query visible ones"),
        (("--dataset", "llcm"), "drawn infrared images query all visible"),
        (("--dataset", "llcm", "--protocol", "llcm-train"), "query one drawn image of each identity"),
        (("--dataset", "regdb", "--trial", "3"), "RegDB, trial 3 of ten"),
        (("--dataset", "regdb", "--trial", "all"), "the trial of the model"),
        (("--dataset", "llcm", "--protocol", "llcm-full"), "nothing is drawn"),
        (("--dataset", "buaa"), "FAR 1.0%, 0.1%"),
        (("--dataset", "buaa"), "does not exceed the target"),
        (("--dataset", "oulu", "--far", "nearest"), "nearest to the target, which it may exceed"),
        (("--dataset", "folder"), "A folder of your own"),
    ],
)
def test_rules_in_plain_words(vireid: Command, words: tuple[str, ...], message: str) -> None:
    code, out, err = vireid("evaluate", "--explain", *words)
    assert code == 0, err
    assert message in out


@pytest.mark.parametrize(
    ("dataset", "words", "setting"),
    [
        ("sysu", ("--far", "nearest"), "the protocol of SYSU-MM01 has no setting far"),
        ("regdb", ("--mode", "indoor"), "the protocol of RegDB has no setting modes"),
        ("llcm", ("--shots", "10"), "the protocol of LLCM has no setting shots"),
        ("llcm", ("--protocol", "llcm-full", "--trials", "3"), "llcm-full draws nothing"),
        ("buaa", ("--trials", "3"), "the protocol of faces has no setting trials"),
        ("folder", ("--trial", "3"), "the protocol of a folder has no setting trial"),
    ],
)
def test_rules_of_settings_that_are_another_dataset_s(
    vireid: Command, dataset: str, words: tuple[str, ...], setting: str
) -> None:
    code, _, err = vireid("evaluate", "--explain", "--dataset", dataset, *words)
    assert code == 2
    assert setting in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--features", GOLDEN / "sysu_small_unique.npz", "--dataset", "sysu", "--mode", "all"),
            "has no paths of the images",
        ),
        (("--features", GOLDEN / "sysu_small_unique.npz", "--dataset", "sisu"), "did you mean 'sysu'?"),
        (("--explain", "--dataset", "lcm"), "did you mean 'llcm'?"),
        (("one", "two", "--against", "three"), "name only one RUN"),
        (("--cost", "--mode", "all"), "--mode has no effect"),
        (("--cost", "--trial", "all"), "--trial has no effect"),
        (("--trial", "eleven"), "expected a number from 1 to 10, or all"),
        (("--trial", "11"), "expected a number from 1 to 10, or all"),
        (("one", "two", "--trial", "all"), "Name at most one of these runs"),
        (("one", "--trial", "all", "--against", "two"), "Name at most one of these runs"),
        (
            ("--features", GOLDEN / "regdb_small.npz", "--dataset", "regdb", "--trial", "all"),
            "defines queries and gallery",
        ),
        (("--features", GOLDEN / "regdb_small.npz"), "needs --dataset"),
        (("one", "--features", GOLDEN / "regdb_small.npz", "--dataset", "regdb"), "exclude each other"),
        (("--cost", "--breakdown"), "--breakdown has no effect"),
    ],
)
def test_wrong_use(vireid: Command, words: tuple[object, ...], message: str) -> None:
    code, _, err = vireid("evaluate", *words)
    assert code == 2
    assert message in err.replace("\n", " ")


def test_two_files_are_compared(vireid: Command) -> None:
    file = GOLDEN / "sysu_all_single.npz"
    code, out, err = vireid("evaluate", "--features", file, "--dataset", "sysu", "--against", file, "--json")
    assert code == 0, err
    against = json.loads(out)["against"]
    assert against["differences"]["mAP"] == {"mean": 0.0, "interval": [0.0, 0.0], "p_value": 1.0}


def test_features_are_evaluated_without_torch_and_matplotlib(tmp_path: Path) -> None:
    """Their import takes several times as long as the evaluation of SYSU-MM01."""
    draw = np.random.default_rng(0)
    pids, features = np.arange(6) // 2, draw.standard_normal((6, 4), dtype=np.float32)
    sides = {"feat": features, "pids": pids}
    save_arrays(
        tmp_path / "f.npz",
        **{f"{side}_{name}": value for side in "qg" for name, value in sides.items()},
        q_camids=np.full(6, 3),
        g_camids=np.full(6, 1),
    )
    code = (
        "import sys; from vireid_cli.commands.main import app\n"
        f"try: app(['evaluate-features', {str(tmp_path / 'f.npz')!r}, '--dataset', 'sysu'])\n"
        "except SystemExit as done: assert not done.code\n"
        "print([name for name in ('torch', 'torchvision', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Rank-1" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
