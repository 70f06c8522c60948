"""Mean tokens of each modality over training: a partner for images that have none (METHODS 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vireid_cli.types import Modality

MOMENTUM = 0.99


class TokenMemory(nn.Module):
    """Exponential means over batches of amplitude and phase tokens, unbiased from the first batch on.

    The number of positions is that of the first batch; a saved memory brings its own.

    Args:
        dim: Width d of the tokens.
    """

    sums: Tensor
    weight: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("sums", torch.zeros(2, 2, 1, dim))  # modality, stream, position, channel
        self.register_buffer("weight", torch.zeros(()))

    def learn(self, visible: tuple[Tensor, Tensor], infrared: tuple[Tensor, Tensor]) -> None:
        """Take in a batch: amplitude and phase tokens, (B, N, d) each, of both modalities."""
        means = torch.stack(
            [torch.stack([t.detach().float().mean(0) for t in s]) for s in (visible, infrared)]
        )
        self.sums = MOMENTUM * self.sums + (1.0 - MOMENTUM) * means
        self.weight = MOMENTUM * self.weight + (1.0 - MOMENTUM)

    def recall(self, modality: Modality) -> tuple[Tensor, Tensor]:
        """Mean amplitude and phase tokens of a modality, (N, d) each; zeros before the first batch."""
        mean = self.sums[modality.code] / self.weight.clamp_min(1e-6)
        return mean[0], mean[1]

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        saved = state_dict.get(f"{prefix}sums")
        if saved is not None and saved.shape != self.sums.shape:
            self.sums = self.sums.new_zeros(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
