"""From a recipe to a network: the method by its name, the backbone with its weights, the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vireid_cli import methods
from vireid_cli.backbones import weights
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.data.sources import source_names
from vireid_cli.engine.runtime import Runtime, seed_of
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError, UsageError
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe import load as recipes
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results.run import DAMAGED, RunFolder


@dataclass(frozen=True, slots=True)
class StartingWeights:
    """The trunk's weights that a training starts from.

    Attributes:
        state: Checked weights (see ``backbones.weights.resolve``); None: random.
        source: What was really used: ``imagenet``, a path, ``none``, or ``none (…)`` with the reason.
        identities: Hashes of the identities that the weights were trained on, where their file says so.
    """

    state: dict[str, Tensor] | None
    source: str
    identities: tuple[str, ...] = ()


def load_recipe(name: str, settings: tuple[str, ...] = ()) -> Recipe:
    """Read and check a recipe, its method's options included (see ``recipe.load.load``)."""
    return recipes.load(
        name, settings, options_of=methods.options_type, misfits=misfits, datasets=source_names()
    )


def run_recipe(run: RunFolder, *, checked: bool = True) -> Recipe:
    """The recipe that a run was trained by.

    Args:
        run: The run.
        checked: Its method's options, and what fits the method, are checked too.

    Raises:
        DataError: It is not there or is damaged.
    """
    if not run.recipe_file.is_file():
        raise DataError(f"{run.recipe_file} is not there.", DAMAGED)
    try:
        recipe = load_recipe(str(run.recipe_file)) if checked else recipes.load(str(run.recipe_file))
    except UsageError as error:
        raise DataError(error.message, DAMAGED) from error
    if "resize" in recipe.data.model_fields_set:
        return recipe
    # A run writes every key. One without this key was trained when bicubic was the only rule.
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"resize": "bicubic"})})


def misfits(recipe: Recipe) -> list[tuple[tuple[str, ...], str]]:
    """Keys of a recipe that don't fit its method, and why."""
    name = recipe.method.name
    return methods.fit_of(name).problems(name, recipe)


def starting_weights(recipe: Recipe, session: Session, rendered: bool) -> StartingWeights:
    """Resolve ``backbone.weights``.

    On the rendered benchmark a run goes on without ImageNet weights where they can be neither found
    nor fetched, and says so; on a real dataset that would be another experiment, so it stops.

    Raises:
        WeightsUnavailable: ImageNet weights can't be had and the dataset is real, or torch's cache holds
            another file under their name.
        DataError: The file of ``backbone.weights`` does not fit.
    """
    wanted = recipe.backbone
    used = wanted.weights
    try:
        state = weights.resolve(wanted.name, wanted.weights, wanted.width)
    except weights.WeightsUnavailable as error:
        if error.damaged or not rendered:
            raise
        session.reporter.warn(
            f"ImageNet weights of {wanted.name} can't be had here; on the rendered benchmark the run starts "
            "from scratch, which its fingerprint says. "
            + error.hint.splitlines()[0].removesuffix(", or")
            + "."
        )
        state, used = None, "none (imagenet unavailable)"
    if weights.lacks_hash(used):
        session.reporter.warn(f"{used} was written without a hash: damage to its numbers can't be noticed")
    return StartingWeights(state, used, weights.training_identities(used))


def build_network(
    recipe: Recipe, num_identities: int, runtime: Runtime, state: dict[str, Tensor] | None = None
) -> ReIdNetwork:
    """Build a recipe's network on the device, initialised from the recipe's seed alone.

    Args:
        recipe: Its method, backbone and seed are used; ``backbone.weights`` is not.
        num_identities: Width of the classifiers.
        runtime: Device.
        state: Weights of the trunk, from ``starting_weights``; None: random.
    """
    name, trunk = recipe.method.name, recipe.backbone
    options = methods.options_of(name, recipe.method.options)
    torch.manual_seed(seed_of(recipe.train.seed, "init"))
    spec = BackboneSpec(trunk.name, trunk.last_stride, state, trunk.width)
    network = methods.build(name, options, num_identities, spec)
    network.to(runtime.device)
    network.to(memory_format=torch.channels_last)
    return network
