"""Check that every loss term and every switch of a recipe has an effect, on a small rendered benchmark.

The method is trained for a few steps on a narrow backbone, with the augmentation of the recipe. A term has an
effect if its gradient is not negligible. A weight has an effect if it is the factor on some terms and on
nothing else, which detects terms that are missing, constant or scaled by another number. A switch has an
effect if its value and the extended recipe's lead to different results. Both trainings use the same batches
and, for tensors of the same name and shape, the same initial weights, so that a switch without effect has
equal results.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from vireid_cli import methods
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.bench.activity_training import narrow_backbone, small_options, term_values, train
from vireid_cli.bench.activity_values import (
    Activity,
    Factor,
    ShortTraining,
    Switch,
    flatten,
    nested,
)
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.prepare import ensure_prepared, render
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.data import training_data
from vireid_cli.engine.train.feed import Feed, Pixels
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe import load as recipes
from vireid_cli.recipe.schema import Data, Recipe, Sampler
from vireid_cli.recipe.strict import Strict
from vireid_cli.recipe.yaml_reader import read_source
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.types import Batch

STEPS = 30
SIZE = (64, 32)
SAMPLER = Sampler(identities=4, images=2)
BENCHMARK = RenderOptions(ids=12, images=1, size=SIZE)


class Laboratory:
    """Short trainings on a small rendered benchmark; results of equal trainings are cached.

    Args:
        session: Session; its data directory contains the benchmark.
        steps: Number of steps per training.
        thorough: Whether to measure all gradients and weights and to revert each switch of every recipe.
            Otherwise gradients and weights are measured for recipes that extend none of their method and for
            recipes that add a term, and a switch is reverted in the first recipe that sets it.
    """

    def __init__(self, session: Session, steps: int = STEPS, *, thorough: bool = True) -> None:
        self.session, self.steps, self.thorough = session, steps, thorough
        self._outcomes: dict[tuple[str, ...], ShortTraining] = {}
        self._batches: dict[str, list[Batch]] = {}
        self._starts: dict[tuple[str, str], dict[str, Tensor]] = {}
        self._reverted: set[tuple[str, str, str]] = set()

    def examine(self, recipe: Recipe, parent: Recipe | None = None) -> Activity:
        """Measure the loss terms and weights of a recipe, and its switches.

        Switches are the differences to the extended recipe. A recipe that extends none of its method is
        compared with the defaults of the method.
        """
        name = recipe.method.name
        own = small_options(name, recipe.method.options)
        derived = parent is not None and parent.method.name == name
        root = small_options(name, parent.method.options if parent and derived else {})
        thorough = self.thorough or not derived or _adds_a_term(own, root)
        outcome = self._outcome(recipe, own, root, thorough=thorough)
        switches = tuple(self._switches(recipe, own, root, outcome))
        factors = tuple(self._factors(recipe, own, root)) if thorough else ()
        return Activity(recipe.name, outcome.terms, switches, factors)

    def _factors(self, recipe: Recipe, own: Strict, root: Strict) -> Iterable[Factor]:
        """Double each weight above 0 and compare the terms of the first batch."""
        method, batch = recipe.method.name, self.batches(recipe)[0]
        values = flatten(own.model_dump())
        before = term_values(self._network(method, own, root), batch)
        for path, weight in methods.loss_factors(own).items():
            try:
                doubled = methods.options_of(method, nested({**values, path: 2.0 * weight}))
            except ValidationError:  # the loss of this weight is off
                continue
            if weight:
                after = term_values(self._network(method, doubled, root), batch)
                yield Factor.of(".".join(path), before, after)

    def _switches(
        self, recipe: Recipe, own: Strict, root: Strict, outcome: ShortTraining
    ) -> Iterable[Switch]:
        """Revert each differing option separately, and options without a valid separate value together."""
        method, together = recipe.method.name, []
        values, before = (flatten(options.model_dump()) for options in (own, root))
        for key in values:
            name = ".".join(key)
            if values[key] == before.get(key) or self._known(method, name, values[key], before.get(key)):
                continue
            try:
                other = methods.options_of(method, nested({**values, key: before[key]}))
            except ValidationError:
                together.append(name)
                continue
            yield Switch((name,), *outcome.differences(self._outcome(recipe, other, root)))
        if together:
            yield Switch(tuple(together), *outcome.differences(self._outcome(recipe, root, root)))

    def _known(self, method: str, name: str, value: object, other: object) -> bool:
        """Whether the switch of an earlier recipe is sufficient for this one."""
        key = (method, name, f"{value} {other}")
        known = not self.thorough and key in self._reverted
        self._reverted.add(key)
        return known

    def _outcome(
        self, recipe: Recipe, options: Strict, root: Strict, *, thorough: bool = False
    ) -> ShortTraining:
        """Train with the given options, from the initial weights of ``root``'s network."""
        method, augment = recipe.method.name, recipe.data.augment.model_dump_json()
        key = (method, augment, options.model_dump_json(), root.model_dump_json(), str(thorough))
        if key not in self._outcomes:
            batches = self.batches(recipe)
            network = self._network(method, options, root)
            self._outcomes[key] = train(network, batches, self.steps, thorough=thorough)
        return self._outcomes[key]

    def _network(self, method: str, options: Strict, root: Strict) -> ReIdNetwork:
        spec = narrow_backbone(method)
        network = self._built(method, options, spec)
        key = (method, root.model_dump_json())
        if key not in self._starts:
            state = self._built(method, root, spec).state_dict()
            self._starts[key] = {name: value.clone() for name, value in state.items()}
        own = {name: value.shape for name, value in network.state_dict().items()}
        start = {n: v for n, v in self._starts[key].items() if own.get(n) == v.shape}
        if len(start) < len(own):  # networks of equal structure have equal weights already
            network.load_state_dict(start, strict=False)
        return network.to(self.session.runtime.device)

    def _built(self, method: str, options: Strict, spec: BackboneSpec) -> ReIdNetwork:
        torch.manual_seed(0)
        return methods.build(method, options, BENCHMARK.ids, spec)

    def batches(self, recipe: Recipe) -> list[Batch]:
        """Batches of the small benchmark with the recipe's augmentation; losses are measured on the first."""
        augment = recipe.data.augment
        key = augment.model_dump_json()
        if key not in self._batches:
            size = SIZE if augment.crop is None else recipe.data.image_size
            pad = augment.model_copy(update={"pad": min(augment.pad, 2)})
            data = Data(dataset="sysu", split="trainval", size=size, sampler=SAMPLER, augment=pad)
            small = Recipe(name="small", data=data)
            store = ensure_prepared("sysu", self.session, size, data.resize)
            training, runtime = training_data(small, store), self.session.runtime
            pixels = Pixels(store, size, training.rows, runtime)
            feed = Feed(pixels, training.rows, store.records.camids, pad, 0, runtime)
            self._batches[key] = []
            for epoch in range(self.steps + 1):
                plan = training.sampler.plan(epoch)
                self._batches[key] += [feed.batch(plan, epoch, step) for step in range(len(plan.labels))]
                if len(self._batches[key]) > self.steps:
                    break
        return self._batches[key]


def _adds_a_term(own: Strict, root: Strict) -> bool:
    """Whether a weight is 0 in ``root`` and above 0 in ``own``."""
    usual = methods.loss_factors(root)
    return any(weight and not usual[path] for path, weight in methods.loss_factors(own).items())


def activity(session: Session, *, recipe: Sequence[str] = (), steps: int = STEPS) -> dict[str, Any]:
    """Measure the activity of recipes on a small benchmark that this function renders.

    Args:
        session: Session with the device.
        recipe: Names or paths of recipes; all shipped ones by default.
        steps: Number of steps per training.

    Returns:
        ``recipes``: one mapping per recipe with its terms, weights, switches, and the names without effect.

    Raises:
        UsageError: A recipe does not exist or is invalid.
    """
    names = list(recipe) or [str(path) for path in recipes.shipped()]
    pairs = [with_parent(name) for name in names]  # raises for invalid recipes before rendering
    activities = []
    with tempfile.TemporaryDirectory() as folder:
        laboratory = prepared_laboratory(replace(session, data_dir=Path(folder)), steps)
        for number, pair in enumerate(pairs):
            session.reporter.advance("examining", number, len(pairs), {"recipe": pair[0].name})
            activities.append(laboratory.examine(*pair))
    return {"steps": steps, "recipes": [{**asdict(one), "idle": one.idle} for one in activities]}


def prepared_laboratory(session: Session, steps: int) -> Laboratory:
    """Render the benchmark into the session's data directory, and return a ``Laboratory``."""
    render(BENCHMARK, session, workers=1)
    return Laboratory(session, steps)


def with_parent(name: str | Path) -> tuple[Recipe, Recipe | None]:
    """Load a recipe and the recipe that it extends, if any."""
    path = recipes.find(str(name))
    extends = read_source(path).content.get("extends")
    if extends is None:
        return load_recipe(str(path)), None
    beside = path.parent / str(extends)
    return load_recipe(str(path)), load_recipe(str(beside if beside.is_file() else extends))
