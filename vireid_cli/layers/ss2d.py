"""SS2D, VMamba's selective scan over a grid in four directions, in plain PyTorch (docs/methods.md#cfam).

Liu et al., "VMamba: Visual State Space Model", 2024: rows, columns, and both reversed.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.layers.scan import selective_scan

DIRECTIONS = 4

STEP_RANGE = (1e-3, 0.1)
"""Range of the initial step sizes Δ, log-uniform."""


def four_ways(grid: Tensor) -> Tensor:
    """Read a grid as four sequences: rows, columns, rows reversed, columns reversed.

    Args:
        grid: (B, C, h, w).

    Returns:
        (B, 4, h·w, C).
    """
    rows, columns = grid.flatten(2), grid.mT.flatten(2)  # (B, C, L)
    both = torch.stack([rows, columns], dim=1)
    return torch.cat([both, both.flip(-1)], dim=1).mT


def joined_ways(sequences: Tensor, size: tuple[int, int]) -> Tensor:
    """Sum four sequences in grid order; the inverse reading of ``four_ways``.

    Args:
        sequences: (B, 4, h·w, C).
        size: (h, w).

    Returns:
        (B, h·w, C), row by row.
    """
    both = sequences[:, :2] + sequences[:, 2:].flip(2)  # (B, 2, L, C)
    columns = both[:, 1].unflatten(1, (size[1], size[0])).transpose(1, 2)  # (B, h, w, C)
    return both[:, 0] + columns.flatten(1, 2)


class SelectiveScan2d(nn.Module):
    """Gate SiLU(z) ⊙ LayerNorm(Σ of four scans of SiLU(DWConv(u))), projected in and out.

    Args:
        dim: Channels d of the tokens.
        state: Size n of a channel's state.
        ratio: Ratio of inner channels to d.
    """

    def __init__(self, dim: int, state: int = 16, ratio: int = 2) -> None:
        super().__init__()
        inner, self.rank, self.state = ratio * dim, math.ceil(dim / 16), state
        self.project_in = nn.Linear(dim, 2 * inner, bias=False)
        self.local = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.selection = nn.Parameter(torch.empty(DIRECTIONS, inner, self.rank + 2 * state))
        self.step_weight = nn.Parameter(torch.empty(DIRECTIONS, self.rank, inner))
        self.step_bias = nn.Parameter(torch.empty(DIRECTIONS, inner))
        self.decay_log = nn.Parameter(torch.empty(DIRECTIONS, inner, state))
        self.skip = nn.Parameter(torch.ones(DIRECTIONS, inner))
        self.norm = nn.LayerNorm(inner)
        self.project_out = nn.Linear(inner, dim, bias=False)
        self._initialise(inner)

    def _initialise(self, inner: int) -> None:
        """Initialise as Mamba: A = −(1 … n), softplus of the step's bias log-uniform in ``STEP_RANGE``."""
        low, high = (math.log(step) for step in STEP_RANGE)
        with torch.no_grad():
            nn.init.uniform_(self.selection, -(inner**-0.5), inner**-0.5)
            nn.init.uniform_(self.step_weight, -(self.rank**-0.5), self.rank**-0.5)
            steps = torch.empty_like(self.step_bias).uniform_(low, high).exp()
            self.step_bias.copy_(steps.expm1().log())  # the inverse of softplus
            self.decay_log.copy_(torch.arange(1, self.state + 1).log().expand_as(self.decay_log))

    def undecayed(self) -> list[nn.Parameter]:
        """Parameters without weight decay: A, D, the step's bias and the norm."""
        return [self.decay_log, self.skip, self.step_bias, *self.norm.parameters()]

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Mix tokens along the grid: (B, h·w, d), (h, w) → (B, h·w, d)."""
        u, gate = self.project_in(tokens).chunk(2, dim=-1)  # (B, L, di) each
        grid = u.mT.unflatten(2, size)  # (B, di, h, w)
        ways = four_ways(F.silu(self.local(grid)))  # (B, 4, L, di)
        shares = (self.rank, self.state, self.state)
        chosen, inputs, outputs = (ways @ self.selection).split(shares, dim=-1)
        # Steps have full precision, because exp(Δ A) amplifies a rounding error of Δ.
        steps = F.softplus((chosen @ self.step_weight).float() + self.step_bias.unsqueeze(1))
        rates = -self.decay_log.float().exp()
        scanned = selective_scan(ways, steps, rates, inputs, outputs, self.skip)
        mixed: Tensor = self.norm(joined_ways(scanned, size)) * F.silu(gate)
        return self.project_out(mixed.to(tokens.dtype))
