"""Recipes with their methods' options, starting weights of the trunk, and construction of networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vireid_cli import methods
from vireid_cli.backbones import weights
from vireid_cli.backbones.shipped import SHIPPED, find_trunk
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.dataset_names import source_names
from vireid_cli.engine.plugin_record import require_plugin
from vireid_cli.engine.runtime import Runtime, seed_of
from vireid_cli.engine.session import Session
from vireid_cli.errors import DataError, UsageError
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe import load as recipes
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results.run import DAMAGED, RunFolder


@dataclass(frozen=True, slots=True)
class StartingWeights:
    """Starting weights of a trunk.

    Attributes:
        state: Checked weights (see ``backbones.weights.resolve``); None: random.
        source: Actual source: ``imagenet``, a path, ``rendered (…)`` with hash and training data, ``none``,
            or ``none (…)`` with the reason.
        identities: Hashes of the training identities of the weights; empty if their file records none.
    """

    state: dict[str, Tensor] | None
    source: str
    identities: tuple[str, ...] = ()


def load_recipe(name: str, settings: tuple[str, ...] = ()) -> Recipe:
    """Load and validate a recipe, including its method's options (see ``recipe.load.load``)."""
    return recipes.load(
        name, settings, options_of=methods.options_type, misfits=misfits, datasets=source_names()
    )


def resolve_recipe(recipe: str | Path | Recipe, settings: Sequence[str] = ()) -> Recipe:
    """Return a loaded recipe, or load one by its name or path.

    Args:
        recipe: Name of a shipped recipe, path of a recipe file, or a recipe.
        settings: ``KEY=VALUE``, as for ``--set`` on the command line.

    Raises:
        UsageError: The recipe is wrong, or a loaded recipe is combined with settings.
    """
    if not isinstance(recipe, Recipe):
        return load_recipe(str(recipe), tuple(settings))
    if settings:
        raise UsageError(f"A loaded recipe accepts no settings ({', '.join(settings)}): pass its name.")
    return recipe


def run_recipe(run: RunFolder, *, checked: bool = True) -> Recipe:
    """Load the recipe of a run.

    Args:
        run: The run.
        checked: Also validate its method's options, and the keys that must fit the method.

    Raises:
        DataError: The file is missing or damaged.
        UsageError: The method is a plugin that is not loaded.
    """
    if not run.recipe_file.is_file():
        raise DataError(f"{run.recipe_file} is missing.", DAMAGED)
    try:
        recipe = load_recipe(str(run.recipe_file)) if checked else recipes.load(str(run.recipe_file))
    except UsageError as error:
        require_plugin(run)
        raise DataError(error.message, DAMAGED) from error
    if "resize" in recipe.data.model_fields_set:
        return recipe
    # Runs write every key. A recipe without this one is from a time when bicubic was the only rule.
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"resize": "bicubic"})})


def misfits(recipe: Recipe) -> list[tuple[tuple[str, ...], str]]:
    """Keys of a recipe that do not fit its method or the shipped trunks, each with the reason."""
    name, trunk = recipe.method.name, recipe.backbone
    options = methods.options_of(name, recipe.method.options)
    problems = methods.fit_of(name).problems(name, options, recipe)
    if trunk.weights == SHIPPED:
        try:
            find_trunk(trunk.name, trunk.width)
        except UsageError as error:
            text = f"{error.message.removeprefix('backbone.weights: ')} {error.hint.splitlines()[0]}"
            problems.append((("backbone", "weights"), text.rstrip(":") + " (vireid export backbone)."))
    return problems


def starting_weights(recipe: Recipe, session: Session, rendered: bool) -> StartingWeights:
    """Load the weights that ``backbone.weights`` names.

    If ImageNet weights are neither cached nor downloadable, a run on the rendered benchmark starts from
    random weights, with a warning. On a real dataset that would be another experiment: an error.

    Args:
        recipe: Its section ``backbone`` is used.
        session: Its reporter receives the warnings.
        rendered: Whether the training data are rendered.

    Raises:
        WeightsUnavailable: ImageNet weights are not available and the dataset is real, or torch's cache
            holds a damaged file.
        UsageError: The file of ``backbone.weights`` does not fit.
        DataError: The shipped trunk is damaged.
    """
    trunk = recipe.backbone
    source = trunk.weights
    try:
        state = weights.resolve(trunk.name, trunk.weights, trunk.width)
    except weights.WeightsUnavailable as error:
        if error.damaged or not rendered:
            raise
        session.reporter.warn(
            f"ImageNet weights of {trunk.name} are not available; training on the rendered benchmark starts "
            "from random weights, and the run's fingerprint records that. "
            + error.hint.splitlines()[0].removesuffix(", or")
            + "."
        )
        state, source = None, "none (imagenet unavailable)"
    if source == SHIPPED:
        source = weights.describe_shipped(trunk.name, trunk.width)
    file = weights.weights_file(trunk.name, trunk.weights, trunk.width)
    if file is None:
        return StartingWeights(state, source)
    if weights.lacks_hash(file):
        session.reporter.warn(f"{source} has no hash: damage to its numbers can't be detected")
    return StartingWeights(state, source, weights.training_identities(file))


def build_network(
    recipe: Recipe, num_identities: int, runtime: Runtime, state: dict[str, Tensor] | None = None
) -> ReIdNetwork:
    """Build a recipe's network on the device; the initial values depend only on the recipe's seed.

    Args:
        recipe: Its method, backbone and seed are used; ``backbone.weights`` is ignored.
        num_identities: Number of outputs of the classifiers.
        runtime: Its device receives the network.
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
