"""The computation of gradients that a recipe and its ranks need."""

from __future__ import annotations

import torch

from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.train.chunks import BatchChunks, InChunks
from vireid_cli.engine.train.recompute import recompute_blocks
from vireid_cli.engine.train.step import Gradients, OneProcess, SharedByRanks, gathered_network
from vireid_cli.engine.world import World
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.schema import Recipe
from vireid_cli.sharding.share import RankShare


def rows_of(recipe: Recipe, world: World) -> RankShare | BatchChunks | None:
    """Return this rank's rows of each batch; None: the whole batch at once.

    Raises:
        UsageError: A batch, or one of its chunks, has fewer identities than there are ranks.
    """
    sampler, chunks = recipe.data.sampler, recipe.train.accumulate
    if chunks > 1:
        return BatchChunks.of_identities(sampler.identities, sampler.images, chunks, world.rank, world.size)
    if not world.several:
        return None
    return RankShare.of_identities(sampler.identities, sampler.images, world.rank, world.size)


def check_gradients(recipe: Recipe, network: ReIdNetwork, world: World) -> None:
    """Check that gradients can be computed as the recipe and the ranks need, before a run folder exists.

    Raises:
        UsageError: A batch has too few identities, or the method does not separate losses from features.
    """
    if rows_of(recipe, world) is not None:
        gathered_network(network, recipe.method.name)


def gradients_of(
    recipe: Recipe, network: ReIdNetwork, runtime: Runtime, scaler: torch.amp.GradScaler
) -> Gradients:
    """Return the computation of the gradients; may replace batch norms and dropout of the network.

    Raises:
        UsageError: As ``check_gradients``, or ``train.checkpoint_activations`` has no effect.
    """
    name, rows = recipe.method.name, rows_of(recipe, runtime.world)
    if recipe.train.checkpoint_activations:
        recompute_blocks(network, name)
    if isinstance(rows, BatchChunks):
        return InChunks(gathered_network(network, name), rows, runtime, scaler)
    if rows is not None:
        return SharedByRanks(gathered_network(network, name), rows, runtime, scaler)
    return OneProcess(network, runtime, scaler)
