"""The training loop: same seed, same log; resume to the bit; errors that name what happened."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import Listener
from vireid_cli import files
from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.engine import Engine
from vireid_cli.engine.export_backbone import export_backbone
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.engine.train import loop
from vireid_cli.engine.train.resume import resume
from vireid_cli.engine.train.train import train as start_training
from vireid_cli.errors import Interrupted, UsageError, VireidError
from vireid_cli.methods.baseline import Baseline
from vireid_cli.results.run import RunFolder
from vireid_cli.types import Batch, Modality

CPU = Runtime(torch.device("cpu"), "fp32")


def train(recipe: Path, data: Path, runs: Path, *settings: str, runtime: Runtime = CPU) -> RunFolder:
    return start_training(load_recipe(str(recipe), settings), Session(runtime, Reporter(), data, runs))


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return checkpoints.load_model(run.checkpoints / "last")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_same_seed_same_log_to_the_byte(tiny_recipe: Path, sysu_tree: Path, tmp_path: Path) -> None:
    runs = [train(tiny_recipe, sysu_tree, tmp_path / name) for name in ("a", "b")]
    assert runs[0].log.read_bytes() == runs[1].log.read_bytes()
    assert same(weights(runs[0]), weights(runs[1]))
    other = train(tiny_recipe, sysu_tree, tmp_path / "c", "train.seed=1")
    assert other.log.read_bytes() != runs[0].log.read_bytes()
    rows = list(runs[0].log_rows())
    assert [row["kind"] for row in rows] == ["step", "step", "epoch"] * 2
    assert [row["global_step"] for row in rows] == [2, 3, 3, 4, 6, 6]
    assert rows[0]["loss"] == pytest.approx(sum(rows[0]["losses"].values()))
    assert rows[3]["lr"] == pytest.approx(0.1 * rows[0]["lr"])


@pytest.mark.parametrize("steps", [1, 4])
def test_resume_gives_the_same_weights_to_the_bit(
    tiny_recipe: Path,
    sysu_tree: Path,
    tmp_path: Path,
    stop_after: Callable[[int], None],
    steps: int,
) -> None:
    whole = train(tiny_recipe, sysu_tree, tmp_path / "whole")
    stop_after(steps)
    with pytest.raises(Interrupted, match="--resume") as caught:
        train(tiny_recipe, sysu_tree, tmp_path / "cut")
    assert caught.value.exit_code == 130
    run = RunFolder(next((tmp_path / "cut").glob("tiny-*")))
    assert checkpoints.load_checkpoint(run.checkpoints / "last").position.global_step == steps
    resume(run, Session(CPU, Reporter(), sysu_tree, tmp_path))
    assert same(weights(run), weights(whole))
    ends = [[row for row in r.log_rows() if row["kind"] == "epoch"] for r in (run, whole)]
    assert len(ends[0]) == 2
    for mine, theirs in zip(*ends, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-9)
    with pytest.raises(UsageError, match="finished"):
        resume(run, Session(CPU, Reporter(), sysu_tree, tmp_path))


def test_not_a_number_is_named_and_the_batch_saved(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, bad = Baseline.losses, [4]
    taken: list[Batch] = []

    def poisoned(self: Baseline, batch: Batch) -> dict[str, torch.Tensor]:
        terms = losses(self, batch)
        taken.append(batch)
        return terms | ({"triplet": terms["triplet"] * float("nan")} if len(taken) == bad[0] else {})

    monkeypatch.setattr(Baseline, "losses", poisoned)
    with pytest.raises(VireidError, match="'triplet' became nan in epoch 2, step 1") as caught:
        train(tiny_recipe, sysu_tree, tmp_path)
    assert caught.value.exit_code == 1
    saved = next(tmp_path.rglob("bad-batch-3.npz"))
    assert str(saved) in caught.value.hint
    with np.load(saved) as arrays:
        assert np.array_equal(arrays["visible"], taken[3].visible.numpy())
        assert np.array_equal(arrays["infrared"], taken[3].infrared.numpy())
    assert "The previous checkpoint is intact" in caught.value.hint
    taken.clear()
    bad[0] = 1
    with pytest.raises(VireidError, match="in epoch 1, step 1") as caught:
        train(tiny_recipe, sysu_tree, tmp_path)
    assert "The run has no checkpoint yet" in caught.value.hint


def test_monitors_are_logged_beside_the_losses_and_not_minimised(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(tiny_recipe, sysu_tree, tmp_path / "plain")
    calls: list[int] = []

    def monitors(self: Baseline) -> dict[str, torch.Tensor]:
        calls.append(len(calls) + 1)
        return {"calls": torch.tensor(float(calls[-1])), "broken": torch.tensor(float("nan"))}

    monkeypatch.setattr(Baseline, "monitors", monitors)
    run = train(tiny_recipe, sysu_tree, tmp_path / "watched")
    rows = list(run.log_rows())
    # Means over the steps since the last line; an epoch's row repeats its last step row.
    assert [row["monitors"] for row in rows] == [{"calls": n} for n in (1.5, 3.0, 3.0, 4.0, 5.5, 5.5)]
    assert [row["losses"] for row in rows] == [row["losses"] for row in plain.log_rows()]
    assert all("monitors" not in row for row in plain.log_rows())
    assert same(weights(run), weights(plain))
    assert run.checked_log_rows() == rows


def test_run_folder_describes_the_run(tiny_recipe: Path, sysu_tree: Path, tmp_path: Path) -> None:
    run = train(tiny_recipe, sysu_tree, tmp_path)
    environment = run.environment()
    assert environment["seed"] == 0
    assert environment["num_identities"] == 8
    assert environment["weights"] == "none"
    assert environment["data"]["dataset"] == "SYSU-MM01"
    assert "rendered" not in environment["data"]
    assert load_recipe(str(run.recipe_file)).method.options["margin"] == 0.3
    state = json.loads((run.checkpoints / "last" / "state.json").read_text())
    assert (state["epoch"], state["step"], state["global_step"]) == (2, 0, 6)
    assert not list(run.folder.rglob("*.pt")), "no pickle"


def test_a_named_run_becomes_the_latest_with_its_first_checkpoint(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path
) -> None:
    engine = Engine.choose(device="cpu", precision="fp32", data_dir=sysu_tree, runs_dir=tmp_path)
    first = engine.train(str(tiny_recipe), ["train.steps_per_epoch=1"], epochs=1, name="first")
    assert engine.find().folder == first.folder == tmp_path / "first"
    with pytest.raises(VireidError, match="became"):
        engine.train(str(tiny_recipe), ["train.optimizer.lr=1e30", "train.log_every=1"], name="second")
    assert (tmp_path / "second").is_dir()
    assert engine.find().name == "first", "the second run has no checkpoint"
    with pytest.raises(UsageError, match="exists already"):
        engine.train(str(tiny_recipe), name="first")


def test_train_split_of_one_part(tiny_recipe: Path, sysu_tree: Path, tmp_path: Path) -> None:
    run = train(tiny_recipe, sysu_tree, tmp_path, "data.split=train", "train.epochs=1")
    assert run.environment()["num_identities"] == 6


def test_too_many_identities_asked_for(tiny_recipe: Path, sysu_tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="9"):
        train(tiny_recipe, sysu_tree, tmp_path, "data.sampler.identities=9")


def test_missing_data_error_names_the_remedies(tiny_recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="vireid prepare synthetic") as caught:
        train(tiny_recipe, tmp_path / "nothing", tmp_path)
    assert "SYSU-MM01" in caught.value.message


def test_imagenet_on_a_real_dataset_stops(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vireid_cli.backbones import weights as backbone_weights

    def unavailable(name: str, wanted: str, width: int) -> None:
        raise backbone_weights.WeightsUnavailable("not to be had", "put it there\nor there")

    monkeypatch.setattr(backbone_weights, "resolve", unavailable)
    with pytest.raises(backbone_weights.WeightsUnavailable):
        train(tiny_recipe, sysu_tree, tmp_path, "backbone.weights=imagenet", "backbone.width=64")


def test_resume_refuses_other_data(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, stop_after: Callable[[int], None]
) -> None:
    stop_after(1)
    with pytest.raises(Interrupted):
        train(tiny_recipe, sysu_tree, tmp_path)
    run = RunFolder(next(tmp_path.glob("tiny-*")))
    environment = run.environment()
    environment["data"]["fingerprint"] = "0" * 64
    files.write_sealed(run.folder / "environment.json", environment)
    with pytest.raises(UsageError, match="has changed since"):
        resume(run, Session(CPU, Reporter(), sysu_tree, tmp_path))


def test_bf16_trains(tiny_recipe: Path, sysu_tree: Path, tmp_path: Path) -> None:
    run = train(tiny_recipe, sysu_tree, tmp_path, "train.epochs=1", runtime=Runtime(CPU.device, "bf16"))
    assert all(np.isfinite(row["loss"]) for row in run.log_rows())
    assert run.environment()["precision"] == "bf16"


SELECT = ("data.split=train", "train.select=val", "train.epochs=3", "train.optimizer.lr=0.05")


def test_selection_keeps_the_best_epoch(tiny_recipe: Path, sysu_tree: Path, tmp_path: Path) -> None:
    run = train(tiny_recipe, sysu_tree, tmp_path / "select", *SELECT)
    rows = [row for row in run.log_rows() if row["kind"] == "epoch"]
    result = [row["val"]["mAP"] for row in rows]
    best = int(np.argmax(result)) + 1
    state = json.loads((run.checkpoints / "best" / "state.json").read_text())
    assert state["epoch"] == best
    assert state["extra"]["best"]["mAP"] == max(result)
    # the weights of that epoch, and the same steps as without selection
    plain = train(tiny_recipe, sysu_tree, tmp_path / "plain", *SELECT[:1], *SELECT[2:])
    assert same(weights(run), weights(plain))
    short = ("train.epochs=1", "train.schedule.milestones=[1]")
    if best == 1:
        one = train(tiny_recipe, sysu_tree, tmp_path / "one", *SELECT[:2], SELECT[3], *short)
        assert same(checkpoints.load_model(run.checkpoints / "best"), weights(one))
    assert "val" not in next(row for row in plain.log_rows() if row["kind"] == "epoch")


@pytest.mark.parametrize("steps", [3, 5])
def test_resume_with_selection_is_exact(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, stop_after: Callable[[int], None], steps: int
) -> None:
    whole = train(tiny_recipe, sysu_tree, tmp_path / "whole", *SELECT)
    stop_after(steps)
    with pytest.raises(Interrupted):
        train(tiny_recipe, sysu_tree, tmp_path / "cut", *SELECT)
    run = RunFolder(next((tmp_path / "cut").glob("tiny-*")))
    resume(run, Session(CPU, Reporter(), sysu_tree, tmp_path))
    for name in ("last", "best"):
        assert same(*(checkpoints.load_model(r.checkpoints / name) for r in (run, whole)))
    ends = [[row["val"] for row in r.log_rows() if row["kind"] == "epoch"] for r in (run, whole)]
    assert ends[0] == ends[1]
    assert len(ends[0]) == 3


def test_selection_needs_weights_that_have_not_seen_them(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path
) -> None:
    """A trunk trained on train ∪ val includes the validation identities; one trained on train does not."""
    few = ("train.epochs=1", "train.steps_per_epoch=1")
    trunks = []
    for split in ("trainval", "train"):
        run = train(tiny_recipe, sysu_tree, tmp_path / split, *few, f"data.split={split}")
        trunks.append(
            export_backbone(run, Session(CPU, Reporter(), sysu_tree, tmp_path), modality=Modality.VISIBLE)
        )
    heirs = tmp_path / "heirs"
    chosen = (*few, "data.split=train", "train.select=val")
    with pytest.raises(UsageError, match=r"select is val, but \d+ of \d+ validation") as refused:
        train(tiny_recipe, sysu_tree, heirs, *chosen, f"backbone.weights={trunks[0]}")
    of, whole = re.findall(r"\d+", refused.value.message)
    assert of == whole != "0"
    assert not heirs.exists()
    last = train(tiny_recipe, sysu_tree, heirs, *few, "data.split=train", f"backbone.weights={trunks[0]}")
    heir = train(tiny_recipe, sysu_tree, heirs, *chosen, f"backbone.weights={trunks[1]}")
    assert not (last.checkpoints / "best").exists()
    assert (heir.checkpoints / "best").is_dir()


def test_selection_needs_identities_of_its_own(tiny_recipe: Path, sysu_tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"select: val needs data\.split: train"):
        train(tiny_recipe, sysu_tree, tmp_path, "train.select=val")


def test_the_remaining_time_is_printed(
    tiny_recipe: Path, sysu_tree: Path, tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seconds for each of twelve steps, by a clock that advances when a loss is computed."""
    clock = [0.0]
    losses = Baseline.losses

    def slow(self: Baseline, batch: Batch) -> dict[str, torch.Tensor]:
        clock[0] += 2.0
        return losses(self, batch)

    monkeypatch.setattr(Baseline, "losses", slow)
    monkeypatch.setattr(loop.time, "perf_counter", lambda: clock[0])
    recipe = load_recipe(str(tiny_recipe), ("train.epochs=4",))
    start_training(recipe, Session(CPU, listener, sysu_tree, tmp_path))
    assert [line for line in listener.infos if " left on " in line] == ["about 16 s left on cpu"]
