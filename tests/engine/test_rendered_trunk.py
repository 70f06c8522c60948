"""From a pre-training to a shipped trunk to a run that starts from it: provenance and leak guard."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import write_sysu_tree
from vireid_cli import Engine
from vireid_cli.backbones import shipped
from vireid_cli.backbones.rescale import rescale_features
from vireid_cli.backbones.shipped import Trunk
from vireid_cli.backbones.weights import training_identities
from vireid_cli.data.identity import identity_tokens, known_identities
from vireid_cli.data.provenance import MANIFEST
from vireid_cli.engine import export
from vireid_cli.engine.export_backbone import to_half
from vireid_cli.errors import UsageError
from vireid_cli.tensor_files import load_safetensors, read_metadata

FEW = ("train.epochs=1", "train.steps_per_epoch=2")
PRETRAIN = (*FEW, "data.split=all", "method.options.stem=shared")


def rendered_data(folder: Path, seed: int) -> Path:
    """A data directory with a tree of noise that carries the mark of a rendered one."""
    root = write_sysu_tree(folder / "rendered" / "SYSU-MM01")
    mark = {"version": 1, "complete": True, "seed": seed, "content_hash": f"tree-{seed}", "parameters": {}}
    (root / MANIFEST).write_text(json.dumps(mark))
    return folder


def engine_on(data: Path, runs: Path) -> Engine:
    return Engine.choose(device="cpu", precision="fp32", data_dir=data, runs_dir=runs)


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendered_data(tmp_path_factory.mktemp("pretraining"), seed=1000)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendered_data(tmp_path_factory.mktemp("benchmark"), seed=0)


@pytest.fixture
def trunk(pretraining: Path, tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trunk of a pre-training of two steps, shipped."""
    engine = engine_on(pretraining, tmp_path / "pretraining-runs")
    run = engine.train(str(tiny_recipe), PRETRAIN)
    path = engine.export_backbone(run, out=tmp_path / "shipped" / "trunk.safetensors", half=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(shipped, "FOLDER", path.parent)
    monkeypatch.setattr(shipped, "TRUNKS", (Trunk("resnet18", 16, path.name, digest),))
    return path


def test_the_file_is_half_and_records_its_training(trunk: Path) -> None:
    kinds = {value.dtype for key, value in load_safetensors(trunk).items() if "num_batches" not in key}
    assert kinds == {torch.float16}
    record = read_metadata(trunk)
    assert record["licence"] == "Apache-2.0"
    assert record["steps"] == "2"
    assert record["last_stride"] == "1"
    assert record["identities"] == "12"
    assert "version 1, seed 1000, tree-1000, 216 images" in record["trained_on"]
    assert len(training_identities(trunk)) == 12, "all splits are trained on"


def test_features_can_be_rescaled(pretraining: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    engine = engine_on(pretraining, tmp_path / "runs")
    run = engine.train(str(tiny_recipe), PRETRAIN)
    plain = engine.export_backbone(run, out=tmp_path / "plain.safetensors")
    wide = engine.export_backbone(run, out=tmp_path / "wide.safetensors", feature_scale=8.0)
    assert read_metadata(wide)["feature_scale"] == "8"
    expected = rescale_features(load_safetensors(plain), 8.0)
    for key, value in load_safetensors(wide).items():
        assert torch.equal(value, expected[key]), key
    for factor in (0.0, -1.0, 9e-4, 1001.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="--feature-scale"):
            engine.export_backbone(run, out=tmp_path / "no.safetensors", feature_scale=factor)
    assert not (tmp_path / "no.safetensors").exists()


def test_values_beyond_the_range_of_half_stay_in_float32() -> None:
    largest = torch.finfo(torch.float16).max
    assert to_half(torch.tensor([largest, 1.0])).dtype == torch.float16
    wide = torch.tensor([7e4, 1.0])
    assert to_half(wide) is wide
    assert to_half(torch.tensor(3)).dtype == torch.int64


def test_a_run_from_it_is_not_evaluated_on_its_people(
    trunk: Path, pretraining: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    engine = engine_on(pretraining, tmp_path / "runs")
    run = engine.train(str(tiny_recipe), (*FEW, "backbone.weights=rendered"))
    with pytest.raises(
        UsageError, match=r"4 of 4 test identities .*started from weights: rendered \(resnet18"
    ):
        engine.evaluate(run)


class Interrupted(Exception):
    """Ends an export before its file is written."""


def test_a_run_from_it_is_evaluated_on_others_and_records_its_start(
    trunk: Path, benchmark: Path, tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_on(benchmark, tmp_path / "runs")
    run = engine.train(str(tiny_recipe), (*FEW, "backbone.weights=rendered"))
    weights = engine.evaluate(run, mode="all").only.content["fingerprint"]["weights"]
    assert weights == run.environment()["weights"]
    assert hashlib.sha256(trunk.read_bytes()).hexdigest()[:12] in weights
    assert "12 identities" in weights
    assert "seed 1000" in weights
    heir = engine.export_backbone(run)
    assert read_metadata(heir)["start"] == weights
    assert set(training_identities(trunk)) < set(training_identities(heir))
    exported: dict[str, str] = {}

    def export_onnx(*arguments: object, metadata: dict[str, str], **others: object) -> None:
        exported.update(metadata)
        raise Interrupted

    monkeypatch.setattr(export.onnx, "export_onnx", export_onnx)
    monkeypatch.setattr(export.onnx, "require_packages", lambda: None)
    with pytest.raises(Interrupted):
        engine.export(run)
    assert exported["weights"] == weights


def test_the_first_step_starts_from_it(
    trunk: Path, benchmark: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    still = (
        "train.optimizer.lr=1e-30",
        "backbone.weights=rendered",
        "train.steps_per_epoch=1",
        "train.epochs=1",
    )
    run = engine_on(benchmark, tmp_path / "runs").train(str(tiny_recipe), still)
    state = load_safetensors(run.checkpoints / "last" / "model.safetensors")
    for stem in ("visible", "infrared"):
        expected = load_safetensors(trunk)["conv1.weight"].float()
        torch.testing.assert_close(state[f"trunk.stem.{stem}.conv1.weight"], expected)


def test_rendered_people_are_known_in_every_layout_and_by_former_hashes(pretraining: Path) -> None:
    from vireid_cli.data.store import open_store

    engine = engine_on(pretraining, pretraining / "runs")
    engine.prepare("sysu", (64, 32))
    store, pids = open_store(pretraining, "sysu"), np.array([1, 2, 11])
    hashes = [hashlib.sha256(f"rendered-1000/{pid}".encode()).hexdigest()[:16] for pid in pids]
    assert identity_tokens(store, pids) == hashes, "no name of a layout"
    former = hashlib.sha256(b"sysu-rendered-1000/2").hexdigest()[:16]
    assert known_identities(store, pids, [hashes[2], former]).tolist() == [False, True, True]
    assert not known_identities(store, pids, []).any()
