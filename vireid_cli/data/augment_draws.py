"""Random decisions of the augmentation: one table of uniform numbers from an explicit generator.

The columns of the table do not depend on the options, so enabling one augmentation does not change the draws
of the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vireid_cli.data import random_linear
from vireid_cli.data.rectangles import WIDTH, Rectangles, rectangles, uniform_integers
from vireid_cli.recipe.augmentation import Augment
from vireid_cli.sharding.share import Rows
from vireid_cli.types import LUMINANCE, Modality, Size

_TOP, _LEFT, _FLIP, _GREY, _EXCHANGE, _CHANNEL = range(6)
_BETA = slice(6, 9)
_LINEAR = slice(9, 9 + WIDTH)
_ERASE = slice(9 + WIDTH, 9 + 2 * WIDTH)
COLUMNS = 9 + 2 * WIDTH
"""Number of uniform numbers per image."""


@dataclass(frozen=True, slots=True)
class Draws:
    """Random decisions for B images.

    Attributes:
        top: (B,) int64, first row of the crop in the padded image.
        left: (B,) int64, first column of the crop.
        flip: (B,) bool, whether to mirror after cropping.
        mixed: (B,) bool, whether to replace the three channels by one weighted sum, or None.
        weights: (B, 3) weights of R, G, B in the sum, or None.
        linear: Rectangles of random linear, or None.
        gain: (B, 3) Beta(0.5, 0.5) numbers, the new maximum of each channel in the rectangle, or None.
        further: Further rectangles of random linear with their gains, applied in order.
        erase: Rectangles of random erasing, or None.
    """

    top: Tensor
    left: Tensor
    flip: Tensor
    mixed: Tensor | None = None
    weights: Tensor | None = None
    linear: Rectangles | None = None
    gain: Tensor | None = None
    erase: Rectangles | None = None
    further: list[tuple[Rectangles, Tensor]] = field(default_factory=list)


def draw(
    count: int,
    size: Size,
    options: Augment,
    modality: Modality,
    generator: torch.Generator,
    device: torch.device | None = None,
    share: Rows | None = None,
) -> Draws:
    """Draw the random decisions for ``count`` images of one modality.

    Args:
        count: Number B of images; with ``share``, of all ranks.
        size: (H, W) in pixels, before cropping.
        options: Probabilities and ranges.
        modality: Selects the probability of grey; channel exchange applies to visible images only.
        generator: Source of all random numbers. A CPU generator makes the draws independent of the device.
        device: Device of the images, by default that of the generator.
        share: Select the draws of these images only; they do not depend on the number of ranks.
    """
    table = own_draws(torch.rand((count, COLUMNS), generator=generator, device=generator.device), share)
    uniform = table.to(device or generator.device, non_blocking=True)  # (B, COLUMNS)
    mixed, weights = _mix(uniform, options, modality)
    height, width = cropped_size(size, options)
    rows, columns = size[0] + 2 * options.pad - height, size[1] + 2 * options.pad - width
    size = (height, width)
    linear = gain = erase = None
    if options.linear:
        linear = rectangles(
            uniform[:, _LINEAR], options.linear, options.linear_area, random_linear.ASPECT, size
        )
        gain = arcsine(uniform[:, _BETA])
    if options.erase.enabled:
        law, chance = options.erase, options.erase.chance(modality is Modality.INFRARED)
        erase = rectangles(uniform[:, _ERASE], chance, law.area, law.aspect, size, law.aspect_law)
    return Draws(
        top=uniform_integers(uniform[:, _TOP], rows + 1),
        left=uniform_integers(uniform[:, _LEFT], columns + 1),
        flip=uniform[:, _FLIP] < options.flip,
        mixed=mixed,
        weights=weights,
        linear=linear,
        gain=gain,
        erase=erase,
    )


def own_draws(draws: Tensor, share: Rows | None) -> Tensor:
    """Select the share's rows, (B, …) → (b, …)."""
    return draws if share is None else draws[share.rows]


def cropped_size(size: Size, options: Augment) -> Size:
    """Return (H, W) after augmentation of images of the prepared ``size``."""
    return options.crop or size


def arcsine(uniform: Tensor) -> Tensor:
    """Convert uniform numbers to Beta(0.5, 0.5) by the inverse distribution function, sin²(πu/2)."""
    return torch.sin(uniform * (math.pi / 2)) ** 2


def _mix(uniform: Tensor, options: Augment, modality: Modality) -> tuple[Tensor | None, Tensor | None]:
    """Draw the images that lose their colours, (B,), and the channel weights, (B, 3); None if disabled.

    If grey and exchange are both drawn, grey applies, because exchanging equal channels has no effect.
    """
    visible = modality is Modality.VISIBLE
    grey = options.visible_grey if visible else options.infrared_grey
    exchange = options.channel_exchange if visible else 0.0
    if grey == 0.0 and exchange == 0.0:
        return None, None
    greyed = uniform[:, _GREY] < grey  # (B,)
    channel = uniform_integers(uniform[:, _CHANNEL], 3)
    columns = [
        torch.where(greyed, weight, (channel == i).to(uniform.dtype)) for i, weight in enumerate(LUMINANCE)
    ]
    return greyed | (uniform[:, _EXCHANGE] < exchange), torch.stack(columns, dim=1)  # (B,), (B, 3)
