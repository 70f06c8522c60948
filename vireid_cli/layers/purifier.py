"""Purification of a map by instance normalisation and learned masks, for a branch's last map.

Two readings of D-SELACFP's "modal purification restorer" (docs/methods.md#modal-purification-restorer).
Instance normalisation uses the statistics of each image, in training and evaluation.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from torch import Tensor, nn

from vireid_cli.layers.pooling import generalised_mean

REDUCTION = 16
"""Ratio of channels to hidden units of a mask."""
LEAST = 4
"""Smallest number of hidden units, for narrow networks (our choice)."""

POWER = 3.0
"""p of the generalised mean of the residual."""


class Purified(NamedTuple):
    """A purified map and its parts, (B, C, h, w) each.

    Attributes:
        features: m_X m_F (F + X).
        before: F.
        normalized: X = IN(F).
        masked_normalized: m_X X.
        masked: m_F F.
    """

    features: Tensor
    before: Tensor
    normalized: Tensor
    masked_normalized: Tensor
    masked: Tensor


class Purifier(nn.Module):
    """x = m_X m_F (F + IN(F)) with masks m_X = σ(W₂ relu(W₁ IN(F))) and m_F = σ(U₂ relu(U₁ F)).

    A mask has a value per channel and position, initially about ½, so that the branch differs from an
    unpurified copy from the first step.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels, affine=True)
        self.normalized_mask, self.mask = _perceptron(channels), _perceptron(channels)

    def forward(self, features: Tensor) -> Purified:
        """Purify F: (B, C, h, w)."""
        normalized = self.norm(features)
        first, second = self.normalized_mask(normalized).sigmoid(), self.mask(features).sigmoid()
        masked_normalized, masked = first * normalized, second * features
        purified = first * masked + second * masked_normalized
        return Purified(purified, features, normalized, masked_normalized, masked)


class Restitution(nn.Module):
    """x = X + m (F − X) with X = IN(F) and m = σ(V₂ relu(V₁ GeM(F − X))), one value per channel.

    Instance normalisation removes style; the mask restores the part of the residual that discriminates
    identities.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.mask = _perceptron(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Purify F: (B, C, h, w) → (B, C, h, w)."""
        normalized = cast(Tensor, self.norm(features))
        residual = features - normalized
        described = generalised_mean(residual, POWER)[:, :, None, None]  # (B, C, 1, 1)
        return normalized + cast(Tensor, self.mask(described)).sigmoid() * residual


def _perceptron(channels: int) -> nn.Sequential:
    """Two 1 × 1 convolutions without bias, PyTorch's initial weights."""
    hidden = max(channels // REDUCTION, LEAST)
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1, bias=False),
        nn.ReLU(inplace=True),
        nn.Conv2d(hidden, channels, 1, bias=False),
    )
