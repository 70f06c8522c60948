"""Whether every loss term and every switch of a recipe acts, on a small rendered benchmark.

A recipe's method is trained for some steps on a narrow backbone, with the recipe's own augmentation. A term
acts if its value moves or its gradient is not negligible; a switch acts if a training with the value of
the extended recipe ends elsewhere. Both trainings take the same batches and start from the same weights
wherever they have the same ones, so that a switch without effect changes nothing at all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from vireid_cli import methods
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.prepare import ensure_prepared, render
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.data import training_data
from vireid_cli.engine.train.feed import Feed, Pixels
from vireid_cli.engine.train.loop import total_loss
from vireid_cli.engine.train.optimizer import build_optimizer
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe import load as recipes
from vireid_cli.recipe.schema import Data, Optimizer, Recipe, Sampler
from vireid_cli.recipe.strict import Strict
from vireid_cli.recipe.yaml_lines import read_source
from vireid_cli.rendered.options import RenderOptions
from vireid_cli.types import Batch, Modality

STEPS = 30
LEAST_GRADIENT = 1e-6
"""Of a term's gradient norm, relative to the largest of all terms."""
LEAST_CHANGE = 1e-3
"""Of a value that moves, and of a switch's effect on a loss or the embedding, relative."""

SIZE, WIDTH = (64, 32), 8
SAMPLER = Sampler(identities=4, images=2)
OPTIMIZER = Optimizer(name="adamw", lr=1e-3, backbone_scale=1.0, weight_decay=0.01, grad_clip=10.0)
RENDERED = RenderOptions(ids=12, images=1, size=SIZE)

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """A loss term over a short training.

    Attributes:
        name: As logged.
        start, end: Its weighted value on the first batch, before and after training.
        gradient: Largest ratio of its gradient norm to the largest of all terms, before and after training.
    """

    name: str
    start: float
    end: float
    gradient: float

    @property
    def acts(self) -> bool:
        """Whether it has a gradient or its value moves."""
        return self.gradient > LEAST_GRADIENT or _relative(self.start, self.end) > LEAST_CHANGE


@dataclass(frozen=True, slots=True)
class Switch:
    """A difference of a recipe's method options from those of the recipe that it extends.

    Attributes:
        keys: Dotted options that change together; one, where it can be taken back alone.
        losses: Largest relative difference of a common loss term.
        embedding: Relative difference of the embeddings; 1 if their widths differ.
    """

    keys: tuple[str, ...]
    losses: float
    embedding: float

    @property
    def acts(self) -> bool:
        """Whether losses or embedding differ."""
        return max(self.losses, self.embedding) > LEAST_CHANGE


@dataclass(frozen=True, slots=True)
class Activity:
    """The terms and switches of a recipe."""

    recipe: str
    terms: tuple[Term, ...]
    switches: tuple[Switch, ...]

    @property
    def idle(self) -> list[str]:
        """Terms and switches that do not act."""
        names = [term.name for term in self.terms if not term.acts]
        return names + [" ".join(switch.keys) for switch in self.switches if not switch.acts]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A short training's terms, its losses at the end and its embeddings of the first batch."""

    terms: tuple[Term, ...]
    embeddings: Tensor

    def differences(self, other: Outcome) -> tuple[float, float]:
        """Largest relative difference of a common term at the end, and of the embeddings."""
        own, ends = ({t.name: t.end for t in o.terms} for o in (self, other))
        losses = max((_relative(own[name], ends[name]) for name in own.keys() & ends.keys()), default=0.0)
        if self.embeddings.shape != other.embeddings.shape:
            return losses, 1.0
        gap = (self.embeddings - other.embeddings).norm() / self.embeddings.norm()
        return losses, float(gap)


class Laboratory:
    """Short trainings on one small rendered benchmark; equal ones are run once.

    Args:
        session: Device, listener and folders; the benchmark is in its data directory.
        steps: Steps of a training.
    """

    def __init__(self, session: Session, steps: int = STEPS) -> None:
        self.session, self.steps = session, steps
        self._outcomes: dict[tuple[str, str, str, str], Outcome] = {}
        self._batches: dict[str, list[Batch]] = {}

    def examine(self, recipe: Recipe, parent: Recipe | None = None) -> Activity:
        """Terms of a recipe, and switches in which it differs from the recipe that it extends."""
        name = recipe.method.name
        own = methods.options_of(name, recipe.method.options)
        same = parent is not None and parent.method.name == name
        root = methods.options_of(name, parent.method.options) if parent and same else own
        outcome = self._outcome(recipe, own, root)
        switches = tuple(self._switches(recipe, own, root, outcome)) if same else ()
        return Activity(recipe.name, outcome.terms, switches)

    def _switches(self, recipe: Recipe, own: Strict, root: Strict, outcome: Outcome) -> Iterable[Switch]:
        """Each differing option taken back alone; those that cannot be, all options together."""
        values, before = (flatten(options.model_dump()) for options in (own, root))
        together: list[str] = []
        keys = [key for key in values if values[key] != before.get(key)]
        for key in keys:
            name, other = ".".join(key), root
            if len(keys) > 1:
                try:
                    taken_back = nested({**values, key: before[key]})
                    other = methods.options_of(recipe.method.name, taken_back)
                except ValidationError:
                    together.append(name)
                    continue
            yield Switch((name,), *outcome.differences(self._outcome(recipe, other, root)))
        if together:
            yield Switch(tuple(together), *outcome.differences(self._outcome(recipe, root, root)))

    def _outcome(self, recipe: Recipe, options: Strict, root: Strict) -> Outcome:
        """Train options from the weights of ``root``'s network, as far as they have the same ones."""
        method, augment = recipe.method.name, recipe.data.augment.model_dump_json()
        key = (method, augment, options.model_dump_json(), root.model_dump_json())
        if key not in self._outcomes:
            batches = self.batches(recipe)
            network = self._network(method, options, root)
            self._outcomes[key] = train(network, batches, self.steps)
        return self._outcomes[key]

    def _network(self, method: str, options: Strict, root: Strict) -> ReIdNetwork:
        backbones = methods.fit_of(method).backbones
        name = "resnet18" if "resnet18" in backbones else backbones[0]
        spec = BackboneSpec(name, 1, None, WIDTH)  # type: ignore[arg-type]
        networks = []
        for chosen in (options, root):
            torch.manual_seed(0)
            networks.append(methods.build(method, chosen, RENDERED.ids, spec))
        own, start = networks[0].state_dict(), networks[1].state_dict()
        common = {key: value for key, value in start.items() if key in own and own[key].shape == value.shape}
        networks[0].load_state_dict(common, strict=False)
        return networks[0].to(self.session.runtime.device)

    def batches(self, recipe: Recipe) -> list[Batch]:
        """Batches of the small benchmark under the recipe's augmentation; the first is measured on."""
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


def train(network: ReIdNetwork, batches: Sequence[Batch], steps: int) -> Outcome:
    """Train for some steps and measure terms and embeddings on the first batch, before and after."""
    optimizer = build_optimizer(network.parameter_groups(), OPTIMIZER)
    before = _measured(network, batches[0])
    network.train()
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad(set_to_none=True)
        total_loss(network.losses(batches[step])).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), OPTIMIZER.grad_clip)
        optimizer.step()
    after = _measured(network, batches[0])
    terms = tuple(
        Term(name, before[name][0], after[name][0], max(before[name][1], after[name][1])) for name in before
    )
    return Outcome(terms, _embeddings(network, batches[0]))


def _measured(network: ReIdNetwork, batch: Batch) -> dict[str, tuple[float, float]]:
    """Value of each term on a batch, and its gradient norm over the largest of all terms."""
    torch.manual_seed(0)
    losses = network.train().losses(batch)
    parameters = methods.trainable(network)
    norms: dict[str, float] = {}
    for name, loss in losses.items():
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        norms[name] = float(torch.stack([g.norm() for g in gradients if g is not None]).norm())
    largest = max(norms.values())
    return {name: (loss.item(), norms[name] / largest) for name, loss in losses.items()}


@torch.no_grad()
def _embeddings(network: ReIdNetwork, batch: Batch) -> Tensor:
    """Embeddings of a batch, visible first, its erased pixels left in."""
    images = {Modality.VISIBLE: batch.visible, Modality.INFRARED: batch.infrared}
    network.eval().calibrate(lambda modality: iter([images[modality]]))
    found = [network.embed(pixels, modality) for modality, pixels in images.items()]
    network.train()
    return torch.cat(found)


def activity(session: Session, *, recipe: Sequence[str] = (), steps: int = STEPS) -> dict[str, Any]:
    """Activity of recipes, all shipped ones by default, on a benchmark that is rendered for it.

    Returns:
        ``recipes``: one mapping per recipe with its terms, switches and idle ones.
    """
    with tempfile.TemporaryDirectory() as folder:
        laboratory = prepared_laboratory(replace(session, data_dir=Path(folder)), steps)
        examined = [laboratory.examine(*with_parent(name)) for name in recipe or recipes.shipped()]
    return {"steps": steps, "recipes": [{**asdict(one), "idle": one.idle} for one in examined]}


def prepared_laboratory(session: Session, steps: int) -> Laboratory:
    """Render the benchmark into the session's data directory."""
    render(RENDERED, session, workers=1)
    return Laboratory(session, steps)


def with_parent(name: str | Path) -> tuple[Recipe, Recipe | None]:
    """A recipe, and the one that it extends."""
    path = recipes.find(str(name))
    extends = read_source(path).content.get("extends")
    if extends is None:
        return load_recipe(str(path)), None
    beside = path.parent / str(extends)
    return load_recipe(str(path)), load_recipe(str(beside if beside.is_file() else extends))


def flatten(values: Mapping[str, Any], prefix: Key = ()) -> dict[Key, Any]:
    """Nested mappings as one, keyed by path."""
    flat: dict[Key, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, (*prefix, key)) if isinstance(value, Mapping) else {(*prefix, key): value}
    return flat


def nested(flat: Mapping[Key, Any]) -> dict[str, Any]:
    """The inverse of ``flatten``."""
    values: dict[str, Any] = {}
    for key, value in flat.items():
        node = values
        for part in key[:-1]:
            node = node.setdefault(part, {})
        node[key[-1]] = value
    return values


def _relative(first: float, second: float) -> float:
    """|a − b| over the larger of both; 0 if both are 0."""
    return abs(first - second) / max(abs(first), abs(second), 1e-12)
