"""Batched augmentation on the device: crop with padding, flip, grey, channel exchange, random linear.

The draws of a batch are one table of uniform numbers from an explicit generator (``draw``), and
applying them is deterministic (``apply``). The table has the same columns whatever is switched on, so
switching one augmentation on leaves the draws of the others as they were. Pixels stay uint8 through
crop and flip and become floats in [0, 1] once. There is no loop over images and, on an accelerator, no
synchronisation with the host.

Order: crop, flip, grey or channel exchange, random linear; random erasing is handed over as masks, and
what happens to colours after normalising as channel weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from vireid_cli.data import random_linear
from vireid_cli.data.crop import change_struck, crop_flip
from vireid_cli.data.rectangles import WIDTH, Rectangles, rectangles, whole
from vireid_cli.recipe.augmentation import Augment
from vireid_cli.types import LUMINANCE, Erasure, Exchange, Modality, Size

CAJ_LUMINANCE = (0.2989, 0.5870, 0.1140)
"""The same as CAJ's released code rounds them, after normalising."""

_TOP, _LEFT, _FLIP, _GREY, _EXCHANGE, _CHANNEL = range(6)
_BETA = slice(6, 9)
_LINEAR = slice(9, 9 + WIDTH)
_ERASE = slice(9 + WIDTH, 9 + 2 * WIDTH)
COLUMNS = 9 + 2 * WIDTH
"""Uniform numbers drawn for each image."""


@dataclass(frozen=True, slots=True)
class Draws:
    """What happens to each of B images.

    Attributes:
        top: (B,) int64, first row of the crop in the padded image.
        left: (B,) int64.
        flip: (B,) bool, mirrored after cropping.
        mixed: (B,) bool, the three channels become one and the same; None: colours stay.
        weights: (B, 3) weights of R, G, B in that one channel; None: colours stay.
        linear: Rectangles of random linear, or None.
        gain: (B, 3) Beta(0.5, 0.5) numbers that each channel's maximum becomes; None without linear.
        further: More rectangles of random linear with their gains, applied one after another.
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
) -> Draws:
    """Draw what happens to ``count`` images of one modality.

    Args:
        count: B.
        size: (H, W) in pixels, before cropping.
        options: Probabilities and ranges.
        modality: Grey has a probability for each; channel exchange is for visible images only.
        generator: Every number comes from it; on the CPU it gives the same draws for any device.
        device: Of the images; None: the generator's.
    """
    table = torch.rand((count, COLUMNS), generator=generator, device=generator.device)
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
    if options.erase.strikes:
        law, chance = options.erase, options.erase.chance(modality is Modality.INFRARED)
        erase = rectangles(uniform[:, _ERASE], chance, law.area, law.aspect, size)
    return Draws(
        top=whole(uniform[:, _TOP], rows + 1),
        left=whole(uniform[:, _LEFT], columns + 1),
        flip=uniform[:, _FLIP] < options.flip,
        mixed=mixed,
        weights=weights,
        linear=linear,
        gain=gain,
        erase=erase,
    )


def cropped_size(size: Size, options: Augment) -> Size:
    """(H, W) of augmented images whose prepared size is ``size``."""
    return options.crop or size


def arcsine(uniform: Tensor) -> Tensor:
    """Beta(0.5, 0.5) numbers from uniform ones: sin²(πu/2), the inverse of its distribution."""
    return torch.sin(uniform * (math.pi / 2)) ** 2


def _mix(uniform: Tensor, options: Augment, modality: Modality) -> tuple[Tensor | None, Tensor | None]:
    """Which images lose their colours, (B,), and the channel weights, (B, 3); None: no such option is on.

    Grey comes first: exchanging equal channels changes nothing, so it wins where both are drawn.
    """
    visible = modality is Modality.VISIBLE
    grey = options.visible_grey if visible else options.infrared_grey
    exchange = options.channel_exchange if visible else 0.0
    if grey == 0.0 and exchange == 0.0:
        return None, None
    greyed = uniform[:, _GREY] < grey  # (B,)
    channel = whole(uniform[:, _CHANNEL], 3)
    columns = [
        torch.where(greyed, weight, (channel == i).to(uniform.dtype)) for i, weight in enumerate(LUMINANCE)
    ]
    return greyed | (uniform[:, _EXCHANGE] < exchange), torch.stack(columns, dim=1)  # (B,), (B, 3)


def apply(images: Tensor, draws: Draws, options: Augment) -> Tensor:
    """Augment a batch of uint8 images.

    Args:
        images: (B, H, W, 3) uint8, or (B, 3, H, W) in channels-last memory.
        draws: What happens to each; ``erase`` is not applied here.
        options: ``pad``, ``pad_value`` and ``crop``.

    Returns:
        (B, 3, H', W') float32 in [0, 1], channels-last memory.
    """
    rows = images.permute(0, 2, 3, 1) if images.shape[-1] != 3 else images  # (B, H, W, 3)
    cut = crop_flip(
        rows.contiguous(), draws.top, draws.left, draws.flip, options.pad, options.pad_value, options.crop
    )
    pixels = cut.to(torch.float32).div_(255)  # (B, H, W, 3)
    if draws.mixed is not None and draws.weights is not None:
        pixels = change_struck(pixels, draws.mixed, one_channel, draws.weights)
    if draws.linear is not None and draws.gain is not None:
        for struck, gain in ((draws.linear, draws.gain), *draws.further):
            masks = struck.masks((pixels.shape[1], pixels.shape[2]))[:, 0]  # (B, H, W)
            pixels = change_struck(pixels, struck.height > 0, stretch, masks, gain)
    return pixels.permute(0, 3, 1, 2)  # (B, 3, H, W) in channels-last memory


def one_channel(pixels: Tensor, weights: Tensor) -> Tensor:
    """Replace the channels by one weighted sum of them: (B, H, W, 3), (B, 3) → (B, H, W, 3).

    Written as sums of products: a matrix product may be rounded to ten bits on an accelerator.
    """
    red, green, blue = (pixels[..., c] * weights[:, c, None, None] for c in range(3))  # (B, H, W) each
    return _interleave([red + green + blue] * 3)


def stretch(pixels: Tensor, masks: Tensor, gain: Tensor) -> Tensor:
    """Inside the mask, bring each channel's maximum to its gain (random linear; SEPG's release).

    Args:
        pixels: (B, H, W, 3) in [0, 1].
        masks: (B, H, W) bool.
        gain: (B, 3); one number a channel is our reading of the release.

    Returns:
        (B, H, W, 3); a channel that is black inside the mask stays black.
    """
    planes = []
    for c in range(3):  # a plane at a time: the channels are only three values side by side
        plane = pixels[..., c]
        most = torch.where(masks, plane, 0.0).amax(dim=(1, 2))  # (B,)
        factor = gain[:, c] / most.clamp_min(1 / 255)  # the smallest grey level that is not black
        planes.append(plane * torch.where(masks, factor[:, None, None], 1.0))
    return _interleave(planes)


def _interleave(planes: list[Tensor]) -> Tensor:
    """Three planes (B, H, W) as (B, H, W, 3); stacking them would copy value by value."""
    pixels = planes[0].new_empty((*planes[0].shape, 3))
    for c, plane in enumerate(planes):
        pixels[..., c] = plane
    return pixels


class Augmented(NamedTuple):
    """An augmented batch; pixels are (B, 3, H, W) float32 in [0, 1] in channels-last memory.

    Attributes:
        visible: Visible images.
        infrared: Infrared images.
        erase: Masks of random erasing; None: it is off.
        second: The second view of the visible images; None: there is none.
        exchange: Channel weights after normalising; None: no such option is on.
    """

    visible: Tensor
    infrared: Tensor
    erase: Erasure | None
    second: Tensor | None
    exchange: Exchange | None


def augment_batch(
    visible: Tensor, infrared: Tensor, options: Augment, generator: torch.Generator
) -> Augmented:
    """Augment both halves of a batch and the second view, drawn independently in that order.

    Args:
        visible: (B, H, W, 3) uint8, or (B, 3, H, W) in channels-last memory.
        infrared: The same.
        options: What is switched on.
        generator: Of every draw.
    """
    size: Size = (visible.shape[1], visible.shape[2])
    if visible.shape[-1] != 3:
        size = (visible.shape[2], visible.shape[3])
    views = [(visible, Modality.VISIBLE, options), (infrared, Modality.INFRARED, options)]
    if options.second_view:
        plain = options.model_copy(update={"visible_grey": 0.0, "channel_exchange": 0.0})
        views.append((visible, Modality.VISIBLE, plain))
    draws = [draw(len(i), size, law, modality, generator, i.device) for i, modality, law in views]
    exchange = _exchanged(infrared, options, generator)
    if options.linear and options.linear_repeat:
        draws = [_repeated(drawn, cropped_size(size, options), options, generator) for drawn in draws]
    pixels = [apply(images, drawn, law) for (images, _, law), drawn in zip(views, draws, strict=True)]
    masks = [drawn.erase.masks(cropped_size(size, options)) for drawn in draws if drawn.erase is not None]
    erase = None
    if masks:
        law = options.erase
        erase = Erasure(
            masks[0], masks[1], law.fill, law.normalised, masks[2] if options.second_view else None
        )
    second = pixels[2] if options.second_view else None
    return Augmented(pixels[0], pixels[1], erase, second, exchange)


def _repeated(draws: Draws, size: Size, options: Augment, generator: torch.Generator) -> Draws:
    """The draws with further rectangles of random linear; drawn last, so that no other draw moves."""
    assert draws.linear is not None
    assert draws.gain is not None
    shape = (len(draws.gain), random_linear.MOST - 1, 3 + WIDTH)
    uniform = torch.rand(shape, generator=generator, device=generator.device).to(draws.gain.device)
    gains, uniform = arcsine(uniform[..., :3]), uniform[..., 3:]
    law = (gains, uniform, options.linear_area, size)
    return replace(draws, further=random_linear.further_rectangles(draws.linear, draws.gain, *law))


def _exchanged(infrared: Tensor, options: Augment, generator: torch.Generator) -> Exchange | None:
    """Channel weights of infrared images and of the second view, drawn after all of each view alone."""
    law = options.exchange
    if not (law.second or law.infrared or law.infrared_grey):
        return None
    table = torch.rand((2, 3, len(infrared)), generator=generator, device=generator.device)
    first, other = table.to(infrared.device, non_blocking=True)
    weights = late_weights(first, law.infrared, law.infrared_grey)
    return Exchange(weights, late_weights(other, law.second, 0.0) if options.second_view else None)


def late_weights(uniform: Tensor, exchange: float, grey: float) -> Tensor:
    """Weights of the channels in the one that replaces them; zeros where an image keeps its colours.

    CAJ's ``ChannelAdapGray``: with probability ``exchange`` one of the channels, each as
    likely; else with probability ``grey`` the luminance.

    Args:
        uniform: (3, B) in [0, 1): whether to exchange, which channel, whether grey.
        exchange: Probability.
        grey: Probability, of those not exchanged.

    Returns:
        (B, 3).
    """
    exchanged, channel = uniform[0] < exchange, whole(uniform[1], 3)
    greyed = ~exchanged & (uniform[2] < grey)
    columns = [exchanged * (channel == c) + greyed * weight for c, weight in enumerate(CAJ_LUMINANCE)]
    return torch.stack(columns, dim=1)  # (B, 3)
