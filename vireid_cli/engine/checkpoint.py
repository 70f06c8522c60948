"""Checkpoints without pickle, replaced whole: a kill at any moment leaves one that loads.

``checkpoints/last/`` (and ``best/``, the best on validation identities) holds ``model.safetensors``,
``state.safetensors`` (optimizer tensors) and ``state.json`` (epoch, step, optimizer numbers, sums of the
running epoch, training identities, and the SHA-256 of every file), which is written last. A new checkpoint
is made beside the old one and exchanged with it (``vireid_cli.folders``).
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from vireid_cli import files, folders
from vireid_cli.engine.checkpoint_optimizer import join_optimizer, split_optimizer
from vireid_cli.engine.checkpoint_state import VERSION, CheckpointState, read_state, write_state
from vireid_cli.errors import DataError, UsageError, VireidError
from vireid_cli.tensor_files import TensorFileError, load_safetensors

LAST, BEST = "last", "best"
"""Folders under ``checkpoints/``: the newest, and the best on validation identities."""

MODEL, TENSORS, STATE = "model.safetensors", "state.safetensors", "state.json"

ATTEMPTS = 5
"""Times that a reader begins again because a training replaced the checkpoint meanwhile."""


class Replaced(Exception):
    """A training replaced the checkpoint while it was read."""


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
        hashed: Whether its files were compared with their hashes; checkpoints of version 1 have none.
    """

    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    position: Position
    extra: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    hashed: bool = True


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write ``folder`` (``…/last``), replacing the one that is there only when the new one is whole.

    Raises:
        DataError: The disk is full or the folder is read-only; the old checkpoint stays.
        VireidError: A weight is NaN or infinite; the old checkpoint stays.
    """
    if name := not_finite(checkpoint.model):
        raise VireidError(
            f"The weights '{name}' became NaN or infinite in step {checkpoint.position.global_step:,}: this "
            "checkpoint is not written.",
            "The checkpoint before it is kept. Try a smaller train.optimizer.lr, "
            "--set train.optimizer.grad_clip=10, or --precision fp32.",
        )
    _recover_former(folder)
    tensors, numbers = split_optimizer(checkpoint.optimizer)
    tensors |= {f"extra/{name}": value for name, value in checkpoint.tensors.items()}
    with folders.replacing(folder, STATE) as fresh:
        hashes = {
            MODEL: _write(fresh / MODEL, checkpoint.model),
            TENSORS: _write(fresh / TENSORS, tensors),
        }
        content = {
            "version": VERSION,
            "epoch": checkpoint.position.epoch,
            "step": checkpoint.position.step,
            "global_step": checkpoint.position.global_step,
            "optimizer": numbers,
            "extra": checkpoint.extra,
            "files": hashes,
        }
        write_state(fresh / STATE, content)


def _write(path: Path, tensors: dict[str, Tensor]) -> str:
    """Write tensors; the SHA-256 of the file."""
    content = save(_plain(tensors))
    files.write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def not_finite(tensors: dict[str, Tensor]) -> str | None:
    """Name of the first tensor with a NaN or an infinity; None: there is none."""
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            return name
    return None


def check_free_space(place: Path, network: nn.Module, moments: int, copies: int) -> None:
    """Check before a training that its checkpoints will fit on the disk.

    Args:
        place: The folder of run folders; it need not exist yet.
        network: The network to train.
        moments: Numbers that the optimizer keeps for each parameter.
        copies: Checkpoints that the run keeps; space for one more is needed while one is replaced.

    Raises:
        DataError: The free space is too small.
    """
    weights = sum(value.nbytes for value in network.state_dict().values())
    needed = (copies + 1) * (weights + moments * sum(value.nbytes for value in network.parameters()))
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
        DataError: It is damaged or of another version; the message names the file.
    """
    for _ in range(ATTEMPTS):
        state = load_state(folder)
        try:
            model, others = load_model(folder, state), _load(folder, TENSORS, state)
        except Replaced:
            continue
        extra, optimizer = {}, {}
        for name, value in others.items():
            if name.startswith("extra/"):
                extra[name.removeprefix("extra/")] = value
            else:
                optimizer[name] = value
        try:
            joined = join_optimizer(optimizer, state.optimizer.model_dump())
        except ValueError as error:
            raise DataError(f"{folder / TENSORS}: {error}.", advice(folder)) from error
        values = state.extra.model_dump(exclude_unset=True)
        return Checkpoint(model, joined, position_of(state), values, extra, state.hashed)
    raise _busy(folder)


def load_state(folder: Path) -> CheckpointState:
    """What ``state.json`` of a checkpoint folder holds; no tensor is read. Raises as ``load_checkpoint``."""
    place = _whole(folder)
    if not (place / STATE).is_file():
        if (place / MODEL).is_file():
            raise DataError(f"{place} lacks {STATE}.", advice(folder))
        raise UsageError(
            f"There is no checkpoint '{folder.name}' in {folder.parent}.",
            "The run stopped before its first one was written: train it anew.",
        )
    return read_state(place / STATE, advice(folder))


def load_position(folder: Path) -> Position:
    """How far the training of a checkpoint folder has come; no tensor is read. Raises as above."""
    return position_of(load_state(folder))


def position_of(state: CheckpointState) -> Position:
    """The next step to take."""
    return Position(state.epoch, state.step, state.global_step)


def load_model(folder: Path, state: CheckpointState | None = None) -> dict[str, Tensor]:
    """The network's state dict of a checkpoint folder, on the CPU.

    Args:
        folder: The checkpoint's.
        state: Its ``state.json``, where that is read already.

    Raises:
        UsageError, DataError: As ``load_checkpoint``.
        Replaced: ``state`` is of an older checkpoint than the one that is there by now.
    """
    if state is not None:
        return _load(folder, MODEL, state)
    for _ in range(ATTEMPTS):
        try:
            return _load(folder, MODEL, load_state(folder))
        except Replaced:
            continue
    raise _busy(folder)


def _load(folder: Path, name: str, state: CheckpointState) -> dict[str, Tensor]:
    """The tensors of one file, which must be the one that ``state`` was written with."""
    place = _whole(folder)
    if state.files is not None and name not in state.files:
        raise DataError(f"{place / STATE} has no hash of {name}.", advice(folder))
    try:
        tensors = load_safetensors(place / name, sha256=state.files[name] if state.files else None)
    except TensorFileError as error:
        if load_state(folder) != state:
            raise Replaced from error
        raise DataError(error.message, advice(folder)) from error
    if bad := not_finite(tensors):
        raise DataError(f"{place / name}: '{bad}' holds NaN or infinite numbers.", advice(folder))
    return tensors


def without_hashes(folder: Path) -> str:
    """The warning about a checkpoint of version 1."""
    return f"{folder} was written without hashes: damage to its numbers can't be noticed"


def _busy(folder: Path) -> DataError:
    return DataError(f"{folder} is replaced again and again while it is read.", "Try again later.")


def advice(folder: Path) -> str:
    """What to do about a damaged checkpoint: another one of the run, where it has one, or a new training."""
    run = folder.parent.parent
    others = [folder.with_name(name) for name in (LAST, BEST) if name != folder.name]
    other = next((place for place in others if (place / STATE).is_file()), None)
    instead = "" if other is None else f"take the run's other checkpoint in its place ({other}), "
    return (
        f"The checkpoint is damaged: restore {folder} from a copy, {instead}or train anew: "
        f"vireid train --recipe {shlex.quote(str(run / 'recipe.yaml'))}"
    )


def model_state(network: nn.Module) -> dict[str, Tensor]:
    """A network's state dict, copied to the CPU."""
    return {name: value.detach().to("cpu", copy=True) for name, value in network.state_dict().items()}


def _whole(folder: Path) -> Path:
    """Where the newest whole checkpoint is (``folders.current``); earlier versions wrote ``last.new``."""
    place = folders.current(folder, STATE)
    former = folder.with_name(f"{folder.name}.new")
    return former if not place.exists() and (former / STATE).is_file() else place


def _recover_former(folder: Path) -> None:
    """Finish what a killed training of an earlier version left; only for who alone writes the run."""
    former = folder.with_name(f"{folder.name}.new")
    if _whole(folder) == former:
        former.rename(folder)
    shutil.rmtree(former, ignore_errors=True)


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies, as the format wants them; channels-last weights come back as plain ones."""
    return {name: value.detach().to("cpu").contiguous() for name, value in tensors.items()}
