"""Learning-rate schedules as functions of the epoch, and the optimizers."""

from __future__ import annotations

import math
from bisect import bisect_right

import torch

from vireid_cli.methods import ParameterGroup
from vireid_cli.recipe.schema import Optimizer, Schedule


def factor(schedule: Schedule, epoch: int, epochs: int) -> float:
    """Return the factor of all learning rates in ``epoch`` (from 0) of ``epochs``.

    During warm-up it is max(start, (e + 1) / warmup). Then it is γ to the power of the milestones passed,
    or half a cosine from 1 at the end of warm-up to 0 at ``epochs``, or such cosines one after another
    (docs/methods.md#heads: AGW's 0.1, 0.2 … 1.0, then steps).
    """
    if epoch < schedule.warmup_epochs:
        return max(schedule.warmup_start, (epoch + 1) / schedule.warmup_epochs)
    if schedule.kind == "cosine":
        span = max(1, epochs - schedule.warmup_epochs)
        return _half_cosine((epoch - schedule.warmup_epochs) / span)
    if schedule.kind == "restarts":
        position, period = epoch - schedule.warmup_epochs, schedule.period
        while position >= period:
            position, period = position - period, period * schedule.period_factor
        return _half_cosine(position / period)
    return float(schedule.gamma ** bisect_right(schedule.milestones, epoch))


def _half_cosine(share: float) -> float:
    """Half a cosine from 1 at ``share`` 0 to 0 at 1."""
    return 0.5 * (1.0 + math.cos(math.pi * share))


def build_optimizer(groups: list[ParameterGroup], recipe: Optimizer) -> torch.optim.Optimizer:
    """Create SGD, Adam or AdamW over the method's parameter groups.

    A group's learning rate is ``lr × lr_scale``, times ``backbone_scale`` for the group ``backbone``. On a
    GPU one fused kernel updates all weights, unless the recipe sets ``fused``.
    """
    prepared = []
    for group in groups:
        scale = group.lr_scale * (recipe.backbone_scale if group.name == "backbone" else 1.0)
        decay = recipe.weight_decay if group.weight_decay else 0.0
        rate = recipe.lr * scale
        prepared.append({"params": group.parameters, "lr": rate, "base_lr": rate, "weight_decay": decay})
    fused = recipe.fused
    if fused is None:
        fused = any(parameter.is_cuda for group in groups for parameter in group.parameters)
    chosen = True if fused else None  # None: PyTorch's default
    if recipe.name == "sgd":
        momentum, nesterov = recipe.momentum, recipe.nesterov
        return torch.optim.SGD(prepared, recipe.lr, momentum, nesterov=nesterov, fused=chosen)
    if recipe.name == "adam":
        return torch.optim.Adam(prepared, recipe.lr, fused=chosen)
    return torch.optim.AdamW(prepared, recipe.lr, fused=chosen)


def apply_factor(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set each group's learning rate to its base rate times ``value``."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * value
