"""ANM, FDNM's amplitude nuances mining module (METHODS 1.3)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.frequency.fourier import Kind, amplitude, inverse, spectrum, unit_phasor

Positivity = Literal["relu", "softplus", "abs", "none"]

BRANCHES = 2


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
        bins = spectrum(features, self.kind)
        found = amplitude(bins)  # (B, C, H, half)
        mined = torch.cat(self.amplitudes(found))  # (2·B, C, H, half)
        cosine, sine = unit_phasor(bins, found)
        both = (mined * cosine.repeat(2, 1, 1, 1), mined * sine.repeat(2, 1, 1, 1))
        maps: Tensor = self.norm(inverse(both, size, self.kind))
        return maps.to(features.dtype)

    def amplitudes(self, found: Tensor) -> list[Tensor]:
        """A_1 and A_2 from A: (B, C, H, half) → two of that shape, float32."""
        mixed = self.mix(found).to(found.dtype)  # (B, 2·C, H, half)
        return [
            self._positive(self._normed(branch, found, index))
            for index, branch in enumerate(mixed.chunk(BRANCHES, dim=1))
        ]

    def _normed(self, branch: Tensor, found: Tensor, index: int) -> Tensor:
        """Instance norm over bins, with the residual: its affine form in one pass."""
        variance, mean = torch.var_mean(branch, dim=(-2, -1), keepdim=True, correction=0)
        scale = self.weight[index] * (variance + 1e-5).rsqrt()  # (B, C, 1, 1)
        offset = self.bias[index] - mean * scale
        normed = branch * scale + offset
        return normed + found if self.residual else normed

    def _positive(self, values: Tensor) -> Tensor:
        if self.positivity == "relu":
            return values.relu()
        if self.positivity == "softplus":
            return F.softplus(values)
        return values.abs() if self.positivity == "abs" else values
