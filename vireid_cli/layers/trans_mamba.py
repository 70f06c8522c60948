"""SFCL's Trans-Mamba block: scan of amplitude tokens, attention on phase tokens (docs/methods.md#cfam).

The paper lists the parts; their widths, ratios and order are our readings.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.layers.ss2d import SelectiveScan2d

HEADS = 8


class Attention(nn.Module):
    """Multi-head attention of queries over keys and values, all of width d.

    Args:
        dim: d, a multiple of ``HEADS``.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, queries: Tensor, context: Tensor) -> Tensor:
        """Attend: (B, N, d), (B, M, d) → (B, N, d)."""
        query, key, value = (
            rows.unflatten(2, (HEADS, -1)).transpose(1, 2)  # (B, heads, N, d/heads)
            for rows in (self.query(queries), *self.key_value(context).chunk(2, dim=2))
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out


class Refiner(nn.Module):
    """Refine amplitude tokens on their grid: W GELU(DWConv₃ₓ₃(a))."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.local = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Refine tokens (B, h·w, d) on a grid of ``size`` (h, w): (B, h·w, d)."""
        local = self.local(tokens.mT.unflatten(2, size)).flatten(2).mT  # (B, h·w, d)
        out: Tensor = self.out(F.gelu(local))
        return out


def perceptron(dim: int, ratio: int) -> nn.Sequential:
    """Linear → GELU → Linear with ``ratio`` times d hidden units."""
    return nn.Sequential(nn.Linear(dim, ratio * dim), nn.GELU(), nn.Linear(ratio * dim, dim))


class TransMamba(nn.Module):
    """One block. Both streams keep their shape, and each ends with an update from the other stream.

    Args:
        dim: Channels d of the tokens.
        state: State size of the scan.
        ratio: Ratio of the scan's inner channels to d.
    """

    def __init__(self, dim: int, state: int = 16, ratio: int = 2) -> None:
        super().__init__()
        self.scan_norm, self.scan = nn.LayerNorm(dim), SelectiveScan2d(dim, state, ratio)
        self.amplitude_norm, self.amplitude_mlp = nn.LayerNorm(dim), perceptron(dim, 4)
        self.refiner = Refiner(dim)
        self.attention_norm, self.attention = nn.LayerNorm(dim), Attention(dim)
        self.phase_norm, self.phase_mlp = nn.LayerNorm(dim), perceptron(dim, 4)
        self.to_amplitude, self.to_phase = perceptron(dim, 1), perceptron(dim, 1)

    def forward(self, amplitude: Tensor, phase: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Update amplitude and phase tokens, (B, N, d) each, on a grid of ``size`` with N positions."""
        amplitude = amplitude + self.scan(self.scan_norm(amplitude), size)
        amplitude = amplitude + self.amplitude_mlp(self.amplitude_norm(amplitude))
        amplitude = amplitude + self.refiner(amplitude, size)
        normed = self.attention_norm(phase)
        phase = phase + self.attention(normed, normed)
        phase = phase + self.phase_mlp(self.phase_norm(phase))
        return amplitude + self.to_amplitude(phase), phase + self.to_phase(amplitude)
