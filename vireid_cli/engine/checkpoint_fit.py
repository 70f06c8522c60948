"""Checks that a checkpoint fits its run: position, weights and optimizer state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vireid_cli.counts import counted
from vireid_cli.engine.checkpoint import MODEL, STATE, TENSORS, Checkpoint, Position, recovery_hint
from vireid_cli.errors import DataError

_SHOWN = 3
"""Number of tensors of each kind listed in a message."""

RESUMED = ("scaler", "sums", "steps", "training_identities", "best")
"""Keys of ``extra`` that resuming needs."""

_MOMENTS: dict[type[torch.optim.Optimizer], tuple[str, ...]] = {
    torch.optim.SGD: ("momentum_buffer",),
    torch.optim.Adam: ("step", "exp_avg", "exp_avg_sq"),
    torch.optim.AdamW: ("step", "exp_avg", "exp_avg_sq"),
}
_NOT_NEGATIVE = ("step", "exp_avg_sq")


def check_position(folder: Path, position: Position, epochs: int, steps: int | None = None) -> None:
    """Check a checkpoint's position against its recipe.

    Args:
        folder: The checkpoint folder, for messages.
        position: The next step of the checkpoint.
        epochs: Epochs of the recipe.
        steps: Steps per epoch; None: not checked.

    Raises:
        DataError: The position is impossible in this training.
    """
    path = folder / STATE
    if position.epoch > epochs or (position.epoch == epochs and position.step > 0):
        raise DataError(
            f"{path}: epoch {position.epoch:,}, step {position.step:,} is beyond the recipe's {epochs:,} "
            "epochs.",
            recovery_hint(folder),
        )
    if steps is None:
        return
    if position.step > steps:
        raise DataError(
            f"{path}: step {position.step:,} is beyond the {counted(steps, 'step')} of an epoch.",
            recovery_hint(folder),
        )
    expected = position.epoch * steps + position.step
    if position.global_step != expected:
        raise DataError(
            f"{path}: global_step is {position.global_step:,}; epoch {position.epoch:,}, step "
            f"{position.step:,} of {steps:,} steps an epoch is step {expected:,}.",
            recovery_hint(folder),
        )


def load_weights(network: nn.Module, model: Mapping[str, Tensor], folder: Path, recipe: Path) -> None:
    """Load a checkpoint's weights into a network after checking each tensor; see ``check_weights``."""
    check_weights(network, model, folder, recipe)
    network.load_state_dict(dict(model))


def check_weights(network: nn.Module, model: Mapping[str, Tensor], folder: Path, recipe: Path) -> None:
    """Check each tensor of a checkpoint's weights against a network.

    Args:
        network: Built from the run's recipe.
        model: State dict of the checkpoint.
        folder: The checkpoint folder, for messages.
        recipe: The recipe file, for messages.

    Raises:
        DataError: Tensors are missing, unknown, of another shape or type, or out of range.
    """
    expected = network.state_dict()
    both = [name for name in expected if name in model]
    flaws = {
        "missing": [name for name in expected if name not in model],
        "unknown": [name for name in model if name not in expected],
        "of another shape": [
            f"{name} {tuple(model[name].shape)} instead of {tuple(expected[name].shape)}"
            for name in both
            if not _same_shape(model[name], expected[name])
        ],
        "of another type": [
            f"{name} {_type(model[name])} instead of {_type(expected[name])}"
            for name in both
            if model[name].dtype != expected[name].dtype
        ],
        "negative": [
            name
            for name in both
            if name.endswith(("running_var", "num_batches_tracked")) and bool((model[name] < 0).any())
        ],
    }
    lines = [f"  {len(names):,} {kind}: {_listed(names)}" for kind, names in flaws.items() if names]
    if lines:
        raise DataError(
            f"{folder / MODEL} does not fit {recipe}; tensors that differ:\n" + "\n".join(lines),
            recovery_hint(folder),
        )


def load_optimizer(optimizer: torch.optim.Optimizer, saved: Checkpoint, folder: Path) -> None:
    """Load a checkpoint's optimizer state after checking each tensor.

    Args:
        optimizer: Built from the run's recipe.
        saved: The checkpoint.
        folder: The checkpoint folder, for messages.

    Raises:
        DataError: Groups, parameters or moments are missing, of another shape or type, or out of range.
    """
    if flaw := _group_flaw(optimizer, saved.optimizer.get("param_groups", [])):
        raise DataError(f"{folder / STATE}: {flaw}.", recovery_hint(folder))
    if flaw := _state_flaw(optimizer, saved):
        raise DataError(f"{folder / TENSORS}: {flaw}.", recovery_hint(folder))
    try:
        optimizer.load_state_dict(saved.optimizer)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(
            f"{folder}: PyTorch can't load the optimizer state: {type(error).__name__}: {error}",
            recovery_hint(folder),
        ) from error


def load_scaler(scaler: torch.amp.GradScaler, saved: Checkpoint, folder: Path) -> None:
    """Load the state of the gradient scaler.

    Raises:
        DataError: The saved state is invalid.
    """
    state = saved.extra["scaler"]
    try:
        scaler.load_state_dict(state)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        if not state and scaler.is_enabled():
            return  # saved in a precision without scaling: start with the initial scale
        raise DataError(
            f"{folder / STATE}: extra.scaler is invalid: {error}", recovery_hint(folder)
        ) from error


def _group_flaw(optimizer: torch.optim.Optimizer, saved: list[dict[str, Any]]) -> str:
    """Describe the first error in saved parameter groups; empty if there is none."""
    expected = optimizer.state_dict()["param_groups"]
    if len(saved) != len(expected):
        return f"the optimizer has {len(saved)} parameter groups instead of {len(expected)}"
    for number, (group, own) in enumerate(zip(saved, expected, strict=True)):
        if group.get("params") != own["params"]:
            return f"parameter group {number} has other parameters than the network"
        for key in ("lr", "base_lr", "weight_decay"):
            value = group.get(key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                return f"{key} of parameter group {number} is {value!r}"
    return ""


def _state_flaw(optimizer: torch.optim.Optimizer, saved: Checkpoint) -> str:
    """Describe the first error in saved moments; empty if there is none."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states: dict[int, dict[str, Any]] = saved.optimizer.get("state", {})
    moments = _MOMENTS.get(type(optimizer), ())
    for index, values in states.items():
        if index >= len(parameters):
            return f"parameter {index} does not exist; the network has {len(parameters):,}"
        absent = [name for name in moments if name not in values] if values else []
        if absent and not _stateless(optimizer):
            return f"parameter {index} lacks {', '.join(absent)}"
        for name, value in values.items():
            if flaw := _moment_flaw(name, value, parameters[index], saved.position.global_step):
                return f"'{index}/{name}' {flaw}"
    complete = sum(bool(values) for values in states.values())
    # A parameter without gradients has no state. Hashes already guarantee that no state is missing.
    expected = saved.position.global_step > 0 and not _stateless(optimizer)
    if expected and not saved.hashed and 2 * complete < len(parameters):
        return f"the file has the optimizer's state of {complete:,} of {len(parameters):,} parameters only"
    return ""


def _stateless(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer has no state between steps: SGD without momentum."""
    return isinstance(optimizer, torch.optim.SGD) and not any(g["momentum"] for g in optimizer.param_groups)


def _moment_flaw(name: str, value: Any, parameter: Tensor, steps: int) -> str:
    """Describe the error in one saved value of an optimizer; empty if there is none."""
    if not isinstance(value, Tensor):
        return ""
    if name != "step":
        if value.shape != parameter.shape:
            return f"has the shape {tuple(value.shape)} instead of {tuple(parameter.shape)}"
        if value.dtype != parameter.dtype:
            return f"is {_type(value)} instead of {_type(parameter)}"
    elif value.numel() != 1 or float(value) > steps:
        return f"is {value.tolist()} after {counted(steps, 'step')}"
    if name in _NOT_NEGATIVE and bool((value < 0).any()):
        return "holds negative numbers"
    return ""


def _same_shape(saved: Tensor, own: Tensor) -> bool:
    """Whether a saved tensor fits the network's; a size of 0 there fits any, because training sets it."""
    sizes = zip(saved.shape, own.shape, strict=False)
    return saved.dim() == own.dim() and all(b in (a, 0) for a, b in sizes)


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f", … and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def check_extra(folder: Path, extra: Mapping[str, Any]) -> None:
    """Check that a checkpoint contains all values that resuming needs.

    Raises:
        DataError: A value is missing.
    """
    absent = [f"extra.{key}" for key in RESUMED if extra.get(key) is None]
    if absent:
        raise DataError(f"{folder / STATE} lacks {', '.join(absent)}.", recovery_hint(folder))
