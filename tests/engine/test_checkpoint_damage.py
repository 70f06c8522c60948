"""Damage to a checkpoint is noticed on loading; the message names the damaged part and the remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from vireid_cli.engine import checkpoint as checkpoints
from vireid_cli.engine.checkpoint import Checkpoint, Position, load_checkpoint, load_model, save_checkpoint
from vireid_cli.engine.checkpoint_fit import check_extra, check_position, load_optimizer, load_weights
from vireid_cli.errors import DataError, VireidError

EXTRA = {"scaler": {}, "sums": {}, "steps": 0, "training_identities": ["a"], "best": {}}
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": lambda groups: torch.optim.SGD(groups, momentum=0.9),
}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def optimizer_of(module: nn.Module, kind: str = "adamw") -> torch.optim.Optimizer:
    parameters = list(module.parameters())
    groups = [
        {"params": part, "lr": 0.1, "base_lr": 0.1, "weight_decay": 0.0}
        for part in (parameters[:2], parameters[2:])
    ]
    return OPTIMIZERS[kind](groups)


def saved(folder: Path, kind: str = "adamw") -> Path:
    """A checkpoint after step 2 of epoch 1, of 3 steps an epoch."""
    module = network()
    optimizer = optimizer_of(module, kind)
    module(torch.randn(8, 4)).square().sum().backward()
    optimizer.step()
    state = Checkpoint(module.state_dict(), optimizer.state_dict(), Position(1, 2, 5), dict(EXTRA))
    save_checkpoint(folder, state)
    return folder


def restore(folder: Path, kind: str = "adamw") -> None:
    """Everything that resuming checks."""
    loaded = load_checkpoint(folder)
    check_position(folder, loaded.position, epochs=4, steps=3)
    check_extra(folder, loaded.extra)
    module = network()
    load_weights(module, loaded.model, folder, Path("recipe.yaml"))
    load_optimizer(optimizer_of(module, kind), loaded, folder)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "state.json").read_text())
    change(content)
    (folder / "state.json").write_text(json.dumps(content))


def as_version_1(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Rewrite ``state.json`` as it was before there were hashes."""

    def older(content: dict[str, Any]) -> None:
        del content["files"], content["sha256"]
        content["version"] = 1
        change(content)

    edit(folder, older)


@pytest.mark.parametrize("kind", list(OPTIMIZERS))
def test_a_whole_checkpoint_is_restored(tmp_path: Path, kind: str) -> None:
    folder = saved(tmp_path / "run" / "checkpoints" / "last", kind)
    restore(folder, kind)
    assert load_checkpoint(folder).hashed
    as_version_1(folder)
    restore(folder, kind)
    assert not load_checkpoint(folder).hashed


def refusal(folder: Path) -> DataError | None:
    """The error of restoring a checkpoint; None: it is accepted."""
    try:
        restore(folder)
    except DataError as error:
        return error
    return None


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "state.json"])
def test_any_flipped_bit_is_noticed(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path / "run" / "checkpoints" / "last")
    whole = (folder / name).read_bytes()
    for place in range(3, len(whole), len(whole) // 23):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 7
        (folder / name).write_bytes(bytes(flipped))
        error = refusal(folder)
        if error is None:
            assert json.loads(flipped) == json.loads(whole)  # another kind of blank between two keys
            continue
        assert name in error.message
        assert "damaged" in error.hint or "Update" in error.hint
    (folder / name).write_bytes(whole)
    assert refusal(folder) is None


@pytest.mark.parametrize("cut", [0, 5, 100, -2])
@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "state.json"])
def test_cut_and_missing_files_are_noticed(tmp_path: Path, name: str, cut: int) -> None:
    folder = saved(tmp_path / "run" / "checkpoints" / "last")
    (folder / name).write_bytes((folder / name).read_bytes()[:cut])
    with pytest.raises(DataError, match=name):
        restore(folder)
    (folder / name).unlink()
    with pytest.raises(DataError, match=name):
        restore(folder)


def test_a_file_of_another_checkpoint_is_noticed(tmp_path: Path) -> None:
    folder, other = saved(tmp_path / "last"), saved(tmp_path / "other", "sgd")
    (folder / "state.safetensors").write_bytes((other / "state.safetensors").read_bytes())
    with pytest.raises(DataError, match=r"state\.safetensors"):
        restore(folder)


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("step", -1, "step is -1"),
        ("epoch", -7, "epoch is -7"),
        ("global_step", -3, "global_step is -3"),
        ("step", 10**9, "step 1,000,000,000 is beyond global_step 5"),
        ("global_step", 10**30, "global_step is 1"),
        ("epoch", 1.5, "epoch is 1.5"),
        ("epoch", True, "epoch is True"),
        ("step", "2", "step is '2'"),
        ("step", None, "step is None"),
        ("version", "1", "version is '1'"),
        ("version", 3, "version 3"),
        ("optimizer", [], "optimizer is"),
        ("optimizer", {"state": {"0": 1}, "param_groups": []}, r"optimizer\.state\.0"),
        ("optimizer", {"state": {"x": {}}, "param_groups": []}, "optimizer.state"),
        ("extra", {"training_identities": "a"}, r"extra\.training_identities"),
        ("extra", {"sums": {"loss": "much"}}, r"extra\.sums\.loss"),
        ("files", {"model.safetensors": "x"}, r"files\.model\.safetensors"),
    ],
)
def test_numbers_out_of_range_are_named(
    tmp_path: Path, hashed: bool, key: str, value: object, words: str
) -> None:
    folder = saved(tmp_path / "run" / "checkpoints" / "last")
    (edit if hashed else as_version_1)(folder, lambda content: content.update({key: value}))
    with pytest.raises(DataError, match=words) as caught:
        restore(folder)
    assert "state.json" in caught.value.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epoch": 9}, "beyond the recipe's 4 epochs"),
        ({"epoch": 4}, "beyond the recipe's 4 epochs"),
        ({"step": 4, "global_step": 7}, "beyond the 3 steps"),
        ({"step": 1}, "global_step is 5; .* is step 4"),
        ({"global_step": 10**9}, "global_step is 1,000,000,000"),
        ({"extra": {}}, "lacks extra.scaler, extra.sums, extra.steps, extra.training_identities"),
        ({"optimizer": {"state": {}, "param_groups": []}}, "0 parameter groups instead of 2"),
    ],
)
def test_positions_of_another_training_are_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    folder = saved(tmp_path / "run" / "checkpoints" / "last")
    as_version_1(folder, lambda content: content.update(changes))
    with pytest.raises(DataError, match=words):
        restore(folder)


@pytest.mark.parametrize(
    ("key", "value"), [("lr", -1.0), ("lr", "fast"), ("base_lr", None), ("params", [0]), ("lr", 1e999)]
)
def test_parameter_groups_are_checked(tmp_path: Path, key: str, value: object) -> None:
    folder = saved(tmp_path / "run" / "checkpoints" / "last")
    as_version_1(folder, lambda content: content["optimizer"]["param_groups"][1].update({key: value}))
    with pytest.raises(DataError, match=r"parameter group 1|Infinity is not a JSON number"):
        restore(folder)


def drop(name: str) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda tensors: tensors.pop(name)


def put(name: str, value: torch.Tensor) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda tensors: tensors.update({name: value})


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("model", put("0.weight", torch.full((3, 4), torch.nan)), "'0.weight' holds NaN"),
        ("model", put("1.running_mean", torch.full((3,), torch.inf)), "'1.running_mean' holds NaN or inf"),
        ("model", put("1.running_var", torch.full((3,), -1.0)), "1 negative: 1.running_var"),
        ("model", put("0.weight", torch.zeros(4, 3)), r"0.weight \(4, 3\) instead of \(3, 4\)"),
        ("model", put("0.weight", torch.zeros(3, 4).half()), "0.weight float16 instead of float32"),
        ("model", put("9.weight", torch.zeros(1)), "1 unknown: 9.weight"),
        ("model", drop("0.bias"), "1 missing: 0.bias"),
        ("state", put("0/exp_avg", torch.zeros(2)), r"'0/exp_avg' has the shape \(2,\) instead of \(3, 4\)"),
        ("state", put("0/exp_avg", torch.zeros(3, 4).double()), "'0/exp_avg' is float64"),
        ("state", put("0/exp_avg_sq", torch.full((3, 4), -1.0)), "'0/exp_avg_sq' holds negative"),
        ("state", put("0/exp_avg_sq", torch.full((3, 4), torch.nan)), "'0/exp_avg_sq' holds NaN"),
        ("state", put("0/step", torch.tensor(6.0)), "'0/step' is 6.0 after 5 steps"),
        ("state", put("0/step", torch.tensor(-1.0)), "'0/step' holds negative"),
        ("state", put("99/step", torch.tensor(1.0)), "parameter 99 does not exist"),
        ("state", put("weight", torch.tensor(1.0)), "'weight' is not a tensor of an optimizer"),
        ("state", drop("0/exp_avg"), "parameter 0 lacks exp_avg"),
        ("state", lambda t: [t.pop(k) for k in list(t) if k[0] != "0"], "state of 1 of 6 parameters only"),
        ("state", lambda t: t.clear(), "state of 0 of 6 parameters only"),
    ],
)
def test_tensors_are_checked_without_hashes_too(
    tmp_path: Path, file: str, change: Callable[[dict[str, torch.Tensor]], object], words: str
) -> None:
    folder = saved(tmp_path / "run" / "checkpoints" / "last")
    path = folder / f"{file}.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    with pytest.raises(DataError, match="SHA-256"):
        restore(folder)
    as_version_1(folder)
    with pytest.raises(DataError, match=words) as caught:
        restore(folder)
    assert path.name in caught.value.message
    assert "train again" in caught.value.hint


def test_the_other_checkpoint_of_the_run_is_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "run" / "checkpoints" / "last")
    (folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        load_model(folder)
    assert "best" not in caught.value.hint
    best = saved(folder.with_name("best"))
    with pytest.raises(DataError) as caught:
        load_model(folder)
    assert str(best) in caught.value.hint


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    folder = saved(tmp_path / "last")
    broken = Checkpoint({"w": torch.tensor([1.0, torch.nan])}, {}, Position(2, 0, 6))
    with pytest.raises(VireidError, match="'w' became NaN or infinite in step 6"):
        save_checkpoint(folder, broken)
    assert load_checkpoint(folder).position == Position(1, 2, 5)


def test_a_checkpoint_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path / "last")
    former = checkpoints.load_state(folder)
    whole = checkpoints.load_state

    def slow(place: Path) -> Any:
        monkeypatch.setattr(checkpoints, "load_state", whole)
        save_checkpoint(folder, Checkpoint({"w": torch.ones(2)}, {}, Position(2, 0, 6)))
        return former

    monkeypatch.setattr(checkpoints, "load_state", slow)
    assert load_model(folder).keys() == {"w"}
    with pytest.raises(checkpoints.CheckpointReplaced):
        load_model(folder, former)
    monkeypatch.setattr(checkpoints, "load_state", slow)
    assert load_checkpoint(folder).position == Position(2, 0, 6)
