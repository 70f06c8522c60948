"""Dropout that draws for the whole batch while ranks share its rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vireid_cli.sharding import share


class SharedDropout(nn.Dropout):
    """Dropout with draws that do not depend on the number of ranks; rows are the first axis."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop values of (k·b, …)."""
        if not self.training or self.p == 0.0 or share.active() is None:
            return super().forward(input)
        flat = input.dim() != 4 or input.is_contiguous()
        layout = torch.contiguous_format if flat else torch.channels_last

        def mask(rows: int) -> Tensor:
            """Draw in the order of the memory, as PyTorch does on a CPU."""
            shape = (rows, *input.shape[1:])
            noise = torch.empty(shape, dtype=input.dtype, device=input.device, memory_format=layout)
            return noise.bernoulli_(1.0 - self.p).div_(1.0 - self.p)

        return input * share.drawn(mask, input.shape[0])


def convert(module: nn.Module) -> None:
    """Replace each ``nn.Dropout`` in a module by a ``SharedDropout``."""
    for name, child in module.named_children():
        if type(child) is nn.Dropout:
            setattr(module, name, SharedDropout(child.p, child.inplace).train(child.training))
        else:
            convert(child)
