"""What a training says of itself when it begins: its ``environment.json``, and a line for people."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import nn

from vireid_cli.data.identity import describe, store_title
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.data import TrainingData
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results import schema


def environment_of(
    recipe: Recipe,
    session: Session,
    data: TrainingData,
    network: nn.Module,
    tokens: list[str],
    weights: str,
) -> dict[str, Any]:
    """What ``environment.json`` holds.

    Args:
        recipe: What is trained.
        session: On what device.
        data: What is trained on.
        network: Untrained yet.
        tokens: Hashes of all identities that the network has seen, those of its starting weights included.
        weights: What its trunk really starts from.
    """
    return {
        "version": schema.VERSION,
        **session.runtime.describe(),
        "seed": recipe.train.seed,
        "weights": weights,
        "num_identities": data.sampler.num_identities,
        "parameters": sum(p.numel() for p in network.parameters()),
        "data": describe(data.store),
        "training_identities": hashlib.sha256("\n".join(tokens).encode()).hexdigest(),
    }


def announce(recipe: Recipe, session: Session, data: TrainingData, network: nn.Module) -> None:
    """Say what will be trained on what, and who can't be trained on."""
    parameters = sum(p.numel() for p in network.parameters())
    height, width = recipe.data.image_size
    wanted, sampler = recipe.data.sampler, data.sampler
    session.reporter.say(
        f"{recipe.name}: {recipe.method.name} on {store_title(data.store)}, "
        f"{sampler.num_identities} identities, "
        f"{height}×{width}, {wanted.identities}×({wanted.images}+{wanted.images}) a batch, "
        f"{sampler.steps} steps an epoch, {parameters / 1e6:.2f} M parameters, "
        f"{torch.get_num_threads()} threads"
    )
    if sampler.dropped:
        session.reporter.warn(f"{len(sampler.dropped)} identities lack a modality and are not trained on")
