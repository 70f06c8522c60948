"""Gradients of a batch in chunks, with the losses of the whole batch (GradCache).

Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP 2021. The
features of all chunks are computed without a graph. The losses of the whole batch give the gradient of each
feature, and a second forward pass of each chunk turns it into gradients of the weights. Activations of one
chunk need memory at a time; the losses still see all pairs.

The gradients are exact for a network whose batch norms use the statistics of their chunk, as the batch norms
before the features do. Those behind the features see the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from vireid_cli.counts import counted
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.train.gradient_mean import GradientMean
from vireid_cli.engine.train.step import BatchTerms, total_loss
from vireid_cli.errors import UsageError
from vireid_cli.methods import GatheredNetwork
from vireid_cli.sharding import batch_norm, dropout
from vireid_cli.sharding.share import RankShare, gather, repetition, splitting
from vireid_cli.types import Batch

PartT = TypeVar("PartT")


@dataclass(frozen=True, slots=True)
class BatchChunks:
    """Chunks of a batch, whole identities each; ranks share every chunk.

    Attributes:
        shares: This rank's rows of each chunk.
    """

    shares: tuple[RankShare, ...]

    @staticmethod
    def of_identities(identities: int, images: int, chunks: int, rank: int, ranks: int) -> BatchChunks:
        """Divide P identities × K images into chunks.

        Raises:
            UsageError: A chunk has fewer identities than there are ranks.
        """
        if identities < chunks * ranks:
            raise UsageError(
                f"train.accumulate is {chunks} and {counted(ranks, 'process')} share the batch: "
                "each process needs an "
                f"identity of each chunk, and a batch has {identities}.",
                "Lower train.accumulate, start fewer processes, or raise data.sampler.identities.",
            )
        least, more = divmod(identities, chunks)
        sizes = [least + (number < more) for number in range(chunks)]
        return BatchChunks(tuple(RankShare.of_identities(size, images, rank, ranks) for size in sizes))

    @property
    def total(self) -> int:
        """Number B of rows of the whole batch."""
        return sum(share.total for share in self.shares)

    @property
    def rows(self) -> np.ndarray:
        """This rank's rows in the whole batch, chunk by chunk."""
        first, parts = 0, []
        for share in self.shares:
            parts.append(first + np.arange(share.total)[share.rows])
            first += share.total
        return np.concatenate(parts)

    def split(self, batch: Batch) -> list[Batch]:
        """Split this rank's rows of a batch into its rows of each chunk."""
        batches, first = [], 0
        for share in self.shares:
            batches.append(_rows(batch, slice(first, first + share.count)))
            first += share.count
        return batches


def _rows(part: PartT, rows: slice) -> PartT:
    """Select rows of each tensor of a batch or of a part of it."""
    values: dict[str, Any] = {}
    for field in fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if isinstance(value, Tensor):
            values[field.name] = value[rows]
        elif is_dataclass(value) and not isinstance(value, type):
            values[field.name] = _rows(value, rows)
    return replace(part, **values)  # type: ignore[type-var]


class InChunks:
    """Losses and gradients of a batch in chunks.

    Args:
        network: The network in training; its batch norms are replaced by ones that a repeated forward pass
            leaves unchanged.
        chunks: This rank's rows of each chunk.
        runtime: Device and precision.
        scaler: Gradient scaler.
    """

    def __init__(
        self, network: GatheredNetwork, chunks: BatchChunks, runtime: Runtime, scaler: torch.amp.GradScaler
    ) -> None:
        batch_norm.convert(network)
        dropout.convert(network)
        self._network, self._chunks, self._runtime, self._scaler = network, chunks, runtime, scaler
        self._mean = GradientMean(network, overlapped=False) if runtime.world.several else None

    def __call__(self, batch: Batch, labels: Tensor) -> BatchTerms:
        """Compute losses, gradients, and monitors as means over the chunks."""
        batches = self._chunks.split(batch)
        cached, states = self._features(batches)
        with self._runtime.autocast():
            losses = self._network.losses_of(cached, labels)
        self._scaler.scale(total_loss(losses)).backward()
        monitors = self._repeat(batches, states, cached)
        if self._mean is not None:
            self._mean.finish()
        return BatchTerms(losses, monitors)

    def _features(self, batches: list[Batch]) -> tuple[dict[str, Tensor], list[_RandomState]]:
        """Features of the whole batch as leaves of the graph, and the random state before each chunk."""
        parts: dict[str, list[Tensor]] = {}
        states = []
        for share, batch in zip(self._chunks.shares, batches, strict=True):
            states.append(_RandomState.current(self._runtime.device))
            with torch.no_grad(), splitting(share), self._runtime.autocast():
                for name, rows in self._network.features(batch).items():
                    parts.setdefault(name, []).append(gather(rows).unflatten(0, (-1, share.total)))
        joined = {name: torch.cat(chunks, dim=1).flatten(0, 1) for name, chunks in parts.items()}
        return {name: rows.detach().requires_grad_() for name, rows in joined.items()}, states

    def _repeat(
        self, batches: list[Batch], states: list[_RandomState], cached: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Repeat the forward pass of each chunk, and compute its part of the gradients; returns monitors."""
        sums: dict[str, Tensor] = {}
        first = 0
        for share, batch, state in zip(self._chunks.shares, batches, states, strict=True):
            state.restore(self._runtime.device)
            with splitting(share), repetition():
                with self._runtime.autocast():
                    features = self._network.features(batch)
                    monitors = self._network.monitors()
                pairs = [
                    (rows, self._own_gradient(cached[name].grad, share, first))
                    for name, rows in features.items()
                    if rows.requires_grad and cached[name].grad is not None
                ]
                torch.autograd.backward([rows for rows, _ in pairs], [gradient for _, gradient in pairs])
            first += share.total
            for name, value in monitors.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value / len(batches)
        return sums

    def _own_gradient(self, gradient: Tensor | None, share: RankShare, first: int) -> Tensor:
        """Gradient of this rank's rows of a chunk; see ``sharding.share.gather`` for the factor."""
        assert gradient is not None
        of_chunk = gradient.unflatten(0, (-1, self._chunks.total))[:, first : first + share.total]
        return share.own(of_chunk.flatten(0, 1)) * share.ranks


@dataclass(frozen=True, slots=True)
class _RandomState:
    """State of PyTorch's generators on the CPU and on the device."""

    cpu: Tensor
    device: Tensor | None

    @staticmethod
    def current(device: torch.device) -> _RandomState:
        """Read the states of the generators of the CPU and of ``device``."""
        on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return _RandomState(torch.get_rng_state(), on_device)

    def restore(self, device: torch.device) -> None:
        """Set the generators to this state."""
        torch.set_rng_state(self.cpu)
        if self.device is not None:
            torch.cuda.set_rng_state(self.device, device)
