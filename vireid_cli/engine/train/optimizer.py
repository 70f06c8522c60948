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
    or half a cosine from 1 at the end of warm-up to 0 at ``epochs`` (docs/methods.md#heads: AGW's
    0.1, 0.2 … 1.0, then steps).
    """
    if epoch < schedule.warmup_epochs:
        return max(schedule.warmup_start, (epoch + 1) / schedule.warmup_epochs)
    if schedule.kind == "cosine":
        span = max(1, epochs - schedule.warmup_epochs)
        return 0.5 * (1.0 + math.cos(math.pi * (epoch - schedule.warmup_epochs) / span))
    return float(schedule.gamma ** bisect_right(schedule.milestones, epoch))


def build_optimizer(groups: list[ParameterGroup], recipe: Optimizer) -> torch.optim.Optimizer:
    """Create SGD, Adam or AdamW over the method's parameter groups.

    A group's learning rate is ``lr × lr_scale``, times ``backbone_scale`` for the group ``backbone``.
    """
    prepared = []
    for group in groups:
        scale = group.lr_scale * (recipe.backbone_scale if group.name == "backbone" else 1.0)
        decay = recipe.weight_decay if group.weight_decay else 0.0
        rate = recipe.lr * scale
        prepared.append({"params": group.parameters, "lr": rate, "base_lr": rate, "weight_decay": decay})
    if recipe.name == "sgd":
        return torch.optim.SGD(prepared, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov)
    if recipe.name == "adam":
        return torch.optim.Adam(prepared, lr=recipe.lr)
    return torch.optim.AdamW(prepared, lr=recipe.lr)


def apply_factor(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set each group's learning rate to its base rate times ``value``."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * value
