"""SFIM, SFCL's interaction of the spatial and the frequency map (docs/methods.md#sfim).

Positions of the spatial map gather the positions of the modulated frequency map with which they correlate.
The power-normalised cross-covariance of both is added to the pooled feature. Initially the feature is the
pooled spatial map. Inner widths and the order of the parts are our readings.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.layers.pooling import generalised_mean
from vireid_cli.unit_rows import unit

OFFSET = 1e-4
"""e of the power normalisation; without it the slope at 0 would be infinite."""

EPS = 1e-8
"""ε of the covariance's batch norm; small, because a pattern that all images share leaves little variance."""

THRESHOLD = 0.2
"""Initial τ."""


def cosines(left: Tensor, right: Tensor) -> Tensor:
    """Cosines of all pairs of positions: (B, C, N), (B, C, M) → (B, N, M)."""
    return unit(left, dim=1).mT @ unit(right, dim=1)


def shrunk(similarity: Tensor, threshold: Tensor | float) -> Tensor:
    """Soft-thresholded rows relu(S − τ) / (Σ + 1e-6); they sum to 1, or to 0 if no entry exceeds τ."""
    excess = (similarity - threshold).relu()
    return excess / (excess.sum(-1, keepdim=True) + 1e-6)


def softmax_gate(similarity: Tensor, threshold: Tensor | float) -> Tensor:
    """Softmax rows times a soft gate at the threshold: softmax(S) σ((S − τ)/0.1)."""
    return similarity.softmax(-1) * ((similarity - threshold) / 0.1).sigmoid()


def cross_covariance(left: Tensor, right: Tensor) -> Tensor:
    """Covariance of two maps' channels over their positions: (B, r, N), (B, s, N) → (B, r, s)."""
    left, right = (rows - rows.mean(-1, keepdim=True) for rows in (left, right))
    return left @ right.mT / left.shape[-1]


def power_normalised(values: Tensor, offset: float = OFFSET) -> Tensor:
    """sgn(t) (sqrt(|t| + e) − sqrt(e)), of the shape of ``values``; its slope at 0 is 1 / (2 sqrt(e))."""
    return values.sign() * ((values.abs() + offset).sqrt() - math.sqrt(offset))


class Sfim(nn.Module):
    """Combine two maps of the same size into one feature of size C.

    The covariance also describes the pattern that the maps of all images have in common. With weights other
    than ImageNet's it can be all but 0.02 % of their variance; images then differ by less than the norm in
    the MLP distinguishes. A batch norm of the covariance removes the common part (an option, ours).

    Args:
        channels: C.
        rank: Number r of channels in which the maps are compared.
        hidden: Hidden units of the MLP on the r × r covariance.
        residual: Whether the pooled spatial map is added; otherwise the feature is the MLP's output.
        norm: Batch norm of the covariance over the images, without learned values, or none.
        attn: ``shrink`` or ``softmax_gate``.
        power: p of the generalised mean.
    """

    def __init__(
        self,
        channels: int,
        rank: int = 64,
        hidden: int = 1536,
        *,
        residual: bool = True,
        norm: Literal["batch", "none"] = "none",
        attn: Literal["shrink", "softmax_gate"] = "shrink",
        power: float = 3.0,
    ) -> None:
        super().__init__()
        self.residual, self.power = residual, power
        self.weigh = shrunk if attn == "shrink" else softmax_gate
        self.threshold = nn.Parameter(torch.tensor(math.log(THRESHOLD / (1 - THRESHOLD))))
        self.beta = nn.Parameter(torch.zeros(()))
        self.spatial = nn.Sequential(nn.Conv2d(channels, rank, 1, bias=False), nn.BatchNorm2d(rank))
        self.frequency = nn.Sequential(nn.Conv2d(channels, rank, 1, bias=False), nn.BatchNorm2d(rank))
        last = nn.Linear(hidden, channels)
        if residual:  # without it a last layer of zeros would block the gradient
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(nn.Linear(rank * rank, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), last)
        self.centre = nn.BatchNorm1d(rank * rank, EPS, affine=False) if norm == "batch" else nn.Identity()

    def undecayed(self) -> list[nn.Parameter]:
        """Parameters without weight decay: the scalars."""
        return [self.threshold, self.beta]

    def forward(self, spatial: Tensor, frequency: Tensor, modulated: Tensor) -> Tensor:
        """Compute the feature of each image.

        Args:
            spatial: X_spa, (B, C, h, w).
            frequency: O_fre, (B, C, h, w), compared with the positions of X_spa.
            modulated: G(O_fre), (B, C, h, w), source of the gathered values.

        Returns:
            (B, C) float32.
        """
        device = spatial.device.type
        if torch.is_autocast_enabled(device):  # cosines and covariances cancel in half precision
            with torch.autocast(device, enabled=False):
                return self(spatial.float(), frequency.float(), modulated.float())
        similarity = cosines(spatial.flatten(2), frequency.flatten(2))  # (B, N, N)
        weights = self.weigh(similarity, self.threshold.sigmoid())
        gathered = (modulated.flatten(2) @ weights.mT).unflatten(2, spatial.shape[2:])  # (B, C, h, w)
        enhanced = spatial + self.beta * gathered
        covariance = cross_covariance(self.spatial(enhanced).flatten(2), self.frequency(modulated).flatten(2))
        different = self.centre(covariance.flatten(1))  # (B, r²)
        described = F.normalize(power_normalised(different), dim=1, eps=1e-6)
        change: Tensor = self.mlp(described)
        return generalised_mean(enhanced, self.power) + change if self.residual else change
