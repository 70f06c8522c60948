"""Network input from pixels: erasing, normalising, channel exchange, luminance and crops."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vireid_cli.types import IMAGENET_MEAN, IMAGENET_STD, Batch, Erasure, Size


class Normalise(nn.Module):
    """(pixels − mean) / std per channel, with erased rectangles filled before or after.

    Args:
        mean: Means of R, G, B, for pixels in [0, 1].
        std: Standard deviations of R, G, B.
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
            mask: (B, 1, H, W) bool, true at erased pixels; None erases nothing.
            erase: Fill value, and whether it applies before or after normalising; its masks are ignored.

        Returns:
            (B, 3, H, W) float.
        """
        if mask is None or erase is None:
            return (pixels - self.mean) / self.std
        # Filled with three scalars, without a copy of a tensor from the host.
        red, green, blue = erase.fill
        fill = torch.zeros_like(self.mean)
        fill[:, 0] = red
        fill[:, 1] = green
        fill[:, 2] = blue
        if erase.normalised:
            return torch.where(mask, fill, (pixels - self.mean) / self.std)
        return (torch.where(mask, fill, pixels) - self.mean) / self.std


def exchange_channels(images: Tensor, weights: Tensor) -> Tensor:
    """Replace all channels of each image by one weighted sum of them, unless its weights are all 0.

    CAJ's channel exchange (docs/methods.md#caj), of normalised and erased images.

    Args:
        images: (B, 3, H, W).
        weights: (B, 3); a row of zeros leaves its image unchanged.
    """
    # Sums of products, because an accelerator may round a matrix product to ten bits.
    shaped = weights[:, :, None, None]
    mixed = (images * shaped).sum(1, keepdim=True)  # (B, 1, H, W)
    return torch.where((shaped != 0).any(1, keepdim=True), mixed, images)


def both_modalities(batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Concatenate pixels and masks of a batch, visible first: (2B, 3, H, W) and (2B, 1, H, W) or None."""
    pixels = torch.cat([batch.visible, batch.infrared])
    return pixels, both_masks(batch)


def both_masks(batch: Batch) -> Tensor | None:
    """Concatenate masks of random erasing, visible first: (2B, 1, H, W), or None without erasing."""
    if batch.erase is None:
        return None
    return torch.cat([batch.erase.visible, batch.erase.infrared])


def luminance(images: Tensor) -> Tensor:
    """Grey level (ITU-R BT.601) of RGB images: (B, 3, H, W) → (B, 1, H, W).

    For three equal channels the result is that channel, up to rounding.
    """
    red, green, blue = images.split(1, dim=1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def centre_crop(images: Tensor, size: Size) -> Tensor:
    """Crop (B, C, H, W) to the central ``size`` = (height, width) pixels, rounded to the upper left.

    Raises:
        ValueError: The images are smaller than ``size``.
    """
    top, left = images.shape[-2] - size[0], images.shape[-1] - size[1]
    if top < 0 or left < 0:
        raise ValueError(f"images of {tuple(images.shape[-2:])} are smaller than {size}")
    return images[..., top // 2 : top // 2 + size[0], left // 2 : left // 2 + size[1]]
