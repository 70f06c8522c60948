"""Requirements of a method on the rest of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vireid_cli.recipe.augmentation import ExchangeOptions
from vireid_cli.recipe.schema import Recipe
from vireid_cli.recipe.strict import Strict
from vireid_cli.types import Size

RESNETS = ("resnet18", "resnet34", "resnet50")

Setting = tuple[str, object]
"""Name of a method's option, and one of its values."""


@dataclass(frozen=True)
class Fit:
    """Requirements of a method on the rest of a recipe; a module overrides the defaults by the name ``FIT``.

    Attributes:
        backbones: Supported values of ``backbone.name``.
        second_view: Whether the method needs a second view of visible images, or the setting under which it
            does. A second view that it does not need is refused, because it would be ignored.
        exchange: Whether the method exchanges channels after normalising. For other methods the options of
            the exchange are refused, because they would be ignored.
        exchange_visible: Whether that includes the first view of visible images, or the setting under which
            it does.
        input: (height, width) in pixels if the network takes a single input size. Larger images are cropped
            to their centre when they are embedded.
        ends_early: Settings that, all together, end the trunk before the ResNet's last stage. Empty if the
            trunk always has its last stage.
        size_problem: Function of the method's options and an input size that returns why they are
            incompatible, or an empty string. None accepts every size.
    """

    backbones: tuple[str, ...] = RESNETS
    second_view: bool | Setting = False
    exchange: bool = False
    exchange_visible: bool | Setting = False
    input: Size | None = None
    ends_early: tuple[Setting, ...] = ()
    size_problem: Callable[[Strict, Size], str] | None = None

    def problems(self, name: str, options: Strict, recipe: Recipe) -> list[tuple[tuple[str, ...], str]]:
        """Return the keys of a recipe that do not fit the method, each with the reason.

        Args:
            name: Name of the method.
            options: Its options.
            recipe: The recipe.
        """
        problems: list[tuple[tuple[str, ...], str]] = []
        trunk, augment = recipe.backbone.name, recipe.data.augment
        if trunk not in self.backbones:
            text = f"method {name} is not built on {trunk}. Choose: {', '.join(self.backbones)}."
            problems.append((("backbone", "name"), text))
        problems += self._views(name, options, augment.second_view)
        if self.ends_early and recipe.backbone.last_stride != 1 and _hold(options, *self.ends_early):
            text = f"method {name} has no layer4 with {_shown(self.ends_early)}: remove this key."
            problems.append((("backbone", "last_stride"), text))
        if augment.exchange != ExchangeOptions() and not self.exchange:
            text = f"method {name} exchanges no channels after normalising: remove this key."
            problems.append((("data", "augment", "exchange"), text))
        elif augment.exchange.visible:
            problems += self._first_view(name, options)
        size = augment.crop or recipe.data.image_size
        if self.input is not None and size != self.input:
            text = f"method {name} takes {list(self.input)} after data.augment.crop, not {list(size)}."
            problems.append((("data", "size"), text))
        if self.size_problem is not None and (text := self.size_problem(options, size)):
            problems.append((("data", "size"), f"method {name}: {text}"))
        return problems

    def _views(self, name: str, options: Strict, value: bool) -> list[tuple[tuple[str, ...], str]]:
        """Return the problem of ``data.augment.second_view``, or an empty list."""
        needed, by = _applies(options, self.second_view)
        if value == needed:
            return []
        needs = "needs a second view" if needed else "uses no second view"
        text = f"method {name} {needs} of visible images{by}: set {str(needed).lower()}."
        return [(("data", "augment", "second_view"), text)]

    def _first_view(self, name: str, options: Strict) -> list[tuple[tuple[str, ...], str]]:
        """Return the problem of a positive ``data.augment.exchange.visible``, or an empty list."""
        allowed, by = _applies(options, self.exchange_visible)
        if allowed:
            return []
        text = f"method {name} keeps the colours of the first view{by}: set 0."
        return [(("data", "augment", "exchange", "visible"), text)]


def _applies(options: Strict, condition: bool | Setting) -> tuple[bool, str]:
    """Whether a condition on the options holds, and the option that decides it as text for a message."""
    if isinstance(condition, bool):
        return condition, ""
    key = condition[0]
    return _hold(options, condition), f" with {_shown([(key, getattr(options, key))])}"


def _hold(options: Strict, *settings: Setting) -> bool:
    """Whether the options have all values of ``settings``."""
    return all(getattr(options, key) == value for key, value in settings)


def _shown(settings: Sequence[Setting]) -> str:
    """Settings as text, such as ``method.options.last layer3``, joined by "and"."""
    return " and ".join(f"method.options.{key} {value}" for key, value in settings)
