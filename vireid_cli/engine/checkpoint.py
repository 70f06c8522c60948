"""Checkpoints without pickle, replaced whole: a kill at any moment leaves one that loads.

``checkpoints/last/`` (and ``best/``, the best on validation identities) holds ``model.safetensors``,
``state.safetensors`` (optimizer tensors, sums of the running epoch) and ``state.json`` (epoch, step,
optimizer numbers, training identities), which is written last and marks the folder as whole. A new one
is made beside it as ``last.new`` and swapped in by renames; where a kill fell between the two renames,
the reader takes ``last.new``.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from vireid_cli import files
from vireid_cli.errors import DataError, UsageError
from vireid_cli.tensor_files import TensorFileError, load_safetensors

VERSION = 1
LAST, BEST = "last", "best"
"""Folders under ``checkpoints/``: the newest, and the best on validation identities."""

MODEL, TENSORS, STATE = "model.safetensors", "state.safetensors", "state.json"
STATE_KEYS = ("version", "epoch", "step", "global_step", "optimizer", "extra")

DAMAGED = "The checkpoint is damaged: restore the run's folder, or train anew."


@dataclass(frozen=True, slots=True)
class Position:
    """How far training has come: the next step to take.

    Attributes:
        epoch: Epoch of the next step, from 0.
        step: Index of the next step in that epoch.
        global_step: Steps taken in all.
    """

    epoch: int = 0
    step: int = 0
    global_step: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint folder holds.

    Attributes:
        model: The network's state dict, on the CPU.
        optimizer: The optimizer's state dict, with tensors.
        position: The next step to take.
        extra: Numbers beside it: scaler state, sums of the running epoch, training identities, and the best
            validation so far.
        tensors: Further named tensors.
    """

    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    position: Position
    extra: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write ``folder`` (``…/last``), replacing the one that is there only when the new one is whole.

    Raises:
        DataError: The disk is full or the folder is read-only; the old checkpoint stays.
    """
    fresh, old = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
    _recover(folder)
    shutil.rmtree(fresh, ignore_errors=True)
    tensors, numbers = _split_optimizer(checkpoint.optimizer)
    tensors |= {f"extra/{name}": value for name, value in checkpoint.tensors.items()}
    files.write_bytes(fresh / MODEL, save(_plain(checkpoint.model)))
    files.write_bytes(fresh / TENSORS, save(_plain(tensors)))
    position = checkpoint.position
    files.write_json(
        fresh / STATE,
        {
            "version": VERSION,
            "epoch": position.epoch,
            "step": position.step,
            "global_step": position.global_step,
            "optimizer": numbers,
            "extra": checkpoint.extra,
        },
    )
    try:
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise DataError(f"cannot replace the checkpoint {folder}: {error.strerror or error}") from error


def refuse_full_disk(place: Path, network: nn.Module, moments: int, kept: int) -> None:
    """Refuse to train where the checkpoints will not fit: after hours, there would be nothing to keep.

    Args:
        place: The folder of run folders; it need not exist yet.
        network: What is trained.
        moments: Numbers that the optimizer keeps for each parameter.
        kept: Checkpoints that stay; a new one is whole before the old one goes.

    Raises:
        DataError: Less space is free.
    """
    weights = sum(value.nbytes for value in network.state_dict().values())
    needed = (kept + 1) * (weights + moments * sum(value.nbytes for value in network.parameters()))
    there = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise DataError(
            f"{there} has {free / 1e6:,.0f} MB free; the checkpoints of this training need "
            f"{needed / 1e6:,.0f} MB.",
            "Free some space, or train into another folder: --runs DIR.",
        )


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder back.

    Raises:
        UsageError: There is none yet.
        DataError: It is damaged or of another version.
    """
    folder = _whole(folder)
    state = _state(folder)
    model = load_model(folder)
    extra, optimizer = {}, {}
    for name, value in _load(folder / TENSORS).items():
        if name.startswith("extra/"):
            extra[name.removeprefix("extra/")] = value
        else:
            optimizer[name] = value
    position = _position(state)
    joined = _join_optimizer(optimizer, state["optimizer"])
    return Checkpoint(model, joined, position, state["extra"], extra)


def load_position(folder: Path) -> Position:
    """How far the training of a checkpoint folder has come; no tensor is read. Raises as above."""
    return _position(_state(folder))


def load_extra(folder: Path) -> dict[str, Any]:
    """The numbers beside a checkpoint, as in ``Checkpoint.extra``; no tensor is read. Raises as above."""
    return dict(_state(folder)["extra"])


def _state(folder: Path) -> dict[str, Any]:
    """What ``state.json`` says."""
    folder = _whole(folder)
    if not (folder / STATE).is_file():
        raise UsageError(
            f"There is no checkpoint '{folder.name}' in {folder.parent}.",
            "The run stopped before its first one was written: train it anew.",
        )
    state = files.read_mapping(folder / STATE, STATE_KEYS, DAMAGED)
    if state.get("version") != VERSION:
        raise DataError(f"{folder / STATE} has version {state.get('version')}, this vireid reads {VERSION}.")
    return state


def _position(state: dict[str, Any]) -> Position:
    return Position(int(state["epoch"]), int(state["step"]), int(state["global_step"]))


def load_model(folder: Path) -> dict[str, Tensor]:
    """The network's state dict of a checkpoint folder, on the CPU. Raises as ``load_checkpoint``."""
    folder = _whole(folder)
    if not (folder / MODEL).is_file():
        raise UsageError(f"There is no checkpoint in {folder.parent}.", "Train first, or name another run.")
    return _load(folder / MODEL)


def model_state(network: nn.Module) -> dict[str, Tensor]:
    """A network's state dict, copied to the CPU."""
    return {name: value.detach().to("cpu", copy=True) for name, value in network.state_dict().items()}


def _whole(folder: Path) -> Path:
    """Where the newest whole checkpoint is: between the two renames of a swap, beside its place.

    A reader renames nothing: another process may be in the middle of the swap.
    """
    fresh = folder.with_name(f"{folder.name}.new")
    return fresh if not folder.exists() and (fresh / STATE).is_file() else folder


def _recover(folder: Path) -> None:
    """Finish a swap that a kill cut between its two renames; only for who alone writes the run."""
    fresh = _whole(folder)
    if fresh != folder:
        fresh.rename(folder)


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies, as the format wants them; channels-last weights come back as plain ones."""
    return {name: value.detach().to("cpu").contiguous() for name, value in tensors.items()}


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_safetensors(path)
    except TensorFileError as error:
        raise DataError(error.message, DAMAGED) from error


def _split_optimizer(state: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state dict as named tensors and plain numbers."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, values in state.get("state", {}).items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}/{key}"] = value
            elif value is not None:
                numbers.setdefault(str(index), {})[key] = value
    return tensors, {"state": numbers, "param_groups": state.get("param_groups", [])}


def _join_optimizer(tensors: dict[str, Tensor], numbers: dict[str, Any]) -> dict[str, Any]:
    """The inverse of ``_split_optimizer``."""
    state = {int(index): dict(values) for index, values in numbers["state"].items()}
    for name, value in tensors.items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = value
    return {"state": state, "param_groups": numbers["param_groups"]}
