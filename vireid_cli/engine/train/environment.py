"""The content of a run's ``environment.json``, and the message printed when a training starts."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import nn

from vireid_cli.counts import counted, size_name
from vireid_cli.data.identity import describe, store_title
from vireid_cli.engine.plugin_record import plugin_mark
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.data import TrainingData
from vireid_cli.recipe.load import dump
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results import schema


def environment_of(
    recipe: Recipe,
    session: Session,
    data: TrainingData,
    network: nn.Module,
    identity_hashes: list[str],
    weights: str,
) -> dict[str, Any]:
    """Return the content of ``environment.json``.

    Args:
        recipe: The run's recipe.
        session: Its device and precision are recorded.
        data: The training images.
        network: Its parameters are counted.
        identity_hashes: Hashes of all training identities, including those of the starting weights.
        weights: Actual source of the trunk's starting weights.
    """
    return {
        "version": schema.VERSION,
        **session.runtime.describe(),
        "recipe_sha256": hashlib.sha256(dump(recipe).encode()).hexdigest(),
        **plugin_mark(recipe.method.name),
        "seed": recipe.train.seed,
        "weights": weights,
        "num_identities": data.sampler.num_identities,
        "parameters": sum(p.numel() for p in network.parameters()),
        "data": describe(data.store),
        "training_identities": hashlib.sha256("\n".join(identity_hashes).encode()).hexdigest(),
    }


def announce(recipe: Recipe, session: Session, data: TrainingData, network: nn.Module) -> None:
    """Print the recipe's name, data and sizes; warn of identities that lack a modality."""
    parameters = sum(p.numel() for p in network.parameters())
    options, sampler = recipe.data.sampler, data.sampler
    session.reporter.info(
        f"{recipe.name}: {recipe.method.name} on {store_title(data.store)}, "
        f"{counted(sampler.num_identities, 'identity')}, {size_name(recipe.data.size)}, "
        f"{options.identities}×({options.images}+{options.images}) a batch, "
        f"{counted(sampler.steps, 'step')} an epoch, {parameters / 1e6:.2f} M parameters, "
        f"{counted(torch.get_num_threads(), 'thread')}"
    )
    if sampler.dropped:
        verb = "lacks" if len(sampler.dropped) == 1 else "lack"
        people = counted(len(sampler.dropped), "identity")
        session.reporter.warn(f"{people} {verb} a modality; training skips them")
