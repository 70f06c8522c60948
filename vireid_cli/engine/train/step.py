"""Losses of a batch and the gradients of the weights, in one process or shared by several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.train.gradient_mean import GradientMean
from vireid_cli.errors import UsageError
from vireid_cli.methods import GatheredNetwork, ReIdNetwork
from vireid_cli.sharding import batch_norm, dropout
from vireid_cli.sharding.share import RankShare, gather, splitting
from vireid_cli.types import Batch


class BatchTerms(NamedTuple):
    """Losses and monitors of a batch, by name."""

    losses: dict[str, Tensor]
    monitors: dict[str, Tensor]


class Gradients(Protocol):
    """Computes the losses of a batch and adds their gradients to the weights."""

    def __call__(self, batch: Batch, labels: Tensor) -> BatchTerms:
        """Compute losses, monitors and gradients.

        Args:
            batch: The rows of this rank.
            labels: (B,) labels of the whole batch.
        """
        ...


class OneProcess:
    """Losses and gradients of a network that sees the whole batch.

    Args:
        network: The network in training.
        runtime: Device and precision.
        scaler: Gradient scaler.
    """

    def __init__(self, network: ReIdNetwork, runtime: Runtime, scaler: torch.amp.GradScaler) -> None:
        self._network, self._runtime, self._scaler = network, runtime, scaler

    def __call__(self, batch: Batch, labels: Tensor) -> BatchTerms:
        """Compute losses, monitors and gradients of the whole batch."""
        with self._runtime.autocast():
            outcome = BatchTerms(self._network.losses(batch), self._network.monitors())
        self._scaler.scale(total_loss(outcome.losses)).backward()
        return outcome


class SharedByRanks:
    """Losses and gradients of a batch of which each rank computes some rows.

    All ranks gather the features of the batch and compute the same losses; the gradients are means over the
    ranks. See ``sharding.share.gather``.

    Args:
        network: The network in training; its batch norms and dropout are replaced by ones over the batch.
        share: The rows of this rank.
        runtime: Device and precision.
        scaler: Gradient scaler.
    """

    def __init__(
        self, network: GatheredNetwork, share: RankShare, runtime: Runtime, scaler: torch.amp.GradScaler
    ) -> None:
        batch_norm.convert(network)
        dropout.convert(network)
        self._network, self._share, self._runtime, self._scaler = network, share, runtime, scaler
        self._mean = GradientMean(network)

    def __call__(self, batch: Batch, labels: Tensor) -> BatchTerms:
        """Compute losses, monitors and gradients of the whole batch."""
        network, autocast = self._network, self._runtime.autocast
        with splitting(self._share), autocast():
            features = {name: gather(rows) for name, rows in network.features(batch).items()}
        with autocast():
            losses = network.losses_of(features, labels)
        with splitting(self._share):
            with autocast():
                monitors = network.monitors()
            self._scaler.scale(total_loss(losses)).backward()
        self._mean.finish()
        return BatchTerms(losses, monitors)


def gathered_network(network: ReIdNetwork, name: str) -> GatheredNetwork:
    """Return the network if its losses can be computed from gathered features.

    Raises:
        UsageError: The method ``name`` does not separate its losses from the features of the images.
    """
    if isinstance(network, GatheredNetwork):
        return network
    raise UsageError(
        f"method.name: {name} trains in one process only: its network does not derive from GatheredNetwork, "
        "so its losses can't be computed from gathered features.",
        "Start one process, or derive the network from vireid_cli.methods.GatheredNetwork.",
    )


def total_loss(losses: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of named scalar losses, in float32."""
    return torch.stack([value.float() for value in losses.values()]).sum()
