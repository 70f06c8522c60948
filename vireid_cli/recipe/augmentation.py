"""Augmentation as a recipe's section; ``data.augment`` draws and applies it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from vireid_cli.recipe.strict import Number, Probability, Range, Strict, as_tuple, refuse_idle

CropSide = Annotated[int, Field(ge=16, le=1024)]


class Erase(Strict):
    """Random erasing (docs/methods.md#caj): one rectangle an image, handed to the method as a mask.

    Attributes:
        probability: That an image is struck.
        infrared_probability: That an infrared image is struck, where it is another; None: ``probability``.
        area: Share of the image's area that the rectangle covers, (low, high).
        aspect: Height over width, (low, high), drawn uniformly.
        fill: RGB value that is written.
        normalised: False: ``fill`` is in pixels [0, 1]; True: it is written after mean/std.
    """

    probability: Probability = 0.0
    infrared_probability: Probability | None = None
    area: Range = (0.02, 0.4)
    aspect: Range = (0.3, 3.3333)
    fill: Annotated[tuple[Number, Number, Number], BeforeValidator(as_tuple)] = (0.4914, 0.4822, 0.4465)
    normalised: bool = False

    @model_validator(mode="after")
    def _keys_act(self) -> Erase:
        idle = ("area", "aspect", "fill", "normalised")
        refuse_idle(self, (not self.strikes, "probability is 0", idle))
        return self

    @property
    def strikes(self) -> bool:
        """Whether any image can be struck."""
        return bool(self.probability or self.infrared_probability)

    def chance(self, infrared: bool) -> float:
        """Probability that an image of one modality is struck."""
        other = self.infrared_probability
        return other if infrared and other is not None else self.probability


class ExchangeOptions(Strict):
    """Colours after normalising and erasing (CAJ), handed to the method as channel weights.

    Attributes:
        second: Probability that one uniformly chosen channel of the second view is copied to all three.
        infrared: The same for an infrared image (3/4 in CAJ).
        infrared_grey: Probability that an infrared image whose channels are not exchanged becomes its
            luminance (1/2 in CAJ).
    """

    second: Probability = 0.0
    infrared: Probability = 0.0
    infrared_grey: Probability = 0.0

    @model_validator(mode="after")
    def _keys_act(self) -> ExchangeOptions:
        refuse_idle(self, (self.infrared == 1.0, "infrared is 1", ("infrared_grey",)))
        return self


class Augment(Strict):
    """Batched augmentation; both modalities unless a key names one.

    Attributes:
        pad: Pixels added on each side before the random crop; 0: none.
        crop: (height, width) of the random crop; None: the size of the prepared images.
        pad_value: Grey level of the added border, 0..255.
        flip: Probability of a horizontal flip.
        visible_grey: Probability that a visible image becomes its luminance (three equal channels).
        infrared_grey: Probability that an infrared image becomes its luminance.
        channel_exchange: Probability that one uniformly chosen channel of a visible image is copied
            to all three (CAJ).
        linear: Probability of random linear: in a random rectangle each channel is stretched to
            maximum 1 and multiplied by Beta(0.5, 0.5) (SEPG release).
        linear_area: Share of the image's area of that rectangle, (low, high).
        linear_repeat: Whether to draw further rectangles until the product of the gains is below 0.01 in
            some pixel, 3.2 rectangles and 43 % of the pixels on average, as the SEPG release does.
        erase: Random erasing.
        second_view: Whether each visible image is augmented a second time, by draws of its own; its
            colours are changed by ``exchange.second`` alone.
        exchange: Colours after normalising and erasing.
    """

    pad: Annotated[int, Field(ge=0, le=128)] = 10
    crop: Annotated[tuple[CropSide, CropSide], BeforeValidator(as_tuple)] | None = None
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
    def _keys_act(self) -> Augment:
        if self.exchange.second and not self.second_view:
            raise ValueError("exchange.second acts on the second view: say second_view: true")
        refuse_idle(
            self,
            (not self.pad, "pad is 0", ("pad_value",)),
            (not self.linear, "linear is 0", ("linear_area", "linear_repeat")),
            (self.visible_grey == 1.0, "visible_grey is 1", ("channel_exchange",)),
        )
        return self
