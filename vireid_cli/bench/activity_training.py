"""Short trainings of ``bench.activity`` on narrow networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vireid_cli import methods
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.bench.activity_values import (
    LEAST_CHANGE,
    ShortTraining,
    Term,
    flatten,
    nested,
    relative_change,
)
from vireid_cli.engine.train.optimizer import build_optimizer
from vireid_cli.engine.train.step import total_loss
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.schema import Optimizer
from vireid_cli.recipe.strict import Strict
from vireid_cli.types import Batch, Modality

WIDTH = 8
OPTIMIZER = Optimizer(name="adamw", lr=3e-3, backbone_scale=1.0, weight_decay=0.01, grad_clip=10.0)
SMALLER = {
    ("cfam", "dim"): 32, ("tm", "state"): 2, ("tm", "ratio"): 1, ("sfim", "rank"): 8, ("sfim", "hidden"): 64,
}  # fmt: skip
"""Reduced widths of modules, for methods with these options."""


def narrow_backbone(method: str) -> BackboneSpec:
    """Specification of the narrow backbone for a method, with random weights."""
    faces = "resnet18" not in methods.fit_of(method).backbones
    return BackboneSpec("lightcnn29" if faces else "resnet18", 1, None, WIDTH)


def small_options(name: str, options: Mapping[str, Any]) -> Strict:
    """Return a method's typed options with the widths of ``SMALLER``."""
    values = flatten(methods.options_of(name, options).model_dump())
    return methods.options_of(name, nested(values | {k: v for k, v in SMALLER.items() if k in values}))


def train(
    network: ReIdNetwork, batches: Sequence[Batch], steps: int, *, thorough: bool = True
) -> ShortTraining:
    """Train for a few steps; measure terms before and after, and embeddings after, on the first batch.

    Args:
        network: Network with its initial weights.
        batches: At least one batch per step.
        steps: Number of steps.
        thorough: Whether to measure the gradients of all terms, or only of terms with a constant value.
    """
    optimizer = build_optimizer(network.parameter_groups(), OPTIMIZER)
    first = _losses(network, batches[0])
    start = {name: loss.item() for name, loss in first.items()}
    gradients = _gradients(network, first) if thorough else {}
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad(set_to_none=True)
        total_loss(network.losses(batches[step])).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), OPTIMIZER.grad_clip)
        optimizer.step()
    last = _losses(network, batches[0])
    end = {name: loss.item() for name, loss in last.items()}
    if thorough or any(relative_change(start[name], end[name]) <= LEAST_CHANGE for name in start):
        later = _gradients(network, last)
        gradients = {name: max(gradients.get(name, 0.0), later[name]) for name in later}
    terms = tuple(Term(name, start[name], end[name], gradients.get(name, math.nan)) for name in start)
    return ShortTraining(terms, _embeddings(network, batches[0]))


def _losses(network: ReIdNetwork, batch: Batch) -> dict[str, Tensor]:
    """Compute the loss terms of a batch with a fixed random seed."""
    torch.manual_seed(0)
    return network.train().losses(batch)


@torch.no_grad()
def term_values(network: ReIdNetwork, batch: Batch) -> dict[str, float]:
    """Values of the terms of a batch."""
    return {name: loss.item() for name, loss in _losses(network, batch).items()}


def _gradients(network: ReIdNetwork, losses: Mapping[str, Tensor]) -> dict[str, float]:
    """Compute the gradient norm of each term, relative to the largest one."""
    parameters = methods.trainable(network)
    norms: dict[str, float] = {}
    for name, loss in losses.items():
        norms[name] = 0.0
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            norms[name] = float(torch.stack([g.norm() for g in gradients if g is not None]).norm())
    largest = max(norms.values())
    return {name: norm / largest for name, norm in norms.items()}


@torch.no_grad()
def _embeddings(network: ReIdNetwork, batch: Batch) -> Tensor:
    """Compute the embeddings of a batch, visible first, including its erased pixels."""
    images = {Modality.VISIBLE: batch.visible, Modality.INFRARED: batch.infrared}
    network.eval().calibrate(lambda modality: iter([images[modality]]))
    embeddings = [network.embed(pixels, modality) for modality, pixels in images.items()]
    network.train()
    return torch.cat(embeddings)
