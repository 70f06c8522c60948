"""Mean of the gradients over all ranks, computed while the backward pass still runs.

PyTorch's ``DistributedDataParallel`` does the same. It either fails on weights without a gradient or prints a
warning in each run, assigns weights to messages anew after the first step, so that a resumed run rounds
differently, and can't reduce gradients that several backward passes add.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

MESSAGE_BYTES = 25 * 2**20
"""Least size of the gradients that ranks exchange at once, as in ``DistributedDataParallel``."""


class GradientMean:
    """Replaces gradients by their means over the ranks.

    Args:
        network: The network in training.
        overlapped: Whether each message is sent as soon as its gradients are complete. Set False if several
            backward passes add their gradients.
    """

    def __init__(self, network: nn.Module, *, overlapped: bool = True) -> None:
        trainable = [p for p in network.parameters() if p.requires_grad]
        # Gradients become complete roughly in the reverse order of the forward pass.
        self._messages = _messages(trainable[::-1])
        self._missing = [len(message) for message in self._messages]
        self._sent: list[tuple[list[Tensor], Tensor, Any]] = []
        if overlapped:
            for number, message in enumerate(self._messages):
                for parameter in message:
                    parameter.register_post_accumulate_grad_hook(self._counter(number))

    def finish(self) -> None:
        """Send the remaining gradients, wait for all means, and store them. Call after the backward pass."""
        for number in range(len(self._sent), len(self._messages)):
            self._send(number)
        ranks = dist.get_world_size()
        for gradients, flat, work in self._sent:
            if work is not None:
                work.wait()
                flat.div_(ranks)
            parts = flat.split([gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view(gradient.shape))
        self._sent.clear()
        self._missing = [len(message) for message in self._messages]

    def _counter(self, number: int) -> Any:
        """Hook that counts the complete gradients of a message."""

        def count(_: Tensor) -> None:
            """Send all messages in order that are complete; every rank sends them in the same order."""
            self._missing[number] -= 1
            while len(self._sent) < len(self._messages) and self._missing[len(self._sent)] == 0:
                self._send(len(self._sent))

        return count

    def _send(self, number: int) -> None:
        """Start the exchange of a message; weights without a gradient have none on any rank."""
        gradients = [p.grad for p in self._messages[number] if p.grad is not None]
        if not gradients:
            self._sent.append(([], torch.empty(0), None))
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self._sent.append((gradients, flat, dist.all_reduce(flat, async_op=True)))


def broadcast_weights(network: nn.Module) -> None:
    """Replace a network's weights and buffers by those of rank 0."""
    for value in network.state_dict().values():
        if value.numel():
            dense = value.contiguous()  # a copy if the value is in channels-last memory
            dist.broadcast(dense, src=0)
            value.copy_(dense)


def _messages(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Group parameters of one type into messages of at least ``MESSAGE_BYTES``, in order."""
    messages: list[list[nn.Parameter]] = []
    size = 0
    for parameter in parameters:
        if not messages or size >= MESSAGE_BYTES or messages[-1][0].dtype != parameter.dtype:
            messages.append([])
            size = 0
        messages[-1].append(parameter)
        size += parameter.nbytes
    return messages
