"""A kill at any moment leaves a checkpoint that loads."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from vireid_cli import folders
from vireid_cli.engine.checkpoint import (
    Checkpoint,
    Position,
    check_free_space,
    load_checkpoint,
    load_model,
    load_position,
    save_checkpoint,
)
from vireid_cli.errors import DataError, UsageError


def checkpoint(step: int, optimizer: str = "adamw") -> Checkpoint:
    weight = torch.nn.Parameter(torch.full((2, 3), float(step)))
    made: torch.optim.Optimizer = (
        torch.optim.AdamW([weight])
        if optimizer == "adamw"
        else torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    )
    weight.sum().backward()
    made.step()
    return Checkpoint({"w": weight.detach()}, made.state_dict(), Position(step, 1, step * 10), {"a": [1]})


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_round_trip(tmp_path: Path, optimizer: str) -> None:
    before = checkpoint(3, optimizer)
    save_checkpoint(tmp_path / "last", before)
    after = load_checkpoint(tmp_path / "last")
    assert torch.equal(after.model["w"], before.model["w"])
    assert after.position == before.position
    assert after.extra == {"a": [1]}
    for key, value in before.optimizer["state"][0].items():
        assert torch.equal(torch.as_tensor(after.optimizer["state"][0][key]), torch.as_tensor(value))
    weight = torch.nn.Parameter(torch.zeros(2, 3))
    fresh: torch.optim.Optimizer = (
        torch.optim.AdamW([weight]) if optimizer == "adamw" else torch.optim.SGD([weight], lr=1.0)
    )
    fresh.load_state_dict(after.optimizer)
    assert fresh.param_groups[0]["lr"] == before.optimizer["param_groups"][0]["lr"]


def test_channels_last_weights_come_back_equal(tmp_path: Path) -> None:
    weight = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    save_checkpoint(tmp_path / "last", Checkpoint({"w": weight}, {}, Position()))
    assert torch.equal(load_checkpoint(tmp_path / "last").model["w"], weight)


@pytest.mark.parametrize("moment", ["write", "first rename", "second rename"])
def test_killed_while_saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """On a system that can't exchange folders; ``tests/folders`` has the others."""
    folder = tmp_path / "last"
    save_checkpoint(folder, checkpoint(1))
    renames = 0
    rename, original = Path.rename, Path.replace

    class Killed(BaseException):
        pass

    def killed_rename(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames == (1 if moment == "first rename" else 2):
            raise Killed
        return rename(self, target)

    def killed_replace(self: Path, target: Path) -> Path:
        if target.name == "state.json":
            raise Killed
        return original(self, target)

    monkeypatch.setattr(folders, "exchange", lambda one, other: False)
    if moment == "write":
        monkeypatch.setattr(Path, "replace", killed_replace)
    else:
        monkeypatch.setattr(Path, "rename", killed_rename)
    with pytest.raises(Killed):
        save_checkpoint(folder, checkpoint(2))
    monkeypatch.undo()
    epoch = load_checkpoint(folder).position.epoch
    assert epoch == (2 if moment == "second rename" else 1)
    save_checkpoint(folder, checkpoint(3))
    assert load_checkpoint(folder).position.epoch == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last"]


def test_checkpoints_of_earlier_versions_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "last"
    save_checkpoint(folder, checkpoint(1))
    folder.rename(tmp_path / "last.new")
    assert load_checkpoint(folder).position.epoch == 1
    save_checkpoint(folder, checkpoint(2))
    assert load_checkpoint(folder).position.epoch == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last"]


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkpoint"):
        load_checkpoint(tmp_path / "last")
    save_checkpoint(tmp_path / "last", checkpoint(1))
    (tmp_path / "last" / "model.safetensors").write_bytes(b"garbage")
    with pytest.raises(DataError, match="can't be read"):
        load_checkpoint(tmp_path / "last")


def test_a_reader_renames_nothing(tmp_path: Path) -> None:
    """Between the two renames of another process's swap, the reader takes the new checkpoint."""
    folder, fresh = tmp_path / "last", tmp_path / "last.new"
    save_checkpoint(folder, checkpoint(2))
    folder.rename(fresh)
    assert load_checkpoint(folder).position.epoch == 2
    assert load_model(folder).keys() == {"w"}
    assert fresh.is_dir()
    assert not folder.exists()


@pytest.mark.parametrize("damaged", ["", '{"version": 1', '{"version": 1}', "[]"])
def test_a_damaged_state_is_named(tmp_path: Path, damaged: str) -> None:
    folder = tmp_path / "last"
    save_checkpoint(folder, checkpoint(2))
    (folder / "state.json").write_text(damaged)
    for read in (load_checkpoint, load_position):
        with pytest.raises(DataError, match=r"state\.json") as caught:
            read(folder)
        assert "damaged" in caught.value.hint


def test_a_disk_without_room_for_two_checkpoints_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = torch.nn.Linear(999, 1)  # 1,000 numbers of 4 bytes, and two moments of each: 12,000 bytes
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=24_000))
    check_free_space(tmp_path / "runs" / "to be made", network, moments=2, copies=1)
    with pytest.raises(DataError, match=r"0 MB free") as caught:
        check_free_space(tmp_path, network, moments=2, copies=2)
    assert "--runs" in caught.value.hint
    with pytest.raises(DataError, match=r"need 0 MB"):  # 4,000 bytes more in each checkpoint
        check_free_space(tmp_path, network, moments=2, copies=1, averaged=True)
