"""Batched augmentation on the device: crop with padding, flip, grey, channel exchange, random linear.

``draw`` converts one table of uniform numbers from an explicit generator to random decisions, and ``apply``
applies them deterministically. The columns of the table do not depend on the options, so enabling one
augmentation does not change the draws of the others. Pixels are uint8 during crop and flip and then become
floats in [0, 1]. There is no loop over images and, on an accelerator, no synchronisation with the host.

Order: crop, flip, grey or channel exchange, random linear. Random erasing is returned as masks, and channel
exchange after normalising as channel weights; the network applies both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from vireid_cli.data import random_linear
from vireid_cli.data.crop import change_selected, crop_flip
from vireid_cli.data.rectangles import WIDTH, Rectangles, rectangles, uniform_integers
from vireid_cli.recipe.augmentation import Augment
from vireid_cli.sharding.share import Rows
from vireid_cli.types import LUMINANCE, Erasure, Exchange, Modality, Size

CAJ_LUMINANCE = (0.2989, 0.5870, 0.1140)
"""Grey weights as rounded by CAJ's released code, applied after normalising."""

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
    table = _own(torch.rand((count, COLUMNS), generator=generator, device=generator.device), share)
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
        erase = rectangles(uniform[:, _ERASE], chance, law.area, law.aspect, size)
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


def _own(draws: Tensor, share: Rows | None) -> Tensor:
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


def apply(images: Tensor, draws: Draws, options: Augment) -> Tensor:
    """Augment a batch of uint8 images.

    Args:
        images: (B, H, W, 3) uint8, or (B, 3, H, W) in channels-last memory.
        draws: Decisions for each image; ``erase`` is not applied.
        options: Uses ``pad``, ``pad_value`` and ``crop``.

    Returns:
        (B, 3, H', W') float32 in [0, 1], channels-last memory.
    """
    rows = images.permute(0, 2, 3, 1) if images.shape[-1] != 3 else images  # (B, H, W, 3)
    cut = crop_flip(
        rows.contiguous(), draws.top, draws.left, draws.flip, options.pad, options.pad_value, options.crop
    )
    pixels = cut.to(torch.float32).div_(255)  # (B, H, W, 3)
    if draws.mixed is not None and draws.weights is not None:
        pixels = change_selected(pixels, draws.mixed, one_channel, draws.weights)
    if draws.linear is not None and draws.gain is not None:
        for drawn, gain in ((draws.linear, draws.gain), *draws.further):
            masks = drawn.masks((pixels.shape[1], pixels.shape[2]))[:, 0]  # (B, H, W)
            pixels = change_selected(pixels, drawn.height > 0, stretch, masks, gain)
    return pixels.permute(0, 3, 1, 2)  # (B, 3, H, W) in channels-last memory


def one_channel(pixels: Tensor, weights: Tensor) -> Tensor:
    """Replace the channels by their weighted sum: (B, H, W, 3), (B, 3) → (B, H, W, 3).

    Not a matrix product, because accelerators may round its operands to ten bits.
    """
    red, green, blue = (pixels[..., c] * weights[:, c, None, None] for c in range(3))  # (B, H, W) each
    return _interleave([red + green + blue] * 3)


def stretch(pixels: Tensor, masks: Tensor, gain: Tensor) -> Tensor:
    """Scale each channel inside the mask so that its maximum equals the gain (random linear, SEPG's release).

    Args:
        pixels: (B, H, W, 3) in [0, 1].
        masks: (B, H, W) bool.
        gain: (B, 3). One number per channel is this package's reading of the release.

    Returns:
        (B, H, W, 3); a channel that is black inside the mask stays black.
    """
    planes = []
    for c in range(3):  # contiguous planes are faster than three adjacent values
        plane = pixels[..., c]
        maximum = torch.where(masks, plane, 0.0).amax(dim=(1, 2))  # (B,)
        factor = gain[:, c] / maximum.clamp_min(1 / 255)  # the smallest grey level that is not black
        planes.append(plane * torch.where(masks, factor[:, None, None], 1.0))
    return _interleave(planes)


def _interleave(planes: list[Tensor]) -> Tensor:
    """Interleave three planes (B, H, W) to (B, H, W, 3); ``torch.stack`` would copy value by value."""
    pixels = planes[0].new_empty((*planes[0].shape, 3))
    for c, plane in enumerate(planes):
        pixels[..., c] = plane
    return pixels


class Augmented(NamedTuple):
    """An augmented batch; pixels are (B, 3, H, W) float32 in [0, 1] in channels-last memory.

    Attributes:
        visible: Visible images.
        infrared: Infrared images.
        erase: Masks of random erasing, or None if disabled.
        second: Second view of the visible images, or None.
        exchange: Channel weights after normalising, or None if disabled.
    """

    visible: Tensor
    infrared: Tensor
    erase: Erasure | None
    second: Tensor | None
    exchange: Exchange | None


def augment_batch(
    visible: Tensor,
    infrared: Tensor,
    options: Augment,
    generator: torch.Generator,
    share: Rows | None = None,
) -> Augmented:
    """Augment both modalities of a batch and the second view, with independent draws in this order.

    Args:
        visible: (B, H, W, 3) uint8, or (B, 3, H, W) in channels-last memory.
        infrared: Images in the same format.
        options: Augmentation options.
        generator: Source of all random numbers.
        share: Rows of the whole batch to which the images belong; None if they are the whole batch.
    """
    size: Size = (visible.shape[1], visible.shape[2])
    if visible.shape[-1] != 3:
        size = (visible.shape[2], visible.shape[3])
    views = [(visible, Modality.VISIBLE, options), (infrared, Modality.INFRARED, options)]
    if options.second_view:
        plain = options.model_copy(update={"visible_grey": 0.0, "channel_exchange": 0.0})
        views.append((visible, Modality.VISIBLE, plain))
    count = len(visible) if share is None else share.total
    draws = [draw(count, size, law, modality, generator, i.device, share) for i, modality, law in views]
    exchange = _exchanged(count, options, generator, infrared.device, share)
    if options.linear and options.linear_repeat:
        cut = cropped_size(size, options)
        draws = [_repeated(drawn, cut, options, count, generator, share) for drawn in draws]
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


def _repeated(
    draws: Draws,
    size: Size,
    options: Augment,
    count: int,
    generator: torch.Generator,
    share: Rows | None,
) -> Draws:
    """Add further rectangles of random linear; drawn last, so that they do not change other draws."""
    assert draws.linear is not None
    assert draws.gain is not None
    shape = (count, random_linear.MOST - 1, 3 + WIDTH)
    table = _own(torch.rand(shape, generator=generator, device=generator.device), share)
    uniform = table.to(draws.gain.device)
    gains, uniform = arcsine(uniform[..., :3]), uniform[..., 3:]
    law = (gains, uniform, options.linear_area, size)
    return replace(draws, further=random_linear.further_rectangles(draws.linear, draws.gain, *law))


def _exchanged(
    count: int,
    options: Augment,
    generator: torch.Generator,
    device: torch.device,
    share: Rows | None,
) -> Exchange | None:
    """Draw channel weights of infrared images and of the second view, after the draws of all views."""
    law = options.exchange
    if not (law.second or law.infrared or law.infrared_grey):
        return None
    table = torch.rand((2, 3, count), generator=generator, device=generator.device)
    table = table if share is None else table[..., share.rows]
    first, other = table.to(device, non_blocking=True)
    weights = exchange_weights(first, law.infrared, law.infrared_grey)
    return Exchange(weights, exchange_weights(other, law.second, 0.0) if options.second_view else None)


def exchange_weights(uniform: Tensor, exchange: float, grey: float) -> Tensor:
    """Draw the weights of the channels in the channel that replaces them (CAJ's ``ChannelAdapGray``).

    With probability ``exchange`` one of the channels, each equally likely; otherwise with probability
    ``grey`` the luminance.

    Args:
        uniform: (3, B) in [0, 1): decision to exchange, channel, decision for grey.
        exchange: Probability of an exchange.
        grey: Probability of grey for images without an exchange.

    Returns:
        (B, 3) weights; zeros for images that keep their colours.
    """
    exchanged, channel = uniform[0] < exchange, uniform_integers(uniform[1], 3)
    greyed = ~exchanged & (uniform[2] < grey)
    columns = [exchanged * (channel == c) + greyed * weight for c, weight in enumerate(CAJ_LUMINANCE)]
    return torch.stack(columns, dim=1)  # (B, 3)
