"""The contract of a method, and methods by the names of their files.

A method is one file ``methods/<name>.py``, or a folder of that name, with three public names: ``Options``
(typed options), the network class, and ``build(options, num_identities, backbone)``. Adding a method changes
no other file: the file's name is the method's name, and the contract tests collect every file. A method
with requirements on the rest of the recipe defines a fourth name, ``FIT``. Methods outside of the package
have the same form; see ``vireid_cli.plugins``.

The network derives from ``ReIdNetwork``. Beyond the signatures, it guarantees:

* Images are RGB pixels in [0, 1]; the network normalises them.
* ``losses`` returns named, weighted scalars; the engine minimises their sum. A term of weight 0.0 is
  neither computed nor logged. Labels are compared for equality only. Identities may come in any order,
  also interleaved; a method may pair the k-th visible and the k-th infrared image of an identity.
* ``embed`` takes images of one modality and returns float32 rows of unit length. In eval mode the
  embedding of an image does not depend on the other images of its batch.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, ClassVar, cast

from pydantic import Field
from torch import Tensor, nn

from vireid_cli import plugins
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.errors import UsageError
from vireid_cli.layers.choice import Choice
from vireid_cli.plugins import Plugin
from vireid_cli.recipe.fit import Fit as Fit
from vireid_cli.recipe.strict import Number, Strict
from vireid_cli.recipe.strict import refuse_without_effect as refuse_without_effect
from vireid_cli.types import Batch, Modality

LOSS_FACTOR = "factor on a loss"
"""Mark of the options that are weights; see ``loss_factors``."""

Weight = Annotated[Number, Field(ge=0.0), LOSS_FACTOR]
"""Factor on a loss: its terms are proportional to it. One of weight 0.0 is neither computed nor logged."""

Margin = Annotated[Number, Field(ge=0.0)]
"""Margin or threshold in the unit of a distance."""

BACKBONE = "backbone"
"""Name of the parameter group on which the recipe's ``optimizer.backbone_scale`` acts."""

TrainingImages = Callable[[Modality], Iterator[Tensor]]
"""Function of a modality that yields its training images: batches (N, 3, H, W) of pixels, not augmented."""


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate and weight decay.

    Attributes:
        name: Name of the group in logs. ``optimizer.backbone_scale`` acts on the group named ``BACKBONE``.
        parameters: Trainable parameters. Each one of the network is in exactly one group.
        lr_scale: Factor on the recipe's learning rate.
        weight_decay: Whether the recipe's weight decay acts on the group.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    lr_scale: float = 1.0
    weight_decay: bool = True


class ReIdNetwork(nn.Module, ABC):
    """Base class of a method's network, and the interface that the engine uses.

    Attributes:
        calibrates_shares: Whether ``calibrate`` adds up its statistics over the ranks
            (``sharding.share.sum_over_ranks``). Each rank then receives a share of the images, otherwise all.
    """

    calibrates_shares: ClassVar[bool] = False

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return named, weighted scalars; the engine minimises their sum and logs each one."""

    @abstractmethod
    def embed(self, images: Tensor, modality: Choice) -> Tensor:
        """Embed (N, 3, H, W) pixels in [0, 1]: (N, D) float32 rows of unit length.

        ``modality`` is that of all images or, in an exported program, the code of each image's modality;
        ``layers.choice.choose`` computes a path for both forms.
        """

    def monitors(self) -> dict[str, Tensor]:
        """Return named scalars without gradient, of the parameters or of the last call of ``losses``.

        The engine logs them beside the losses and does not minimise them. The default is an empty dictionary.
        """
        return {}

    def calibrate(self, images: TrainingImages) -> None:
        """Compute statistics of the training images that ``embed`` needs, and store them in buffers.

        The engine calls this in eval mode, without gradients, before it saves or validates an epoch. The
        default does nothing.

        Args:
            images: Training images of each modality, in a fixed order; see ``calibrates_shares``.
        """

    @abstractmethod
    def parameter_groups(self) -> list[ParameterGroup]:
        """Return all trainable parameters, grouped by learning rate and weight decay."""


class GatheredNetwork(ReIdNetwork):
    """Network with losses on features of images that different processes may compute.

    ``losses`` is split in two. Several processes compute the features of a batch together, and gather them
    before the losses, which therefore see all pairs of the batch. A network that derives from ``ReIdNetwork``
    itself trains in one process only.
    """

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses of a batch in one process."""
        return self.losses_of(self.features(batch), batch.labels)

    @abstractmethod
    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Compute all that the losses need of the images.

        Rows may depend on each other through batch norms, and on rows of the same identity. Random numbers
        come from ``sharding.share.drawn``.

        Args:
            batch: Whole identities; all of the batch, or those of one process.

        Returns:
            Tensors by name, (k·B, …): rows of k views or modalities one after another.
        """

    @abstractmethod
    def losses_of(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Compute the named, weighted losses of the features of a whole batch.

        Args:
            features: Result of ``features``, with the rows of all processes.
            labels: (B,) identities of one modality's rows.
        """


def included() -> list[str]:
    """Names of the methods of this package in alphabetical order: its files and folders."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def available() -> list[str]:
    """Names of all methods in alphabetical order, those of plugins included."""
    return sorted({*included(), *external()})


def external() -> dict[str, Plugin]:
    """Methods of plugins by name. A method of this package precedes one of an installed package.

    Raises:
        UsageError: A method of ``--plugin`` has the name of another one.
    """
    known, methods = set(included()), plugins.plugins()
    for name in known & methods.keys():
        if not methods[name].package:
            raise UsageError(
                f"{methods[name].path}: {name} is a method of vireid.",
                "Rename the file, such as my_method.py.",
            )
    return {name: plugin for name, plugin in methods.items() if name not in known}


def load(name: str) -> ModuleType:
    """Import ``methods/<name>.py``, the folder of that name, or the module of a plugin.

    Raises:
        UsageError: No method has this name, or a plugin can't be imported. The message lists the closest
            name and all available ones.
    """
    names = available()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        guess = f"Did you mean '{near[0]}'? " if near else ""
        raise UsageError(f"method.name: unknown method '{name}'", f"{guess}Available: {', '.join(names)}")
    if name in (methods := external()):
        return plugins.load(methods[name])
    return importlib.import_module(f"{__name__}.{name}")


def fit_of(name: str) -> Fit:
    """Requirements of a method on the rest of the recipe. Raises ``UsageError`` for an unknown method."""
    return cast(Fit, getattr(load(name), "FIT", Fit()))


def options_type(name: str) -> type[Strict]:
    """The ``Options`` model of a method; the recipe's loader validates ``method.options`` with it.

    Raises:
        UsageError: No method has this name.
    """
    return cast(type[Strict], load(name).Options)


def options_of(name: str, options: Mapping[str, Any]) -> Strict:
    """Validate the options of a method and fill in the defaults.

    Args:
        name: Name of the method.
        options: Content of ``method.options`` in the recipe.

    Raises:
        UsageError: No method has this name.
        pydantic.ValidationError: An option is unknown, of the wrong type or out of range. The exception holds
            all errors; the recipe's loader turns them into messages.
    """
    return options_type(name).model_validate(dict(options))


def loss_factors(options: Strict) -> dict[tuple[str, ...], float]:
    """Weights of losses among a method's options: path of the option → value, also those of value 0."""
    factors: dict[tuple[str, ...], float] = {}
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        if isinstance(value, Strict):
            factors |= {(name, *path): weight for path, weight in loss_factors(value).items()}
        elif LOSS_FACTOR in field.metadata:
            factors[(name,)] = value
    return factors


def build(name: str, options: Strict, num_identities: int, backbone: BackboneSpec) -> ReIdNetwork:
    """Build the network of a method. Random weights are drawn from torch's global generator.

    Args:
        name: Name of the method.
        options: The method's ``Options``, as ``options_of`` returns them.
        num_identities: Number of training identities, the width of the classifiers.
        backbone: Specification of the trunk.
    """
    network: ReIdNetwork = load(name).build(options, num_identities, backbone)
    return network


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """Trainable parameters of a module, each one once."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
