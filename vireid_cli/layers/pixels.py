"""From pixels to network input: erasing and normalising."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vireid_cli.types import IMAGENET_MEAN, IMAGENET_STD, Batch, Erasure, Size


class Normalise(nn.Module):
    """(pixels − mean) / std by channel, with erased rectangles written before or after.

    Args:
        mean: Of R, G, B in [0, 1].
        std: Of R, G, B.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor, mask: Tensor | None = None, erase: Erasure | None = None) -> Tensor:
        """Normalise pixels.

        Args:
            pixels: (B, 3, H, W) float in [0, 1].
            mask: (B, 1, H, W) bool, true where erased; None: nothing is erased.
            erase: Says what is written there, and in which space; its own masks are not read.

        Returns:
            (B, 3, H, W) float.
        """
        if mask is None or erase is None:
            return (pixels - self.mean) / self.std
        # Filled on the device without a copy from the host: three scalars, no tensor.
        red, green, blue = erase.fill
        fill = torch.zeros_like(self.mean)
        fill[:, 0] = red
        fill[:, 1] = green
        fill[:, 2] = blue
        if erase.normalised:
            return torch.where(mask, fill, (pixels - self.mean) / self.std)
        return (torch.where(mask, fill, pixels) - self.mean) / self.std


def exchange_channels(images: Tensor, weights: Tensor) -> Tensor:
    """Replace the channels of each image by one weighted sum of them, where its weights are not all 0.

    CAJ's channel exchange (docs/methods.md#caj), of normalised and erased images.

    Args:
        images: (B, 3, H, W).
        weights: (B, 3); a row of zeros leaves its image as it is.
    """
    # Sums of products: a matrix product may be rounded to ten bits on an accelerator.
    shaped = weights[:, :, None, None]
    mixed = (images * shaped).sum(1, keepdim=True)  # (B, 1, H, W)
    return torch.where((shaped != 0).any(1, keepdim=True), mixed, images)


def both_modalities(batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Pixels and masks of the batch, visible first: (2B, 3, H, W) and (2B, 1, H, W) or None."""
    pixels = torch.cat([batch.visible, batch.infrared])
    return pixels, both_masks(batch)


def both_masks(batch: Batch) -> Tensor | None:
    """Masks of random erasing, visible first: (2B, 1, H, W), or None where nothing is erased."""
    if batch.erase is None:
        return None
    return torch.cat([batch.erase.visible, batch.erase.infrared])


def luminance(images: Tensor) -> Tensor:
    """Grey level (ITU-R BT.601) of RGB images: (B, 3, H, W) → (B, 1, H, W).

    Three equal channels give that channel, up to rounding.
    """
    red, green, blue = images.split(1, dim=1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def centre_crop(images: Tensor, size: Size) -> Tensor:
    """The middle ``size`` = (height, width) pixels of (B, C, H, W); the upper left of two middles.

    Raises:
        ValueError: An image is smaller.
    """
    top, left = images.shape[-2] - size[0], images.shape[-1] - size[1]
    if top < 0 or left < 0:
        raise ValueError(f"images of {tuple(images.shape[-2:])} are smaller than {size}")
    return images[..., top // 2 : top // 2 + size[0], left // 2 : left // 2 + size[1]]
