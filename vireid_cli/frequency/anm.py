"""ANM, FDNM's amplitude nuances mining module (METHODS 1.3)."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.frequency.fourier import (
    Kind,
    Spectrum,
    amplitude,
    form,
    inverse,
    polar,
    spectrum,
    unit_phasor,
)
from vireid_cli.frequency.products import blocks, channels_last, together
from vireid_cli.frequency.row_means import batch_normed, bins_of, column_and_energy, row_means

Positivity = Literal["relu", "softplus", "abs", "none"]

BRANCHES = 2
EPSILON = 1e-5
"""Added to the variance of the instance norm; PyTorch's own."""


class AmplitudeNuancesMining(nn.Module):
    """Two maps with the phase of one map and two learned amplitudes, under one batch norm.

    A_b = relu(A + IN_b(conv_b(A))), b = 1, 2, conv a 1×1 convolution over channels. Residual and
    positivity are our reading of the paper's Res_b (METHODS 1.3); without them ``residual`` false and
    ``positivity`` none is the literal one, whose negative amplitudes turn phases by π. The batch norm
    sees both branches as one batch, so that its running statistics are of both.

    Args:
        channels: C.
        residual: Add the amplitude itself.
        positivity: What keeps A_b from being negative.
        kind: Form of the transform, see ``fourier.spectrum``.
    """

    def __init__(
        self, channels: int, residual: bool = True, positivity: Positivity = "relu", kind: Kind = "auto"
    ) -> None:
        super().__init__()
        # One product for both branches; a bias would be taken away by the instance norm.
        self.mix = nn.Conv2d(channels, BRANCHES * channels, 1, bias=False)
        nn.init.kaiming_normal_(self.mix.weight)
        self.weight = nn.Parameter(torch.ones(BRANCHES, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(BRANCHES, channels, 1, 1))
        self.norm = nn.BatchNorm2d(channels)
        self.residual, self.positivity, self.kind = residual, positivity, kind

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) → (2·B, C, H, W), the first branch's maps before the second's."""
        size = (features.shape[-2], features.shape[-1])
        parts = [self._polar(part) for part in blocks(features)]
        mixed = blocks(self._mixed(together([found for found, _ in parts])), features)
        mined = [
            [
                inverse(polar(own, phase), size, self.kind, ordered=False, dtype=features.dtype)
                for own in self._mined(found, branches)
            ]
            for (found, phase), branches in zip(parts, mixed, strict=True)
        ]
        maps: Tensor = self.norm(together([part for branch in zip(*mined, strict=True) for part in branch]))
        return _DenseGradient.apply(maps) if self.training else maps

    def rows(self, features: Tensor) -> Tensor:
        """Means over each row of pixels of what ``forward`` gives: (B, C, H, W) → (2·B, C, H), float32.

        The same numbers without the maps, where they would only be averaged over stripes (our way, not the
        paper's): two of three transforms, and most of what is done to bins, are not needed for them.
        """
        height, width = features.shape[-2:]
        kind = form(self.kind, height * width, features)  # one for whole maps and for their first column
        parts = [bins_of(spectrum(part, kind, ordered=False), width) for part in blocks(features)]
        mixed = blocks(self._mixed(together([part.amplitude for part in parts])), features)
        found = [
            [column_and_energy(part, mined) for mined in self._mined(part.amplitude, of)]
            for part, of in zip(parts, mixed, strict=True)
        ]
        by_branch = [part for branch in zip(*found, strict=True) for part in branch]
        re, im, energy = (together(list(pieces)) for pieces in zip(*by_branch, strict=True))
        return batch_normed(self.norm, row_means((re, im), width, kind), energy, width)

    def _polar(self, features: Tensor) -> tuple[Tensor, Spectrum]:
        """Amplitude A (B, C, H, half), float32, and phase of the maps."""
        bins = spectrum(features, self.kind, ordered=False)
        found = amplitude(bins)
        return found, unit_phasor(bins, found)

    def _mixed(self, found: Tensor) -> Tensor:
        """conv_1(A), conv_2(A): (B, C, H, half) → (B, 2·C, H, half), in autocast's type."""
        weight = self.mix.weight.flatten(1)  # (2·C, C)
        if channels_last(found):
            return F.linear(found.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)
        return torch.matmul(weight, found.flatten(2)).unflatten(2, found.shape[2:])

    def _mined(self, found: Tensor, mixed: Tensor) -> list[Tensor]:
        """A_1 and A_2 from A and the mixed amplitudes: (B, C, H, half) each."""
        branches = mixed.to(found.dtype).chunk(BRANCHES, dim=1)
        return [self._positive(self._normed(own, found, index)) for index, own in enumerate(branches)]

    def _normed(self, branch: Tensor, found: Tensor, index: int) -> Tensor:
        """Instance norm over bins, with the residual."""
        normed: Tensor = _InstanceNorm.apply(branch, self.weight[index], self.bias[index])
        return normed + found if self.residual else normed

    def _positive(self, values: Tensor) -> Tensor:
        if self.positivity == "relu":
            return values.relu()
        if self.positivity == "softplus":
            return F.softplus(values)
        return values.abs() if self.positivity == "abs" else values


class _InstanceNorm(torch.autograd.Function):
    """Instance norm over bins, backward pass in closed form: a third of the time on a CPU.

    ``var_mean`` and the norm layer of PyTorch are slow there where channels lie together.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(B, C, H, half), (C, 1, 1) twice → (B, C, H, half)."""
        centred = values - values.mean(dim=(-2, -1), keepdim=True)
        variance = (centred * centred).mean(dim=(-2, -1), keepdim=True)
        inverse = (variance + EPSILON).rsqrt()  # (B, C, 1, 1)
        ctx.save_for_backward(centred, inverse, weight)
        return torch.addcmul(bias, centred, weight * inverse)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        centred, inverse, weight = ctx.saved_tensors
        (given,) = gradients
        mean = given.mean(dim=(-2, -1), keepdim=True)  # (B, C, 1, 1)
        along = (given * centred).mean(dim=(-2, -1), keepdim=True) * inverse  # with the normed values
        scale, count = weight * inverse, given.shape[-2] * given.shape[-1]
        to_values = (given - mean).mul_(scale).addcmul_(centred, along * inverse * scale, value=-1.0)
        return to_values, along.sum(0) * count, mean.sum(0) * count


class _DenseGradient(torch.autograd.Function):
    """The maps as they are; their gradient in their own layout.

    Pooling hands back one number for many pixels, without memory of its own; the batch norm's backward
    pass takes five times longer over that.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.format = torch.channels_last if channels_last(maps) else torch.contiguous_format
        return maps.view_as(maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].contiguous(memory_format=ctx.format)
