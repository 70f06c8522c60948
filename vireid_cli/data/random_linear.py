"""Further rectangles of random linear, drawn until a pixel of the image is nearly black (SEPG's release).

The release multiplies a mask by the gains of each rectangle and draws another rectangle while the minimum of
the mask is at least 0.01. The mask depends only on the draws, so all rectangles are computed before any image
is changed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vireid_cli.data.rectangles import Rectangles, rectangles
from vireid_cli.types import Size

ASPECT = (0.3, 1 / 0.3)
"""Range of height over width, as for random erasing in the release."""

LEAST_GAIN = 0.01
"""An image with a product of gains below this value in any pixel and channel gets no further rectangle."""

MOST = 16
"""Largest number of rectangles per image; one in several hundred images would have more."""


def further_rectangles(
    first: Rectangles, gain: Tensor, gains: Tensor, uniform: Tensor, area: tuple[float, float], size: Size
) -> list[tuple[Rectangles, Tensor]]:
    """Draw the rectangles after the first, with their gains.

    Args:
        first: First rectangle of each of B images; empty for images without random linear.
        gain: (B, 3) gains of the first rectangle.
        gains: (B, MOST − 1, 3) gains of the further rectangles.
        uniform: (B, MOST − 1, WIDTH) in [0, 1), see ``rectangles``.
        area: Share of the image's area, (low, high).
        size: (H, W) of the images.

    Returns:
        MOST − 1 pairs of rectangles and gains; the rectangles are empty for images that need no more.
    """
    product = torch.ones((len(gain), 3, *size), device=gain.device)  # (B, 3, H, W)
    last, pairs = first, []
    for own, numbers in zip(gains.unbind(1), uniform.unbind(1), strict=True):
        product = torch.where(last.masks(size), product * gain[:, :, None, None], product)
        unfinished = (first.height > 0) & (product.amin(dim=(1, 2, 3)) >= LEAST_GAIN)
        drawn = rectangles(numbers, 1.0, area, ASPECT, size)
        last = Rectangles(drawn.top, drawn.left, drawn.height * unfinished, drawn.width * unfinished)
        gain = own
        pairs.append((last, gain))
    return pairs
