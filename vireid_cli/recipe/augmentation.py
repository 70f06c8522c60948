"""Recipe section of augmentation; ``data.augment`` draws and applies it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from vireid_cli.recipe.strict import (
    SIZE_FORM,
    Number,
    Probability,
    Range,
    Strict,
    as_tuple,
    refuse_without_effect,
)

AspectLaw = Literal["uniform", "log_uniform"]
CropSide = Annotated[int, Field(ge=16, le=1024)]


class Erase(Strict):
    """Random erasing (docs/methods.md#caj): one rectangle per image; the method receives it as a mask.

    Attributes:
        probability: Probability that an image is erased.
        infrared_probability: Probability for infrared images; None for ``probability``.
        area: Share of the image's area, (low, high).
        aspect: Height over width, (low, high).
        aspect_law: ``uniform`` draws the aspect uniformly, as CAJ's code does; ``log_uniform`` draws its
            logarithm uniformly, as torchvision does, so that tall and wide rectangles are equally likely.
        fill: RGB value of erased pixels.
        normalised: Whether ``fill`` is written after normalising by mean and standard deviation; otherwise
            it is a pixel value in [0, 1].
    """

    probability: Probability = 0.0
    infrared_probability: Probability | None = None
    area: Range = (0.02, 0.4)
    aspect: Range = (0.3, 3.3333)
    aspect_law: AspectLaw = "uniform"
    fill: Annotated[tuple[Number, Number, Number], BeforeValidator(as_tuple)] = (0.4914, 0.4822, 0.4465)
    normalised: bool = False

    @model_validator(mode="after")
    def _check_keys(self) -> Erase:
        idle = ("area", "aspect", "aspect_law", "fill", "normalised")
        refuse_without_effect(self, (not self.enabled, "probability is 0", idle))
        return self

    @property
    def enabled(self) -> bool:
        """Whether a probability is above 0."""
        return bool(self.probability or self.infrared_probability)

    def chance(self, infrared: bool) -> float:
        """Return the probability that an image of one modality is erased."""
        other = self.infrared_probability
        return other if infrared and other is not None else self.probability


class ExchangeOptions(Strict):
    """Channel exchange after normalising and erasing (CAJ); the method receives channel weights.

    Attributes:
        visible: Probability that one uniformly chosen channel of the first view replaces all three; for
            methods with one view (in CAJ, which has two, it keeps its colours).
        second: The same probability for the second view.
        infrared: The same probability for infrared images (3/4 in CAJ).
        infrared_grey: Probability that the luminance of an infrared image replaces all three channels, if
            they are not exchanged (1/2 in CAJ).
    """

    visible: Probability = 0.0
    second: Probability = 0.0
    infrared: Probability = 0.0
    infrared_grey: Probability = 0.0

    @model_validator(mode="after")
    def _check_keys(self) -> ExchangeOptions:
        refuse_without_effect(self, (self.infrared == 1.0, "infrared is 1", ("infrared_grey",)))
        return self


class Augment(Strict):
    """Batched augmentation of both modalities, unless a key names one.

    Attributes:
        pad: Width of the border before the random crop, in pixels; 0 for none.
        crop: HEIGHTxWIDTH of the random crop; None for the size of the prepared images.
        pad_value: Grey level of the border, 0..255.
        flip: Probability of a horizontal flip.
        visible_grey: Probability that the luminance of a visible image replaces all three channels.
        infrared_grey: The same probability for infrared images.
        channel_exchange: Probability that one uniformly chosen channel of a visible image replaces all
            three, before normalising and erasing. CAJ's exchange follows them: ``exchange``.
        linear: Probability of random linear: in a random rectangle, each channel is scaled to maximum 1 and
            multiplied by a Beta(0.5, 0.5) number (SEPG's release).
        linear_area: Share of the image's area of that rectangle, (low, high).
        linear_repeat: Whether to draw further rectangles until the product of the gains is below 0.01 in
            some pixel, as SEPG's release does: 3.2 rectangles and 43 % of the pixels on average.
        erase: Random erasing.
        second_view: Whether to augment each visible image a second time with independent draws. Of the
            colour changes, only ``exchange.second`` applies to this view.
        exchange: Channel exchange after normalising and erasing.
    """

    pad: Annotated[int, Field(ge=0, le=128)] = 10
    crop: Annotated[tuple[CropSide, CropSide], *SIZE_FORM] | None = None
    pad_value: Annotated[int, Field(ge=0, le=255)] = 0
    flip: Probability = 0.5
    visible_grey: Probability = 0.0
    infrared_grey: Probability = 0.0
    channel_exchange: Probability = 0.0
    linear: Probability = 0.0
    linear_area: Range = (0.02, 0.4)
    linear_repeat: bool = False
    erase: Erase = Erase()
    second_view: bool = False
    exchange: ExchangeOptions = ExchangeOptions()

    @model_validator(mode="after")
    def _check_keys(self) -> Augment:
        if self.exchange.second and not self.second_view:
            raise ValueError("exchange.second needs the second view: set second_view: true")
        refuse_without_effect(
            self,
            (not self.pad, "pad is 0", ("pad_value",)),
            (not self.linear, "linear is 0", ("linear_area", "linear_repeat")),
            (self.visible_grey == 1.0, "visible_grey is 1", ("channel_exchange",)),
        )
        return self
