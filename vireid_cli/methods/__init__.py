"""The contract of a method, and methods by the names of their files.

A method is one file ``methods/<name>.py`` with three public names: ``Options`` (its typed knobs), the
network class, and ``build(options, num_identities, backbone)``. Nothing else has to be touched: the
file's name is the method's name, and the contract tests find it by themselves. A method that asks more
of the rest of the recipe than others says so by a fourth name, ``FIT``.

The network derives from ``ReIdNetwork`` and promises, beyond the signatures:

* Images cross as plain pixels in [0, 1], RGB; the network normalises them itself.
* ``losses`` returns named, weighted scalars whose sum is minimised; a weight of 0.0 means that the term
  is neither computed nor logged. Labels matter by equality only, and identities may come in any order,
  also interleaved; the k-th visible and the k-th infrared image of an identity may be taken as a pair.
* ``embed`` needs one modality alone, gives rows of unit length in float32, and in eval mode an image's
  embedding doesn't depend on the others in its batch.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, cast

from pydantic import Field
from torch import Tensor, nn

from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.errors import UsageError
from vireid_cli.recipe.augmentation import ExchangeOptions
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.strict import Number, Strict
from vireid_cli.recipe.strict import refuse_idle as refuse_idle
from vireid_cli.types import Batch, Modality, Size

Weight = Annotated[Number, Field(ge=0.0)]
"""Factor on a loss, or a margin; a weight of 0.0: the term is neither computed nor logged."""

BACKBONE = "backbone"
"""Name of the parameter group on which the recipe's ``optimizer.backbone_scale`` acts."""


RESNETS = ("resnet18", "resnet34", "resnet50")

TrainingImages = Callable[[Modality], Iterator[Tensor]]
"""From a modality to batches (N, 3, H, W) of all its training images as pixels, without augmentation."""

Setting = tuple[str, object]
"""A method's option and a value of it."""


@dataclass(frozen=True)
class Fit:
    """What the rest of a recipe must be for a method; a module says so by the name ``FIT`` if it differs.

    Attributes:
        backbones: ``backbone.name`` that it can be built on.
        second_view: Whether it needs a second view of visible images, or under which option; it would not
            see one that it doesn't need.
        exchange: Whether it exchanges channels after normalising; others would leave them.
        input: (height, width) that its network takes, if it takes one only; what is larger when embedding
            is cropped to its centre.
        ends_early: Options under which, all of them together, its trunk ends before the ResNet's last stage;
            none: it never does.
        size_problem: From the method's options and an input size to the reason why they do not fit each
            other, empty where they do; None: every size fits.
    """

    backbones: tuple[str, ...] = RESNETS
    second_view: bool | Setting = False
    exchange: bool = False
    input: Size | None = None
    ends_early: tuple[Setting, ...] = ()
    size_problem: Callable[[Strict, Size], str] | None = None

    def problems(self, name: str, recipe: Recipe) -> list[tuple[tuple[str, ...], str]]:
        """Keys of a recipe that don't fit the method ``name``, and why."""
        found: list[tuple[tuple[str, ...], str]] = []
        trunk, augment = recipe.backbone.name, recipe.data.augment
        if trunk not in self.backbones:
            text = f"method {name} is not built on {trunk}. Choose: {', '.join(self.backbones)}."
            found.append((("backbone", "name"), text))
        options = options_of(name, recipe.method.options)
        found += self._views(name, options, augment.second_view)
        if self.ends_early and recipe.backbone.last_stride != 1 and _hold(options, *self.ends_early):
            text = f"method {name} has no layer4 with {_shown(self.ends_early)}: leave out."
            found.append((("backbone", "last_stride"), text))
        if augment.exchange != ExchangeOptions() and not self.exchange:
            text = f"method {name} exchanges no channels after normalising: leave it out."
            found.append((("data", "augment", "exchange"), text))
        size = augment.crop or recipe.data.image_size
        if self.input is not None and size != self.input:
            text = f"method {name} takes {list(self.input)} after data.augment.crop, not {list(size)}."
            found.append((("data", "size"), text))
        if self.size_problem is not None and (text := self.size_problem(options, size)):
            found.append((("data", "size"), f"method {name}: {text}"))
        return found

    def _views(self, name: str, options: Strict, given: bool) -> list[tuple[tuple[str, ...], str]]:
        """What is wrong with ``data.augment.second_view``, if anything is."""
        by, needed = "", self.second_view
        if isinstance(needed, tuple):
            by = f" with {_shown([(needed[0], getattr(options, needed[0]))])}"
            needed = _hold(options, needed)
        if given == needed:
            return []
        needs = "needs a second view" if needed else "uses no second view"
        text = f"method {name} {needs} of visible images{by}: say {str(needed).lower()}."
        return [(("data", "augment", "second_view"), text)]


def _hold(options: Strict, *settings: Setting) -> bool:
    """Whether the options have all these values."""
    return all(getattr(options, key) == value for key, value in settings)


def _shown(settings: Sequence[Setting]) -> str:
    """``method.options.last layer3``, joined by "and"."""
    return " and ".join(f"method.options.{key} {value}" for key, value in settings)


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that learn alike.

    Attributes:
        name: As logged. The group named ``BACKBONE`` also gets ``optimizer.backbone_scale``.
        parameters: Each trainable parameter of the network is in exactly one group.
        lr_scale: Factor on the recipe's learning rate.
        weight_decay: Whether the recipe's weight decay acts on it.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    lr_scale: float = 1.0
    weight_decay: bool = True


class ReIdNetwork(nn.Module, ABC):
    """The network of a method: all that the engine uses of it."""

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Named, weighted scalars; the engine minimises their sum and logs each."""

    @abstractmethod
    def embed(self, images: Tensor, modality: Modality) -> Tensor:
        """(N, 3, H, W) pixels in [0, 1] of one modality → (N, D) float32 of unit length."""

    def monitors(self) -> dict[str, Tensor]:
        """Named scalars of the parameters or of the last call of ``losses``, without gradient; default: none.

        The engine logs them beside the losses and minimises none of them.
        """
        return {}

    def calibrate(self, images: TrainingImages) -> None:
        """Compute what ``embed`` needs of the training images and keep it in buffers; default: nothing.

        The engine calls it in eval mode, without gradients, before it saves or validates an epoch.

        Args:
            images: The training images of a modality, in an order that does not change.
        """

    @abstractmethod
    def parameter_groups(self) -> list[ParameterGroup]:
        """All trainable parameters, grouped by how they learn."""


def available() -> list[str]:
    """Names of all methods: this package's files (a long one's folder), in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> ModuleType:
    """The module ``methods/<name>.py``, or the folder of that name where one file would be too long.

    Raises:
        UsageError: There is no such file; names the nearest ones and all that there are.
    """
    names = available()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        guess = f"Did you mean '{near[0]}'? " if near else ""
        raise UsageError(f"method.name: there is no method '{name}'", f"{guess}Available: {', '.join(names)}")
    return importlib.import_module(f"{__name__}.{name}")


def fit_of(name: str) -> Fit:
    """What a method asks of the rest of the recipe. Raises ``UsageError`` if there is no such method."""
    return cast(Fit, getattr(load(name), "FIT", Fit()))


def options_type(name: str) -> type[Strict]:
    """A method's ``Options`` model; what the recipe's loader checks ``method.options`` against.

    Raises:
        UsageError: There is no such method.
    """
    return cast(type[Strict], load(name).Options)


def options_of(name: str, options: Mapping[str, Any]) -> Strict:
    """A method's typed options, defaults filled in.

    Args:
        name: The method.
        options: As written in the recipe under ``method.options``.

    Raises:
        UsageError: There is no such method.
        pydantic.ValidationError: An option is unknown, of the wrong type or out of range; all of them
            at once, for the recipe's loader to explain.
    """
    return options_type(name).model_validate(dict(options))


def build(name: str, options: Strict, num_identities: int, backbone: BackboneSpec) -> ReIdNetwork:
    """The network of a method; random weights are drawn from torch's global generator.

    Args:
        name: The method.
        options: Its ``Options``, from ``options_of``.
        num_identities: Training identities: width of the classifiers.
        backbone: The trunk.
    """
    network: ReIdNetwork = load(name).build(options, num_identities, backbone)
    return network


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """Parameters of a module that learn, each once."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
