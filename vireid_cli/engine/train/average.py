"""Exponential moving average of a network's weights (``train.ema``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vireid_cli.engine.checkpoint_average import AVERAGE, average_of


class WeightAverage:
    """Average of the weights over the steps: a ← d·a + (1 − d)·w.

    d is min(decay, (1 + n) / (10 + n)) in step n, so that the random start has no weight after a short
    training. Buffers, such as running statistics, are those of the last step.

    Args:
        network: The network in training; its present weights are the first average.
        decay: d of a long training, such as 0.999.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network, self._decay = network, decay
        self._parameters = {name for name, _ in network.named_parameters()}
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after ``step`` steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        values = self._network.state_dict()
        averages, weights = [], []
        for name, value in values.items():
            if name in self._parameters:
                averages.append(self.state[name])
                weights.append(value)
            elif value.shape != self.state[name].shape:  # set by ``calibrate``
                self.state[name] = value.detach().clone()
            else:
                self.state[name].copy_(value)
        torch._foreach_lerp_(averages, weights, 1.0 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the network the averages within the block."""
        own = {name: value.detach().clone() for name, value in self._network.state_dict().items()}
        self._network.load_state_dict(self.state)
        try:
            yield
        finally:
            self._network.load_state_dict(own)

    def tensors(self) -> dict[str, Tensor]:
        """Copy the averages to the CPU, with names for a checkpoint."""
        return {f"{AVERAGE}{name}": value.to("cpu", copy=True) for name, value in self.state.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Replace the averages by those of a checkpoint, on the network's device."""
        for name, value in average_of(tensors).items():
            self.state[name] = value.to(self.state[name].device, copy=True)
