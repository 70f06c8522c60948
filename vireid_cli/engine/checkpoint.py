"""Checkpoints without pickle, replaced atomically: after a kill at any moment one of them loads.

``checkpoints/last/`` (and ``best/``, the best on validation identities) contains ``model.safetensors``,
``state.safetensors`` (optimizer tensors) and ``state.json`` (epoch, step, optimizer numbers, sums of the
running epoch, training identities, and the SHA-256 of each file), which is written last. A new checkpoint
is written beside the old one and then exchanged with it (``vireid_cli.folders``).
"""

from __future__ import annotations

import hashlib
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
from vireid_cli.printable import shell_line
from vireid_cli.tensor_files import TensorFileError, load_safetensors

LAST, BEST = "last", "best"
"""Folders in ``checkpoints/``: the newest checkpoint, and the best on validation identities."""

MODEL, TENSORS, STATE = "model.safetensors", "state.safetensors", "state.json"

ATTEMPTS = 5
"""Attempts to read a checkpoint that a running training replaces."""


class CheckpointReplaced(Exception):
    """A training replaced the checkpoint during the read."""


@dataclass(frozen=True, slots=True)
class Position:
    """Position of the next step of a training.

    Attributes:
        epoch: Epoch of the next step, from 0.
        step: Index of the next step in this epoch.
        global_step: Number of steps done.
    """

    epoch: int = 0
    step: int = 0
    global_step: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Content of a checkpoint folder.

    Attributes:
        model: The network's state dict, on the CPU.
        optimizer: The optimizer's state dict, including its tensors.
        position: The next step.
        extra: Scaler state, sums of the running epoch, training identities, and the best validation so far.
        tensors: Further tensors by name.
        hashed: Whether the files were verified by their hashes; checkpoints of version 1 have none.
    """

    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    position: Position
    extra: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    hashed: bool = True


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to ``folder`` (``…/last``), and replace the old one once all files are written.

    Raises:
        DataError: The disk is full or the folder is read-only; the old checkpoint remains.
        VireidError: A weight is NaN or infinite; the old checkpoint remains.
    """
    if name := not_finite(checkpoint.model):
        raise VireidError(
            f"The weights '{name}' became NaN or infinite in step {checkpoint.position.global_step:,}: the "
            "checkpoint was not saved.",
            "The previous checkpoint is intact. Try a smaller train.optimizer.lr, "
            "--set train.optimizer.grad_clip=10, or --precision fp32.",
        )
    _recover_old_layout(folder)
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
    """Write tensors to a file and return its SHA-256."""
    content = save(_plain(tensors))
    files.write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def not_finite(tensors: dict[str, Tensor]) -> str | None:
    """Return the name of the first tensor with a NaN or an infinity, or None."""
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            return name
    return None


def check_free_space(
    place: Path, network: nn.Module, moments: int, copies: int, *, averaged: bool = False
) -> None:
    """Check before a training that its checkpoints will fit on the disk.

    Args:
        place: The folder of run folders; it need not exist yet.
        network: The network to train.
        moments: Numbers that the optimizer keeps for each parameter.
        copies: Checkpoints that the run keeps; space for one more is needed while one is replaced.
        averaged: Whether each checkpoint also holds the average of the weights (``train.ema``).

    Raises:
        DataError: The free space is too small.
    """
    weights = sum(value.nbytes for value in network.state_dict().values())
    state = moments * sum(value.nbytes for value in network.parameters())
    needed = (copies + 1) * ((1 + averaged) * weights + state)
    existing = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise DataError(
            f"{existing} has {free / 1e6:,.0f} MB free; the checkpoints of this training need "
            f"{needed / 1e6:,.0f} MB.",
            "Free some space, or choose another folder: --runs DIR.",
        )


def load_checkpoint(folder: Path) -> Checkpoint:
    """Load a checkpoint folder.

    Raises:
        UsageError: The run has no such checkpoint.
        DataError: The checkpoint is damaged or of a newer version; the message names the file.
    """
    for _ in range(ATTEMPTS):
        state = load_state(folder)
        try:
            model, others = load_model(folder, state), _load(folder, TENSORS, state)
        except CheckpointReplaced:
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
            raise DataError(f"{folder / TENSORS}: {error}.", recovery_hint(folder)) from error
        values = state.extra.model_dump(exclude_unset=True)
        return Checkpoint(model, joined, position_of(state), values, extra, state.hashed)
    raise busy_error(folder)


def load_state(folder: Path) -> CheckpointState:
    """Read ``state.json`` of a checkpoint folder, without its tensors. Raises as ``load_checkpoint``."""
    place = _complete(folder)
    if not (place / STATE).is_file():
        if (place / MODEL).is_file():
            raise DataError(f"{place} lacks {STATE}.", recovery_hint(folder))
        raise UsageError(
            f"There is no checkpoint '{folder.name}' in {folder.parent}.",
            "The run stopped before its first checkpoint: start the training again.",
        )
    return read_state(place / STATE, recovery_hint(folder))


def load_position(folder: Path) -> Position:
    """Read the position of a checkpoint folder, without its tensors. Raises as ``load_checkpoint``."""
    return position_of(load_state(folder))


def position_of(state: CheckpointState) -> Position:
    """Return the position of the next step."""
    return Position(state.epoch, state.step, state.global_step)


def load_model(folder: Path, state: CheckpointState | None = None) -> dict[str, Tensor]:
    """Load the network's state dict of a checkpoint folder, on the CPU.

    Args:
        folder: The checkpoint folder.
        state: Its ``state.json``; None: read here.

    Raises:
        UsageError, DataError: As ``load_checkpoint``.
        CheckpointReplaced: A newer checkpoint has replaced the one of ``state``.
    """
    if state is not None:
        return _load(folder, MODEL, state)
    for _ in range(ATTEMPTS):
        try:
            return _load(folder, MODEL, load_state(folder))
        except CheckpointReplaced:
            continue
    raise busy_error(folder)


def _load(folder: Path, name: str, state: CheckpointState) -> dict[str, Tensor]:
    """Load the tensors of one file, and verify its hash in ``state``."""
    place = _complete(folder)
    if state.files is not None and name not in state.files:
        raise DataError(f"{place / STATE} has no hash of {name}.", recovery_hint(folder))
    try:
        tensors = load_safetensors(place / name, sha256=state.files[name] if state.files else None)
    except TensorFileError as error:
        if load_state(folder) != state:
            raise CheckpointReplaced from error
        raise DataError(error.message, recovery_hint(folder)) from error
    if bad := not_finite(tensors):
        raise DataError(f"{place / name}: '{bad}' holds NaN or infinite numbers.", recovery_hint(folder))
    return tensors


def missing_hashes_warning(folder: Path) -> str:
    """Return the warning about a checkpoint of version 1."""
    return f"{folder} has no hashes (an old format): damage to its numbers can't be detected"


def busy_error(folder: Path) -> DataError:
    """Return the error of a checkpoint that a training replaced during every attempt to read it."""
    return DataError(f"A training replaced {folder} during each of {ATTEMPTS} reads.", "Try again later.")


def recovery_hint(folder: Path) -> str:
    """Return the hint for a damaged checkpoint: a copy, the run's other checkpoint, or a new training."""
    run = folder.parent.parent
    others = [folder.with_name(name) for name in (LAST, BEST) if name != folder.name]
    other = next((place for place in others if (place / STATE).is_file()), None)
    instead = "" if other is None else f"replace it by the run's other checkpoint ({other}), "
    return (
        f"The checkpoint is damaged: restore {folder} from a copy, {instead}or train again: "
        f"vireid train --recipe {shell_line([str(run / 'recipe.yaml')])}"
    )


def model_state(network: nn.Module) -> dict[str, Tensor]:
    """Copy a network's state dict to the CPU."""
    return {name: value.detach().to("cpu", copy=True) for name, value in network.state_dict().items()}


def _complete(folder: Path) -> Path:
    """Return the newest complete checkpoint (``folders.current``); old versions wrote ``last.new``."""
    place = folders.current(folder, STATE)
    old = folder.with_name(f"{folder.name}.new")
    return old if not place.exists() and (old / STATE).is_file() else place


def _recover_old_layout(folder: Path) -> None:
    """Complete the replacement that a killed training of an old version left; needs the run's lock."""
    old = folder.with_name(f"{folder.name}.new")
    if _complete(folder) == old:
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies, which safetensors needs; channels-last weights lose that memory format."""
    return {name: value.detach().to("cpu").contiguous() for name, value in tensors.items()}
