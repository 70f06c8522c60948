"""Resizing of uint8 images inside a program, with the same levels as ``data.resize``.

Both filters are separable, and both libraries compute them in fixed point: weights are rounded to integers,
and each of two passes rounds to 8 bits. Here each pass is one product with a matrix of the input's size in
float64, which holds all sums exactly. Matrices are computed from the input's shape, so an exported program
takes images of any size.

The horizontal pass is first. Pillow 13 starts with the vertical pass if it removes more than twice as many
rows as columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vireid_cli.types import Resize, Size

RADIUS: dict[Resize, float] = {"lanczos": 3.0, "bicubic": 2.0}
"""Half of the filter's width in pixels of the smaller image."""

PILLOW_BITS = 22
"""Fractional bits of Pillow's weights (``PRECISION_BITS`` of its ``Resample.c``)."""

TORCH_BITS = 22
"""Maximum number of fractional bits of torch's weights, which must fit 16 bits with their sign."""


class Resample(nn.Module):
    """Resize uint8 images of any size, as ``data.resize.resize`` does.

    Args:
        size: (height, width) of the results.
        rule: Resize filter.
        ordered: Whether the vertical pass may be first, as in Pillow 13; only for ``lanczos``.
    """

    powers: Tensor

    def __init__(self, size: Size, rule: Resize, ordered: bool = False) -> None:
        super().__init__()
        self.size, self.rule, self.ordered = size, rule, ordered
        powers = [2.0**bits for bits in range(1, TORCH_BITS + 1)]
        self.register_buffer("powers", torch.tensor(powers, dtype=torch.float64), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Resample:
        """Move the module without a change of its type: products in float32 would not be exact."""
        super()._apply(fn, recurse)
        self.powers = self.powers.double()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """Resize (N, h, w, 3) uint8: (N, 3, H, W) float32 in [0, 1]."""
        images = pixels.permute(0, 3, 1, 2).double()  # (N, 3, h, w)
        height, width = (_length(pixels, axis) for axis in (1, 2))
        rows, columns = self._matrix(pixels, 1, height), self._matrix(pixels, 2, width)  # (H, h), (W, w)
        levels = _down(_across(images, *columns), *rows)  # (N, 3, H, W)
        if self.ordered:
            removed, narrowed = height - self.size[0], width - self.size[1]
            tall = (removed > 0) & (removed > 2 * narrowed)
            levels = torch.where(tall, _across(_down(images, *rows), *columns), levels)
        return levels.float() / 255.0

    def _matrix(self, pixels: Tensor, axis: int, length: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of one axis: whole numbers (outputs, inputs) in float64, and their unit."""
        outputs, device = self.size[axis - 1], pixels.device
        at = torch.arange(pixels.shape[axis], dtype=torch.float64, device=device).unsqueeze(0)
        scale = length / outputs
        stretch = scale.clamp(min=1.0)
        middle = (torch.arange(outputs, dtype=torch.float64, device=device).unsqueeze(1) + 0.5) * scale
        reach = RADIUS[self.rule] * stretch
        first = torch.floor(middle - reach + 0.5)
        last = torch.floor(middle + reach + 0.5)
        kernel = lanczos if self.rule == "lanczos" else bicubic
        weights = kernel((at - middle + 0.5) * (1.0 / stretch))
        weights = torch.where((at >= first) & (at < last), weights, torch.zeros_like(weights))
        weights = weights / weights.sum(1, keepdim=True)
        unit = self._unit(weights)
        return torch.sign(weights) * torch.floor((weights * unit).abs() + 0.5), unit

    def _unit(self, weights: Tensor) -> Tensor:
        """Fixed-point number of 1.0: constant in Pillow; in torch the largest at which all weights fit."""
        if self.rule == "lanczos":
            return self.powers[PILLOW_BITS - 1]
        fits = torch.floor(weights.max() * self.powers + 0.5) < 2**15
        return torch.where(fits, self.powers, torch.ones_like(self.powers)).max()


def lanczos(x: Tensor) -> Tensor:
    """Lanczos window of three lobes: sinc(x) sinc(x/3) for −3 ≤ x < 3, else 0."""
    inside = (x >= -3.0) & (x < 3.0)
    return torch.where(inside, _sinc(x) * _sinc(x / 3.0), torch.zeros_like(x))


def bicubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution with a = −½, which torch uses with antialiasing."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return torch.where(x < 1.0, near, torch.where(x < 2.0, far, torch.zeros_like(x)))


def _sinc(x: Tensor) -> Tensor:
    """sin(πx) / (πx), and 1 at 0."""
    angle = x * math.pi
    return torch.where(x == 0.0, torch.ones_like(x), torch.sin(angle) / torch.where(x == 0.0, 1.0, angle))


def _length(pixels: Tensor, axis: int) -> Tensor:
    """Length of an axis as a float64 tensor (1, 1), because exporters compute with numbers in float32."""
    return torch.full((1, 1), pixels.shape[axis], dtype=torch.int64, device=pixels.device).double()


def _across(images: Tensor, weights: Tensor, unit: Tensor) -> Tensor:
    """Horizontal pass: (N, 3, h, w) → (N, 3, h, W)."""
    return _levels(images @ weights.mT, unit)


def _down(images: Tensor, weights: Tensor, unit: Tensor) -> Tensor:
    """Vertical pass: (N, 3, h, w) → (N, 3, H, w)."""
    return _levels(weights @ images, unit)


def _levels(sums: Tensor, unit: Tensor) -> Tensor:
    """Round fixed-point sums to grey levels, half up, and clip them to 8 bits."""
    return torch.floor(sums / unit + 0.5).clamp(0.0, 255.0)
