"""Further rectangles of random linear, drawn until a pixel of the image is nearly black (SEPG's release).

The release multiplies a mask by each rectangle's gains and draws again while the mask's smallest value is
0.01 or more. The mask depends on the draws alone, so all rectangles are known before any image is touched.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vireid_cli.data.rectangles import Rectangles, rectangles
from vireid_cli.types import Size

ASPECT = (0.3, 1 / 0.3)
"""Height over width of random linear's rectangle; the release uses random erasing's range."""

LEAST_GAIN = 0.01
"""No further rectangle once the product of an image's gains is below this in a pixel and channel."""

MOST = 16
"""Rectangles of one image; one in several hundred images would have more."""


def further_rectangles(
    first: Rectangles, gain: Tensor, gains: Tensor, uniform: Tensor, area: tuple[float, float], size: Size
) -> list[tuple[Rectangles, Tensor]]:
    """Rectangles after the first, with their gains; images that need no more have sides of 0 there.

    Args:
        first: The first rectangle of each of B images; sides of 0: the image is not struck at all.
        gain: (B, 3), its gains.
        gains: (B, MOST − 1, 3), gains of the others.
        uniform: (B, MOST − 1, WIDTH) in [0, 1), see ``rectangles``.
        area: Share of the image's area, (low, high).
        size: (H, W).
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
