"""The main job through the command line: prepare → train → evaluate → visualize → export."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command

GOLDEN = Path(__file__).parents[1] / "golden"


def test_prepare_to_export(vireid: Command, place: Path) -> None:
    prepared = vireid("prepare", "sysu", "--size", "64x32")
    assert prepared.code == 0, prepared.err
    assert re.search(r"camera 3 +infrared +test +4 identities +12 images", prepared.out)
    assert "next: vireid train" in prepared.out
    trained = vireid("train", "--recipe", "tiny.yaml", "--seed", 3)
    assert trained.code == 0, trained.err
    run = Path(trained.out.split("wrote ")[1].splitlines()[0])
    assert "seed: 3" in (run / "recipe.yaml").read_text()

    evaluated = vireid("evaluate", "--shots", "both")
    assert evaluated.code == 0, evaluated.err
    for protocol in ("all-single-seeded", "indoor-single-seeded", "all-multi-seeded", "indoor-multi-seeded"):
        assert protocol in evaluated.out
        content = json.loads((run / "evaluation" / protocol / "metrics.json").read_text())
        assert content["fingerprint"]["seed"] == 3
        assert content["trials"] == 10
        assert 0.0 <= content["metrics"]["mINP"]["mean"] <= content["metrics"]["rank20"]["mean"] <= 1.0
    for words in (
        ("phase-swap", "--out", "swap.png", "--size", "64x32"),
        ("tsne", "--ids", "4", "--format", "svg"),
        ("ranking", "--order", "worst"),
        ("curves", "--dpi", "80"),
        ("cmc", "--ranks", "5"),
        ("report", "--ids", "4"),
    ):
        drawn = vireid("visualize", *words)
        assert drawn.code == 0, drawn.err
        assert Path(drawn.out.split("wrote ")[1].strip()).stat().st_size > 1000
    exported = vireid("export", "onnx", "--layout", "joint")
    assert exported.code == 0, exported.err
    difference = float(re.search(r"PyTorch (\S+)", exported.out)[1])  # type: ignore[index]
    assert difference < 1e-4
    result = vireid("results")
    assert "embed.onnx" in result.out
    assert "all-multi-seeded" in result.out
    assert json.loads(vireid("results", "--json").out).keys() >= {"all-single-seeded"}
    verified = vireid("prepare", "sysu", "--verify")
    assert verified.code == 1, "these are not as many images as SYSU-MM01 has"
    assert all(line.startswith("published numbers: ") for line in verified.out.splitlines())


def test_evaluate_json_is_nothing_but_json(vireid: Command, place: Path) -> None:
    assert vireid("train", "--recipe", "tiny.yaml", "--set", "train.epochs=1").code == 0
    content = json.loads(vireid("evaluate", "--mode", "indoor", "--json").out)
    assert content["protocol"] == "indoor-single-seeded"
    assert vireid("evaluate", "--protocol", "official").code == 1, "rand_perm_cam.mat is not there"


def test_evaluating_on_training_identities_is_refused(vireid: Command, place: Path) -> None:
    trained = vireid("train", "--recipe", "tiny.yaml", "--set", "train.epochs=1")
    run = Path(trained.out.split("wrote ")[1].splitlines()[0])
    from vireid_cli.data.identity import identity_tokens
    from vireid_cli.data.store import open_store
    from vireid_cli.engine.checkpoint import load_checkpoint, save_checkpoint

    store = open_store(Path(sys.modules["os"].environ["VIREID_DATA"]), "sysu")
    last = run / "checkpoints" / "last"
    saved = load_checkpoint(last)
    saved.extra["training_identities"] += identity_tokens(store, np.array([11]))
    save_checkpoint(last, saved)
    refused = vireid("evaluate", run)
    assert refused.code == 2
    assert "1 of 4 test identities were trained on" in refused.err
    allowed = vireid("evaluate", run, "--allow-overlap", "--mode", "all")
    assert "warning: 1 test identities were trained on" in allowed.out
    content = json.loads((last / "state.json").read_text())
    content["extra"]["training_identities"] = []
    (last / "state.json").write_text(json.dumps(content))
    changed = vireid("evaluate", run)
    assert changed.code == 1
    assert "does not match its hash" in changed.err


def test_somebody_elses_features(vireid: Command, tmp_path: Path) -> None:
    file = GOLDEN / "sysu_all_single.npz"
    result = vireid("evaluate", "--features", file, "--dataset", "sysu", "--json")
    assert result.code == 0, result.err
    content = json.loads(result.out)
    with np.load(file) as golden:
        assert content["metrics"]["mAP"]["mean"] == pytest.approx(float(golden["mAP"]), abs=1e-9)
        assert content["metrics"]["mINP"]["mean"] == pytest.approx(float(golden["mINP"]), abs=1e-9)
        assert content["cmc"] == pytest.approx(golden["cmc"].tolist(), abs=1e-9)
        assert content["valid_queries"] == int(golden["n_valid"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train",), "--recipe is missing"),
        (("train", "--recipe", "nothing-like-it"), "There is no recipe"),
        (("recipes", "check", "methods-large"), "vireid compare methods-large"),
        (("bench", "steps", "-r", "fdnm"), "at least two recipes"),
        (("train", "--recipe", "tiny.yaml", "--set", "train.epoch=1"), "Did you mean 'train.epochs'?"),
        (("train", "--recipe", "tiny.yaml", "--device", "cuda:77"), "--device cuda:77 can't be used"),
        (("train", "--recipe", "tiny.yaml", "--precision", "fp8"), "expected one of auto, fp32"),
        (("train", "--recipe", "tiny.yaml", "--dataset", "sisu"), "sysu"),
        (("train", "--resume", "latest"), "no run yet"),
        (("train", "--resume", "latest", "--seed", "1"), "remove --recipe"),
        (("evaluate",), "no run yet"),
        (("evaluate", "--features", "x.npz"), "needs --dataset"),
        (("evaluate", "--features", "x.npz", "--dataset", "sysu"), "does not exist"),
        (("prepare", "sysu", "--size", "12"), "HEIGHTxWIDTH"),
        (("prepare", "sysu", "--root", "nowhere"), "nowhere"),
        (("visualize", "tsne"), "no run yet"),
        (("visualize", "report"), "no run yet"),
        (("visualize", "cmc", "nothing-like-it"), "There is no run"),
        (("visualize", "sweep", "nowhere"), "There is no folder"),
        (("visualize", "sweep", "."), "There is no run in"),
        (("visualize", "phase-swap", "--pid", "999", "--size", "64x32"), "pid 999 does not exist"),
        (("visualize", "phase-swap", "--visible", "a.png"), "need each other"),
        (("export", "onnx", "somewhere"), "There is no run 'somewhere'"),
        (("results",), "no run yet"),
    ],
)
def test_wrong_use_exits_with_two(vireid: Command, place: Path, words: tuple[str, ...], message: str) -> None:
    result = vireid(*words)
    assert result.code == 2
    assert message in result.err.replace("\n", " ")


def test_without_data_each_command_names_the_next_step(
    vireid: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIREID_DATA", str(place / "empty"))
    for words in (("prepare", "sysu"), ("train", "--recipe", "tiny.yaml"), ("visualize", "phase-swap")):
        result = vireid(*words)
        assert result.code == 2
        assert "SYSU-MM01" in result.err
        assert "vireid prepare synthetic" in result.err
        assert "agreement" in result.err


def test_unreadable_images_end_with_one(vireid: Command, place: Path, sysu_tree: Path) -> None:
    data = place / "data"
    shutil.copytree(sysu_tree / "SYSU-MM01", data / "SYSU-MM01")
    (data / "SYSU-MM01/cam1/0001/0002.jpg").write_bytes(b"")
    result = vireid("prepare", "sysu", "--size", "64x32", "--data", data)
    assert result.code == 1
    assert "cam1/0001/0002.jpg" in result.err
    assert vireid("prepare", "sysu", "--size", "64x32", "--data", data, "--skip-bad").code == 0
