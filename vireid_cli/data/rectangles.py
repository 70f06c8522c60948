"""Random rectangles in a batch of images, drawn for all images at once.

The law is the field's random erasing (docs/methods.md#caj): area uniform in a range of shares
of the image's area, height over width uniform in a range, sides rounded, kept only if smaller than
the image, placed uniformly. The field's code tries up to 100 times an image; here ``TRIES`` tries are
drawn for each image and the first that fits is taken. At 288×144 and the usual ranges a try fits with
probability above 0.9, so that all fail less than once in 10^10 images; such an image is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vireid_cli.types import Size

TRIES = 10
"""Rectangles drawn for each image."""

WIDTH = 1 + 4 * TRIES
"""Uniform numbers that one rectangle an image takes."""


@dataclass(frozen=True, slots=True)
class Rectangles:
    """One rectangle an image, in pixels; height and width are 0 where an image is not struck.

    Attributes:
        top: (B,) int64 first row.
        left: (B,) int64 first column.
        height: (B,) int64.
        width: (B,) int64.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor

    def masks(self, size: Size) -> Tensor:
        """(B, 1, H, W) bool, true inside."""
        rows = torch.arange(size[0], device=self.top.device)
        columns = torch.arange(size[1], device=self.top.device)
        inside_rows = (rows >= self.top[:, None]) & (rows < (self.top + self.height)[:, None])  # (B, H)
        inside_columns = (columns >= self.left[:, None]) & (
            columns < (self.left + self.width)[:, None]
        )  # (B, W)
        return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]  # (B, 1, H, W)


def whole(uniform: Tensor, count: Tensor | int) -> Tensor:
    """Uniform int64 in 0..count−1 from uniform numbers in [0, 1)."""
    scaled = (uniform * count).floor().long()
    # the product may be rounded up to `count`; a plain number must not become a tensor on the way,
    # which would wait for the device
    return scaled.clamp_max(count - 1) if isinstance(count, int) else torch.minimum(scaled, count - 1)


def rectangles(
    uniform: Tensor,
    probability: float,
    area: tuple[float, float],
    aspect: tuple[float, float],
    size: Size,
) -> Rectangles:
    """Turn uniform numbers into one rectangle an image.

    Args:
        uniform: (B, WIDTH) in [0, 1): whether to strike, then for each try area, aspect, top, left.
        probability: That an image is struck.
        area: Share of the image's area, (low, high).
        aspect: Height over width, (low, high).
        size: (H, W).
    """
    height, width = size
    tries = uniform[:, 1:].reshape(len(uniform), 4, TRIES)
    pixels = (area[0] + (area[1] - area[0]) * tries[:, 0]) * (height * width)  # (B, TRIES)
    ratio = aspect[0] + (aspect[1] - aspect[0]) * tries[:, 1]
    heights, widths = (pixels * ratio).sqrt().round().long(), (pixels / ratio).sqrt().round().long()
    fits = (heights < height) & (widths < width) & (heights > 0) & (widths > 0)
    first = fits.to(torch.uint8).argmax(dim=1, keepdim=True)  # (B, 1)
    struck = (uniform[:, :1] < probability) & fits.gather(1, first)

    def chosen(values: Tensor) -> Tensor:
        return values.gather(1, first)

    tall, wide = (torch.where(struck, chosen(v), 0) for v in (heights, widths))
    top = whole(chosen(tries[:, 2]), height - tall + 1)
    left = whole(chosen(tries[:, 3]), width - wide + 1)
    return Rectangles(top[:, 0], left[:, 0], tall[:, 0], wide[:, 0])
