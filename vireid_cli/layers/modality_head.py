"""Small classifier of the modality of an image, on pooled features."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

HIDDEN = 100
"""Hidden units of both layers, as in IDKL's release."""
DROPOUT = 0.5


class ModalityHead(nn.Module):
    """Linear, batch norm, ReLU, dropout, twice; then logits of the two modalities.

    Args:
        features: Size D of the pooled feature.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_layer(features), *_layer(HIDDEN), nn.Linear(HIDDEN, 2))

    def forward(self, features: Tensor) -> Tensor:
        """Classify: (N, D) → (N, 2), visible first."""
        return cast(Tensor, self.layers(features))


def _layer(inputs: int) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(inplace=True), nn.Dropout(DROPOUT)
