"""Random rectangles for a batch of images, drawn for all images at once.

The distribution is that of random erasing (docs/methods.md#caj): area uniform in a range of shares of the
image's area, aspect ratio or its logarithm uniform in a range, sides rounded, accepted only if smaller than
the image, position uniform. Published code makes up to 100 attempts per image; this module draws ``TRIES``
attempts per image and uses the first that fits. At 288x144 and the usual ranges an attempt fits with
probability above 0.9, so all fail less than once in 10^10 images; such an image is not changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vireid_cli.recipe.augmentation import AspectLaw
from vireid_cli.types import Size

TRIES = 10
"""Number of attempts per image."""

WIDTH = 1 + 4 * TRIES
"""Number of uniform numbers per image and rectangle."""


@dataclass(frozen=True, slots=True)
class Rectangles:
    """One rectangle per image, in pixels; height and width are 0 for images without a rectangle.

    Attributes:
        top: (B,) int64, first row.
        left: (B,) int64, first column.
        height: (B,) int64, number of rows.
        width: (B,) int64, number of columns.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor

    def masks(self, size: Size) -> Tensor:
        """Masks of the rectangles, (B, 1, H, W) bool, true inside."""
        rows = torch.arange(size[0], device=self.top.device)
        columns = torch.arange(size[1], device=self.top.device)
        inside_rows = (rows >= self.top[:, None]) & (rows < (self.top + self.height)[:, None])  # (B, H)
        inside_columns = (columns >= self.left[:, None]) & (
            columns < (self.left + self.width)[:, None]
        )  # (B, W)
        return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]  # (B, 1, H, W)


def uniform_integers(uniform: Tensor, count: Tensor | int) -> Tensor:
    """Convert uniform numbers in [0, 1) to uniform int64 in 0..count−1."""
    scaled = (uniform * count).floor().long()
    # The product may round up to `count`. An int must not become a tensor, which would synchronise with
    # the device.
    return scaled.clamp_max(count - 1) if isinstance(count, int) else torch.minimum(scaled, count - 1)


def rectangles(
    uniform: Tensor,
    probability: float,
    area: tuple[float, float],
    aspect: tuple[float, float],
    size: Size,
    law: AspectLaw = "uniform",
) -> Rectangles:
    """Convert uniform numbers to one rectangle per image.

    Args:
        uniform: (B, WIDTH) in [0, 1): the decision, then areas, aspect ratios, tops and lefts of all
            attempts.
        probability: Probability that an image has a rectangle.
        area: Share of the image's area, (low, high).
        aspect: Height over width, (low, high).
        size: (H, W) of the images.
        law: Whether the aspect or its logarithm is uniform; see ``recipe.augmentation.Erase``.
    """
    height, width = size
    tries = uniform[:, 1:].reshape(len(uniform), 4, TRIES)
    pixels = (area[0] + (area[1] - area[0]) * tries[:, 0]) * (height * width)  # (B, TRIES)
    if law == "uniform":
        ratio = aspect[0] + (aspect[1] - aspect[0]) * tries[:, 1]
    else:
        ratio = aspect[0] * (aspect[1] / aspect[0]) ** tries[:, 1]
    heights, widths = (pixels * ratio).sqrt().round().long(), (pixels / ratio).sqrt().round().long()
    fits = (heights < height) & (widths < width) & (heights > 0) & (widths > 0)
    first = fits.to(torch.uint8).argmax(dim=1, keepdim=True)  # (B, 1)
    selected = (uniform[:, :1] < probability) & fits.gather(1, first)

    def chosen(values: Tensor) -> Tensor:
        """Select the first valid try of each image."""
        return values.gather(1, first)

    tall, wide = (torch.where(selected, chosen(v), 0) for v in (heights, widths))
    top = uniform_integers(chosen(tries[:, 2]), height - tall + 1)
    left = uniform_integers(chosen(tries[:, 3]), width - wide + 1)
    return Rectangles(top[:, 0], left[:, 0], tall[:, 0], wide[:, 0])
