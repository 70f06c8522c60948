"""Evaluations reuse the embeddings of the same weights and images, and name replaced settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import Listener
from vireid_cli.data.protocols.request import Request
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.evaluate import evaluate, kept
from vireid_cli.engine.evaluate.result import EvaluateOptions
from vireid_cli.engine.run import Run
from vireid_cli.engine.runtime import Runtime

INDOOR = EvaluateOptions(Request(modes=("indoor",), trials=2))
ALL = EvaluateOptions(Request(modes=("all",), trials=2))


@pytest.fixture
def engine(sysu_tree: Path, tmp_path: Path, listener: Listener) -> Engine:
    return Engine.choose("cpu", "fp32", data_dir=sysu_tree, runs_dir=tmp_path / "runs", reporter=listener)


@pytest.fixture
def run(engine: Engine, tiny_recipe: Path) -> Run:
    return engine.train(str(tiny_recipe), ["train.steps_per_epoch=1"], epochs=1)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of rows of each call that embeds images."""
    calls: list[int] = []
    embed = kept.embed_rows

    def count(*given: object, **options: object) -> object:
        calls.append(len(given[4]))  # type: ignore[arg-type]
        return embed(*given, **options)  # type: ignore[arg-type]

    for module in (evaluate, kept):
        monkeypatch.setattr(module, "embed_rows", count)
    return calls


def test_embeddings_of_the_same_weights_are_reused(
    engine: Engine, run: Run, embedded: list[int], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    [first] = engine.evaluate(run, INDOOR)
    [whole] = engine.evaluate(run, ALL)
    assert len(embedded) == 2
    assert 0 < embedded[1] < embedded[0] + embedded[1], "only the images that indoor has not"
    assert any("embeddings from earlier evaluations" in line for line in listener.infos)
    embedded.clear()
    [again] = engine.evaluate(run, INDOOR)
    assert embedded == []
    assert again.content["metrics"] == first.content["metrics"]
    assert again.content["identifier"] == first.content["identifier"]
    engine.evaluate(run, replace(ALL, flip="mean_renorm"))
    assert len(embedded) == 1, "mirror images only"
    embedded.clear()
    monkeypatch.setattr(kept, "code_hash", lambda: "another code")
    [fresh] = engine.evaluate(run, ALL)
    assert len(embedded) == 1
    assert fresh.content["embedding_key"] != whole.content["embedding_key"]
    assert fresh.mAP == pytest.approx(whole.mAP, abs=1e-6)


def test_other_weights_are_embedded_again(
    engine: Engine, run: Run, embedded: list[int], tiny_recipe: Path
) -> None:
    engine.evaluate(run, INDOOR)
    rows = embedded[0]
    other = engine.train(str(tiny_recipe), ["train.steps_per_epoch=1", "train.seed=5"], epochs=1)
    for name in ("model.safetensors", "state.json", "state.safetensors"):
        source = other.checkpoints / "last" / name
        (run.checkpoints / "last" / name).write_bytes(source.read_bytes())
    embedded.clear()
    engine.evaluate(run, INDOOR)
    assert embedded == [rows]
    stored = run.stored()["indoor-single-seeded"]
    damaged = bytearray((stored.folder / "embeddings.npz").read_bytes())
    damaged[len(damaged) // 2] ^= 255
    (stored.folder / "embeddings.npz").write_bytes(damaged)
    embedded.clear()
    engine.evaluate(run, INDOOR)
    assert embedded == [rows], "damaged embeddings are computed again"


def test_replaced_settings_are_named(engine: Engine, run: Run, listener: Listener) -> None:
    engine.evaluate(run, INDOOR)
    engine.evaluate(run, INDOOR)
    assert not any("replacing" in line for line in listener.infos)
    half = Engine(replace(engine.session, runtime=Runtime(torch.device("cpu"), "bf16")))
    half.evaluate(run.folder, INDOOR)
    line = next(line for line in listener.infos if "replacing" in line)
    assert line.startswith(f"replacing the results in {run.evaluation('indoor-single-seeded')}: ")
    assert line.endswith("precision fp32 → bf16")
    half.evaluate(run.folder, EvaluateOptions(Request(modes=("indoor",), trials=3)))
    assert any("trials 2 → 3" in line for line in listener.infos)


def test_keys_differ_by_precision(engine: Engine, run: Run) -> None:
    selected = evaluate.select_checkpoint(run)
    half = replace(engine.session, runtime=Runtime(torch.device("cpu"), "bf16"))
    keys = {kept.embedding_key(selected, session) for session in (engine.session, half)}
    assert len(keys) == 2
    unhashed = replace(selected, state=selected.state.model_copy(update={"files": None}))
    assert kept.embedding_key(unhashed, half) == ""
    assert np.all([len(key) == 32 for key in keys])
