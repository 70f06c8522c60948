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
"""Addend of the variance in the instance norm, PyTorch's default."""


class AmplitudeNuancesMining(nn.Module):
    """Map with two learned amplitudes: two branches with the input's phase and their own batch norms.

    A_b = A + relu(IN_b(conv_b(A))), b = 1, 2, with a 1×1 convolution over channels. Residual and positivity
    are our reading of the paper's Res_b (docs/methods.md#anm). ``residual`` false with ``positivity`` none is
    the literal reading; its negative amplitudes shift phases by π.

    Args:
        channels: C.
        residual: Add the amplitude itself.
        positivity: Function that keeps A_b from being negative.
        positivity_on: Argument of the function. ``mixed`` applies it to IN(conv A), so that A_b is at least
            A. ``sum`` applies it to the sum with A, which sets bins to zero, even the zero frequency.
        norm: ``two`` is a batch norm per branch with shared γ and β, the paper's "parameter-shared" norms;
            ``joint`` is one batch norm over both branches; ``none`` leaves the maps unchanged.
        kind: Implementation of the transform; see ``fourier.spectrum``.
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
        # One convolution for both branches, without bias, which the instance norm would remove.
        self.mix = nn.Conv2d(channels, BRANCHES * channels, 1, bias=False)
        nn.init.kaiming_normal_(self.mix.weight)
        self.weight = nn.Parameter(torch.ones(BRANCHES, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(BRANCHES, channels, 1, 1))
        norms = {"two": BRANCHES, "joint": 1}
        self.norm = BranchNorm(channels, norms[norm]) if norm in norms else None
        self.residual, self.positivity, self.positivity_on = residual, positivity, positivity_on
        self.kind = kind

    def forward(self, features: Tensor) -> Tensor:
        """Compute both branches: (B, C, H, W) → (2·B, C, H, W), the first branch before the second."""
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
        """Mean of each pixel row of the maps of ``forward``: (B, C, H, W) → (2·B, C, H), float32.

        This is our shortcut for stripes that average rows. It gives the same numbers without computing the
        maps, and so saves two of three transforms and most of the work on bins.
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
        """Amplitude A (B, C, H, half) in float32, and phase of the maps."""
        bins = spectrum(features, self.kind, ordered=False)
        size = amplitude(bins)
        return size, unit_phasor(bins, size)

    def _mixed(self, size: Tensor) -> Tensor:
        """Compute conv_1(A) and conv_2(A): (B, C, H, half) → (B, 2·C, H, half), in autocast's type."""
        weight = self.mix.weight.flatten(1)  # (2·C, C)
        if channels_last(size):
            return F.linear(size.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)
        return torch.matmul(weight, size.flatten(2)).unflatten(2, size.shape[2:])

    def _mined(self, size: Tensor, mixed: Tensor) -> list[Tensor]:
        """Compute A_1 and A_2 from A and the mixed amplitudes: (B, C, H, half) each."""
        branches = mixed.to(size.dtype).chunk(BRANCHES, dim=1)
        return [self._composed(own, size, index) for index, own in enumerate(branches)]

    def _composed(self, branch: Tensor, size: Tensor, index: int) -> Tensor:
        """Compute the amplitude of one branch from its mixed amplitudes and A."""
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
    """Instance norm over bins with a backward pass in closed form, three times faster on a CPU.

    PyTorch's ``var_mean`` and norm layer are slow on a CPU for maps in channels-last layout.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Normalise (B, C, H, half) values; weight and bias are (C, 1, 1)."""
        centred = values - values.mean(dim=(-2, -1), keepdim=True)
        variance = (centred * centred).mean(dim=(-2, -1), keepdim=True)
        inverse = (variance + EPSILON).rsqrt()  # (B, C, 1, 1)
        ctx.save_for_backward(centred, inverse, weight)
        return torch.addcmul(bias, centred, weight * inverse)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of values, weight and bias."""
        centred, inverse, weight = ctx.saved_tensors
        (gradient,) = gradients
        mean = gradient.mean(dim=(-2, -1), keepdim=True)  # (B, C, 1, 1)
        along = (gradient * centred).mean(dim=(-2, -1), keepdim=True) * inverse  # with the normed values
        scale, count = weight * inverse, gradient.shape[-2] * gradient.shape[-1]
        to_values = (gradient - mean).mul_(scale).addcmul_(centred, along * inverse * scale, value=-1.0)
        return to_values, along.sum(0) * count, mean.sum(0) * count


class _DenseGradient(torch.autograd.Function):
    """Identity that copies the gradient into the memory layout of the maps.

    The gradient of pooling is an expanded tensor, one number for many pixels. The backward pass of batch
    norm takes five times longer on such a tensor.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        """Return the maps and remember their memory format."""
        ctx.format = torch.channels_last if channels_last(maps) else torch.contiguous_format
        return maps.view_as(maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Copy the gradient into that format."""
        return gradients[0].contiguous(memory_format=ctx.format)
