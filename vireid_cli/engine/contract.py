"""The contract of ``ReIdNetwork`` as checks of a method, on a small batch and a narrow backbone.

The tests of this package and ``vireid methods check`` run the same checks. Each check raises
``AssertionError`` with the problem; any other exception is a failure of the method's code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vireid_cli import methods, plugins
from vireid_cli.backbones.fold import fold_batch_norms
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.engine.contract_batch import (
    CASE_IDENTITIES,
    images_of,
    randomise_statistics,
    reordered,
    small_batch,
    without_dropout,
)
from vireid_cli.engine.subjects.attention import attention_maps
from vireid_cli.methods import ReIdNetwork
from vireid_cli.recipe.descriptions import attributes
from vireid_cli.recipe.strict import Strict
from vireid_cli.types import Batch, Erasure, Modality, Size

WIDTH = 8
"""Channels after the stem of the narrow backbone."""

SIZE: Size = (64, 32)
"""Size of the images, unless the method takes one size only."""


@dataclass(frozen=True)
class Case:
    """A method with a batch.

    Attributes:
        name: Name of the method.
        batch: Its images; see ``small_batch``.
        build: Function that builds a new network with default options, always with the same weights.
    """

    name: str
    batch: Batch
    build: Callable[[], ReIdNetwork]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of one check.

    Attributes:
        promise: The checked part of the contract.
        problem: Description of the failure; empty if the check passed.
    """

    promise: str
    problem: str


def case_of(name: str) -> Case:
    """Return the case of a method with its default options.

    Raises:
        UsageError: No method has this name, or its module can't be imported.
    """
    fit = methods.fit_of(name)
    trunk = "resnet18" if "resnet18" in fit.backbones else fit.backbones[0]

    def build() -> ReIdNetwork:
        """Build the network; the weights depend on the seed only."""
        torch.manual_seed(5)
        spec = BackboneSpec(trunk, width=WIDTH)  # type: ignore[arg-type]  # the method names it
        return methods.build(name, methods.options_of(name, {}), CASE_IDENTITIES, spec)

    return Case(name, small_batch(fit.input or SIZE), build)


def check(name: str) -> list[CheckResult]:
    """Run all checks of a method; a failure does not stop the others.

    Raises:
        UsageError: No method has this name, or its module can't be imported.
    """
    case = case_of(name)
    return [CheckResult(promise, _problem(function, case)) for promise, function in CHECKS.items()]


def _problem(function: Callable[[Case], None], case: Case) -> str:
    """Run one check; returns the failure as text."""
    try:
        function(case)
    except AssertionError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return " ".join(lines[:3]) or "failed"
    except Exception as error:  # any error of the method's code
        plugin = methods.external().get(case.name)
        return plugins.failure(error, plugin) if plugin else f"{type(error).__name__}: {error}"
    return ""


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise AssertionError(problem)


def has_public_names(case: Case) -> None:
    """``Options`` is a ``Strict`` with defaults and described keys; ``build`` returns a network."""
    module = methods.load(case.name)
    for name in ("Options", "build"):
        _require(hasattr(module, name), f"the module does not define {name}")
    _require(
        isinstance(module.Options, type) and issubclass(module.Options, Strict), "Options is not a Strict"
    )
    bare = [key for key in module.Options.model_fields if not attributes(module.Options).get(key)]
    _require(not bare, f"the docstring of Options does not describe {', '.join(bare)} (Attributes:)")
    network = case.build()
    _require(isinstance(network, ReIdNetwork), f"build returns {type(network).__name__}, no ReIdNetwork")


def losses_reach_every_parameter(case: Case) -> None:
    """``losses`` returns finite scalars; each trainable parameter gets a finite gradient."""
    network = case.build().train()
    losses = network.losses(case.batch)
    _require(bool(losses), "losses returns no term")
    for term, value in losses.items():
        _require(value.shape == (), f"the loss {term} has the shape {tuple(value.shape)}, no scalar")
        _require(bool(value.isfinite()), f"the loss {term} is not finite")
    torch.stack(list(losses.values())).sum().backward()
    for key, parameter in network.named_parameters():
        if parameter.requires_grad:
            _require(parameter.grad is not None, f"no loss reaches the parameter {key}")
            gradient = parameter.grad if parameter.grad is not None else parameter
            _require(bool(gradient.isfinite().all()), f"the gradient of {key} is not finite")


def groups_hold_every_parameter(case: Case) -> None:
    """Each trainable parameter is in one group of ``parameter_groups``; one group is the backbone's."""
    network = case.build()
    groups = network.parameter_groups()
    grouped = [id(parameter) for group in groups for parameter in group.parameters]
    _require(len(set(grouped)) == len(grouped), "a parameter is in two groups")
    missing = [k for k, p in network.named_parameters() if p.requires_grad and id(p) not in grouped]
    _require(not missing, f"no group has {', '.join(missing[:3])}")
    names = [group.name for group in groups]
    _require(len(set(names)) == len(names), f"two groups have one name: {', '.join(names)}")
    _require(methods.BACKBONE in names, f"no group has the name {methods.BACKBONE}")


def embeds_one_modality_alone(case: Case) -> None:
    """``embed`` takes one modality: float32 rows of unit length that depend on their own image only."""
    network = randomise_statistics(case.build()).eval()
    for modality in Modality:
        images = images_of(case.batch, modality)
        with torch.no_grad():
            together = network.embed(images, modality)
            alone = torch.cat([network.embed(image.unsqueeze(0), modality) for image in images[:3]])
        _require(together.dtype == torch.float32, f"embed returns {together.dtype}, not float32")
        rows = together.shape[0]
        _require(rows == len(images), f"embed returns {rows} of {len(images)} rows")
        length = (together.norm(dim=1) - 1).abs().max()
        _require(bool(length <= 1e-5), f"rows of {modality.value} images do not have unit length")
        difference = (alone - together[:3]).abs().max()
        _require(
            bool(difference <= 1e-5), f"an embedding depends on the other images: {difference:.1e} apart"
        )
        _require(bool((together[0] - together[2]).abs().max() > 1e-4), "two people have one embedding")


def order_changes_no_loss(case: Case) -> None:
    """Losses do not depend on the order of the identities in a batch."""
    network = without_dropout(case.build()).train()
    order = torch.tensor([4, 0, 2, 6, 1, 7, 5, 3])  # interleaved; each identity's images stay in order
    before, after = network.losses(case.batch), network.losses(reordered(case.batch, order))
    _require_close(before, after, "depends on the order of identities")


def erased_pixels_do_not_matter(case: Case) -> None:
    """Erased pixels have no effect on the losses; the masks have one."""
    batch, network = case.batch, without_dropout(case.build()).train()
    assert batch.erase is not None
    everything = torch.ones_like(batch.erase.visible)
    erase = Erasure(everything, everything, (0.3, 0.3, 0.3), second=everything)
    first = dataclasses.replace(batch, erase=erase)
    views = {name: getattr(batch, name).flip(0) for name in ("visible", "infrared", "second")}
    second = dataclasses.replace(first, **views)
    _require_close(network.losses(first), network.losses(second), "depends on erased pixels")
    plain, struck = network.losses(dataclasses.replace(batch, erase=None)), network.losses(batch)
    change = max(abs(plain[term].item() - struck[term].item()) for term in plain)
    _require(change > 1e-4, "the masks of random erasing have no effect: use layers.pixels")


def loads_its_state(case: Case) -> None:
    """A network with the state of another computes equal bits."""
    network, other = randomise_statistics(case.build()).eval(), case.build().eval()
    state = {key: value.clone() for key, value in network.state_dict().items()}
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    other.load_state_dict(state)
    with torch.no_grad():
        for modality in Modality:
            images = case.batch.visible
            equal = torch.equal(other.embed(images, modality), network.embed(images, modality))
            _require(equal, "a loaded network has other embeddings: a value is outside of the state")


def folds(case: Case) -> None:
    """Batch norms folded into convolutions leave the embeddings unchanged, up to rounding."""
    network = randomise_statistics(case.build()).eval()
    folded = fold_batch_norms(network)
    with torch.no_grad():
        for modality in Modality:
            actual, expected = (net.embed(case.batch.visible, modality) for net in (folded, network))
            difference = (actual - expected).abs().max()
            _require(bool(difference < 1e-5), f"folded batch norms change embeddings by {difference:.1e}")


def trains_in_bf16(case: Case) -> None:
    """Under autocast to bf16 the losses are float32 and close to those in full precision."""
    network = without_dropout(case.build()).train()
    exact = network.losses(case.batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = network.losses(case.batch)
        embedding = network.eval().embed(case.batch.visible, Modality.VISIBLE)
    _require(embedding.dtype == torch.float32, f"embed returns {embedding.dtype} under bf16")
    for term, value in exact.items():
        _require(low[term].dtype == torch.float32, f"the loss {term} is {low[term].dtype} under bf16")
        gap = abs(low[term].item() - value.item())
        _require(gap <= max(0.15 * abs(value.item()), 0.1), f"the loss {term} changes by {gap:.2g} in bf16")


def has_attention_maps(case: Case) -> None:
    """Attention maps of both modalities are finite, differ between images, and have maximum 1."""
    network = fold_batch_norms(randomise_statistics(case.build()))
    for modality in Modality:
        images = images_of(case.batch, modality)[[0, 2]]
        maps = attention_maps(network, images, modality, steps=2)
        _require(maps.shape == (2, *images.shape[2:]), f"attention maps have the shape {tuple(maps.shape)}")
        _require(
            bool(maps.isfinite().all() and maps.min() >= 0), "attention maps are not finite, or negative"
        )
        torch.testing.assert_close(maps.amax((1, 2)), torch.ones(2))
        _require(bool((maps.std((1, 2)) > 0.01).all()), "an attention map is constant")
        _require(bool((maps[0] - maps[1]).abs().max() > 0.01), "two images have one attention map")


def exports(case: Case) -> None:
    """``torch.export`` captures ``embed`` for any number of images, without a Fourier transform."""
    network = case.build().eval()

    class Visible(nn.Module):
        """The network for one modality."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> Tensor:
            """Embed visible images."""
            return self.network.embed(images, Modality.VISIBLE)

    images = case.batch.visible
    sizes = ({0: torch.export.Dim.DYNAMIC},)  # any number; raises if the graph would fix it
    program = torch.export.export(Visible(), (images[:2],), dynamic_shapes=sizes)
    fourier = any("fft" in str(node.target) for node in program.graph.nodes)
    _require(not fourier, "the exported network has a Fourier transform: use frequency.fourier")
    with torch.no_grad():
        expected = network.embed(images, Modality.VISIBLE)
        torch.testing.assert_close(program.module()(images), expected, rtol=0, atol=1e-4)


CHECKS: dict[str, Callable[[Case], None]] = {
    "Options and build are valid": has_public_names,
    "losses are finite scalars that reach every parameter": losses_reach_every_parameter,
    "parameter_groups has every parameter once": groups_hold_every_parameter,
    "embed takes one modality and returns rows of unit length": embeds_one_modality_alone,
    "losses ignore the order of identities": order_changes_no_loss,
    "losses ignore erased pixels": erased_pixels_do_not_matter,
    "a saved and loaded network computes the same": loads_its_state,
    "batch norms can be folded": folds,
    "losses are stable in bf16": trains_in_bf16,
    "attention maps can be drawn": has_attention_maps,
    "the network can be exported": exports,
}
"""Checks by the part of the contract that they check, in their order."""


def _require_close(before: dict[str, Tensor], after: dict[str, Tensor], problem: str) -> None:
    _require(before.keys() == after.keys(), f"the terms differ: {list(before)} and {list(after)}")
    for term, value in before.items():
        close = torch.allclose(after[term], value, rtol=1e-4, atol=1e-4)
        _require(close, f"the loss {term} {problem}: {value.item():.6g} and {after[term].item():.6g}")
