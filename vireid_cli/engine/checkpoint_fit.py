"""Whether a checkpoint fits the run: position, weights and optimizer state against recipe and network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vireid_cli.engine.checkpoint import MODEL, STATE, TENSORS, Checkpoint, Position, advice
from vireid_cli.errors import DataError

_SHOWN = 3
"""Tensors of each kind that a message names."""

RESUMED = ("scaler", "sums", "steps", "training_identities", "best")
"""Values beside weights and optimizer that a training resumes from."""

_MOMENTS: dict[type[torch.optim.Optimizer], tuple[str, ...]] = {
    torch.optim.SGD: ("momentum_buffer",),
    torch.optim.Adam: ("step", "exp_avg", "exp_avg_sq"),
    torch.optim.AdamW: ("step", "exp_avg", "exp_avg_sq"),
}
_NOT_NEGATIVE = ("step", "exp_avg_sq")


def check_position(folder: Path, position: Position, epochs: int, steps: int | None = None) -> None:
    """Check how far a checkpoint has come against its recipe.

    Args:
        folder: The checkpoint's.
        position: Its next step.
        epochs: Of the recipe.
        steps: Of an epoch; None: not known here.

    Raises:
        DataError: The position is not one of this training.
    """
    path = folder / STATE
    if position.epoch > epochs or (position.epoch == epochs and position.step > 0):
        raise DataError(
            f"{path}: epoch {position.epoch:,}, step {position.step:,} is beyond the recipe's {epochs:,} "
            "epochs.",
            advice(folder),
        )
    if steps is None:
        return
    if position.step > steps:
        raise DataError(
            f"{path}: step {position.step:,} is beyond the {steps:,} steps of an epoch.", advice(folder)
        )
    expected = position.epoch * steps + position.step
    if position.global_step != expected:
        raise DataError(
            f"{path}: global_step is {position.global_step:,}; epoch {position.epoch:,}, step "
            f"{position.step:,} of {steps:,} steps an epoch is step {expected:,}.",
            advice(folder),
        )


def load_weights(network: nn.Module, model: Mapping[str, Tensor], folder: Path, recipe: Path) -> None:
    """Load a checkpoint's weights into a network, if they fit it tensor by tensor.

    Args:
        network: Built by the run's recipe.
        model: State dict of the checkpoint.
        folder: The checkpoint's, for messages.
        recipe: The recipe's file, for messages.

    Raises:
        DataError: Tensors are missing, unknown, of another shape or type, or out of range.
    """
    wanted = network.state_dict()
    both = [name for name in wanted if name in model]
    flaws = {
        "missing": [name for name in wanted if name not in model],
        "unknown": [name for name in model if name not in wanted],
        "of another shape": [
            f"{name} {tuple(model[name].shape)} instead of {tuple(wanted[name].shape)}"
            for name in both
            if not _same_shape(model[name], wanted[name])
        ],
        "of another type": [
            f"{name} {_type(model[name])} instead of {_type(wanted[name])}"
            for name in both
            if model[name].dtype != wanted[name].dtype
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
            advice(folder),
        )
    network.load_state_dict(dict(model))


def load_optimizer(optimizer: torch.optim.Optimizer, saved: Checkpoint, folder: Path) -> None:
    """Load a checkpoint's optimizer state, if it fits the optimizer tensor by tensor.

    Args:
        optimizer: Built by the run's recipe.
        saved: The checkpoint.
        folder: Its folder, for messages.

    Raises:
        DataError: Groups, parameters or moments are missing, of another shape or type, or out of range.
    """
    if flaw := _group_flaw(optimizer, saved.optimizer.get("param_groups", [])):
        raise DataError(f"{folder / STATE}: {flaw}.", advice(folder))
    if flaw := _state_flaw(optimizer, saved):
        raise DataError(f"{folder / TENSORS}: {flaw}.", advice(folder))
    try:
        optimizer.load_state_dict(saved.optimizer)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(
            f"{folder}: the optimizer refuses its state: {type(error).__name__}: {error}", advice(folder)
        ) from error


def load_scaler(scaler: torch.amp.GradScaler, saved: Checkpoint, folder: Path) -> None:
    """Load the state of the gradient scaler.

    Raises:
        DataError: It is not one.
    """
    state = saved.extra["scaler"]
    try:
        scaler.load_state_dict(state)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        if not state and scaler.is_enabled():
            return  # saved in another precision, which needs no scaling: begin with the initial scale
        raise DataError(f"{folder / STATE}: extra.scaler is refused: {error}", advice(folder)) from error


def _group_flaw(optimizer: torch.optim.Optimizer, saved: list[dict[str, Any]]) -> str:
    """What is wrong with saved parameter groups; empty: nothing."""
    wanted = optimizer.state_dict()["param_groups"]
    if len(saved) != len(wanted):
        return f"the optimizer has {len(saved)} parameter groups instead of {len(wanted)}"
    for number, (group, own) in enumerate(zip(saved, wanted, strict=True)):
        if group.get("params") != own["params"]:
            return f"parameter group {number} has other parameters than the network"
        for key in ("lr", "base_lr", "weight_decay"):
            value = group.get(key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                return f"{key} of parameter group {number} is {value!r}"
    return ""


def _state_flaw(optimizer: torch.optim.Optimizer, saved: Checkpoint) -> str:
    """What is wrong with saved moments; empty: nothing."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states: dict[int, dict[str, Any]] = saved.optimizer.get("state", {})
    moments = _MOMENTS.get(type(optimizer), ())
    for index, values in states.items():
        if index >= len(parameters):
            return f"there is no parameter {index}; the network has {len(parameters):,}"
        lacking = [name for name in moments if name not in values] if values else []
        if lacking and not _without_momentum(optimizer):
            return f"parameter {index} lacks {', '.join(lacking)}"
        for name, value in values.items():
            if flaw := _moment_flaw(name, value, parameters[index], saved.position.global_step):
                return f"'{index}/{name}' {flaw}"
    kept = sum(bool(values) for values in states.values())
    # A parameter that never gets a gradient has no state; with hashes, nothing can be missing.
    expected = saved.position.global_step > 0 and not _without_momentum(optimizer)
    if expected and not saved.hashed and 2 * kept < len(parameters):
        return f"it holds the optimizer's state of {kept:,} of {len(parameters):,} parameters only"
    return ""


def _without_momentum(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer keeps nothing between steps."""
    return isinstance(optimizer, torch.optim.SGD) and not any(g["momentum"] for g in optimizer.param_groups)


def _moment_flaw(name: str, value: Any, parameter: Tensor, steps: int) -> str:
    """What is wrong with one saved value of an optimizer; empty: nothing."""
    if not isinstance(value, Tensor):
        return ""
    if name != "step":
        if value.shape != parameter.shape:
            return f"has the shape {tuple(value.shape)} instead of {tuple(parameter.shape)}"
        if value.dtype != parameter.dtype:
            return f"is {_type(value)} instead of {_type(parameter)}"
    elif value.numel() != 1 or float(value) > steps:
        return f"is {value.tolist()} after {steps:,} steps"
    if name in _NOT_NEGATIVE and bool((value < 0).any()):
        return "holds negative numbers"
    return ""


def _same_shape(saved: Tensor, own: Tensor) -> bool:
    """Whether a saved tensor fits the network's, in which a size of 0 is free: training sets it."""
    sizes = zip(saved.shape, own.shape, strict=False)
    return saved.dim() == own.dim() and all(b in (a, 0) for a, b in sizes)


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f", … and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def check_extra(folder: Path, extra: Mapping[str, Any]) -> None:
    """Check that a checkpoint holds all that a training resumes from.

    Raises:
        DataError: A value is missing.
    """
    lacking = [f"extra.{key}" for key in RESUMED if extra.get(key) is None]
    if lacking:
        raise DataError(f"{folder / STATE} lacks {', '.join(lacking)}.", advice(folder))
