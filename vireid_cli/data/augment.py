"""Batched augmentation on the device: crop with padding, flip, grey, channel exchange, random linear.

``draw`` converts one table of uniform numbers from an explicit generator to random decisions, and ``apply``
applies them deterministically. The columns of the table do not depend on the options, so enabling one
augmentation does not change the draws of the others. Pixels are uint8 during crop and flip and then become
floats in [0, 1]. There is no loop over images and, on an accelerator, no synchronisation with the host.

Order: crop, flip, grey or channel exchange, random linear. Random erasing is returned as masks, and channel
exchange after normalising as channel weights; the network applies both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from vireid_cli.data import random_linear
from vireid_cli.data.augment_draws import Draws, arcsine, cropped_size, draw, own_draws
from vireid_cli.data.crop import change_selected, crop_flip
from vireid_cli.data.rectangles import WIDTH, uniform_integers
from vireid_cli.recipe.augmentation import Augment
from vireid_cli.sharding.share import Rows
from vireid_cli.types import Erasure, Exchange, Modality, Size

CAJ_LUMINANCE = (0.2989, 0.5870, 0.1140)
"""Grey weights as rounded by CAJ's released code, applied after normalising."""


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
    table = own_draws(torch.rand(shape, generator=generator, device=generator.device), share)
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
    """Draw channel weights of infrared images and of both views, after the draws of all views."""
    law = options.exchange
    if not (law.visible or law.second or law.infrared or law.infrared_grey):
        return None
    # The table has a third part only for ``visible``, so that recipes without it keep their draws.
    tables = 3 if law.visible else 2
    table = torch.rand((tables, 3, count), generator=generator, device=generator.device)
    table = table if share is None else table[..., share.rows]
    first, other, *third = table.to(device, non_blocking=True)
    return Exchange(
        exchange_weights(first, law.infrared, law.infrared_grey),
        second=exchange_weights(other, law.second, 0.0) if options.second_view else None,
        visible=exchange_weights(third[0], law.visible, 0.0) if third else None,
    )


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
