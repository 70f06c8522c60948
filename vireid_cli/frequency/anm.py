"""ANM, FDNM's amplitude nuances mining module (docs/methods.md#anm)."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.frequency.branch_norm import BranchNorm
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
PositivityOn = Literal["mixed", "sum"]
Norm = Literal["two", "joint", "none"]

BRANCHES = 2
EPSILON = 1e-5
"""Added to the variance of the instance norm; PyTorch's own."""


class AmplitudeNuancesMining(nn.Module):
    """Two maps with the phase of one map and two learned amplitudes, each under a batch norm of its own.

    A_b = A + relu(IN_b(conv_b(A))), b = 1, 2, conv a 1×1 convolution over channels. Residual and
    positivity are our reading of the paper's Res_b (docs/methods.md#anm); ``residual`` false with
    ``positivity`` none is the literal one, whose negative amplitudes turn phases by π.

    Args:
        channels: C.
        residual: Add the amplitude itself.
        positivity: The function that keeps A_b from being negative.
        positivity_on: ``mixed``: it acts on IN(conv A), so that A_b is at least A; ``sum``: on the sum
            with A, where it zeroes bins, the zero frequency among them.
        norm: ``two``: a batch norm a branch, with one γ and β for both, the paper's "parameter-shared";
            ``joint``: one over both branches; ``none``: the maps as they are.
        kind: Form of the transform, see ``fourier.spectrum``.
    """

    def __init__(
        self,
        channels: int,
        residual: bool = True,
        positivity: Positivity = "relu",
        positivity_on: PositivityOn = "mixed",
        norm: Norm = "two",
        kind: Kind = "auto",
    ) -> None:
        super().__init__()
        # One product for both branches; the instance norm would remove a bias.
        self.mix = nn.Conv2d(channels, BRANCHES * channels, 1, bias=False)
        nn.init.kaiming_normal_(self.mix.weight)
        self.weight = nn.Parameter(torch.ones(BRANCHES, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(BRANCHES, channels, 1, 1))
        norms = {"two": BRANCHES, "joint": 1}
        self.norm = BranchNorm(channels, norms[norm]) if norm in norms else None
        self.residual, self.positivity, self.positivity_on = residual, positivity, positivity_on
        self.kind = kind

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) → (2·B, C, H, W), the first branch's maps before the second's."""
        size = (features.shape[-2], features.shape[-1])
        parts = [self._polar(part) for part in blocks(features)]
        mixed = blocks(self._mixed(together([amplitude for amplitude, _ in parts])), features)
        mined = [
            [
                inverse(polar(own, phase), size, self.kind, ordered=False, dtype=features.dtype)
                for own in self._mined(amplitude, branches)
            ]
            for (amplitude, phase), branches in zip(parts, mixed, strict=True)
        ]
        maps = together([part for branch in zip(*mined, strict=True) for part in branch])
        if self.norm is not None:
            maps = self.norm(maps)
        return _DenseGradient.apply(maps) if self.training else maps

    def rows(self, features: Tensor) -> Tensor:
        """Means over each row of pixels of the maps of ``forward``: (B, C, H, W) → (2·B, C, H), float32.

        The same numbers without the maps, for stripes that average them (our way, not the paper's): two of
        three transforms, and most of the work on bins, are not needed for them.
        """
        height, width = features.shape[-2:]
        kind = form(self.kind, height * width, features)  # one for whole maps and for their first column
        parts = [bins_of(spectrum(part, kind, ordered=False), width) for part in blocks(features)]
        mixed = blocks(self._mixed(together([part.amplitude for part in parts])), features)
        columns = [
            [column_and_energy(part, mined) for mined in self._mined(part.amplitude, of)]
            for part, of in zip(parts, mixed, strict=True)
        ]
        by_branch = [part for branch in zip(*columns, strict=True) for part in branch]
        re, im, energy = (together(list(pieces)) for pieces in zip(*by_branch, strict=True))
        rows = row_means((re, im), width, kind)
        return rows if self.norm is None else batch_normed(self.norm, rows, energy, width)

    def _polar(self, features: Tensor) -> tuple[Tensor, Spectrum]:
        """Amplitude A (B, C, H, half), float32, and phase of the maps."""
        bins = spectrum(features, self.kind, ordered=False)
        size = amplitude(bins)
        return size, unit_phasor(bins, size)

    def _mixed(self, size: Tensor) -> Tensor:
        """conv_1(A), conv_2(A): (B, C, H, half) → (B, 2·C, H, half), in autocast's type."""
        weight = self.mix.weight.flatten(1)  # (2·C, C)
        if channels_last(size):
            return F.linear(size.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)
        return torch.matmul(weight, size.flatten(2)).unflatten(2, size.shape[2:])

    def _mined(self, size: Tensor, mixed: Tensor) -> list[Tensor]:
        """A_1 and A_2 from A and the mixed amplitudes: (B, C, H, half) each."""
        branches = mixed.to(size.dtype).chunk(BRANCHES, dim=1)
        return [self._composed(own, size, index) for index, own in enumerate(branches)]

    def _composed(self, branch: Tensor, size: Tensor, index: int) -> Tensor:
        """One branch's amplitude from its mixed amplitudes and A."""
        normed: Tensor = _InstanceNorm.apply(branch, self.weight[index], self.bias[index])
        if not self.residual:
            return self._positive(normed)
        if self.positivity_on == "sum":
            return self._positive(normed + size)
        return self._positive(normed) + size

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
