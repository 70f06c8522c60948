"""The average of the weights (``train.ema``) in a checkpoint, among its further tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from vireid_cli.engine.checkpoint import load_checkpoint
from vireid_cli.errors import UsageError

AVERAGE = "ema/"
"""Prefix of the names of the averaged weights among the further tensors."""


def load_average(folder: Path) -> dict[str, Tensor]:
    """Load the average of the weights (``train.ema``) of a checkpoint folder, on the CPU.

    Raises:
        UsageError: The checkpoint has no average, or there is no checkpoint.
        DataError: As ``load_checkpoint``.
    """
    average = average_of(load_checkpoint(folder).tensors)
    if not average:
        raise UsageError(
            f"{folder} has no average of the weights.", "Remove --ema, or train with train.ema=0.999."
        )
    return average


def average_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the average of the weights among the further tensors of a checkpoint; empty without one."""
    return {n.removeprefix(AVERAGE): value for n, value in tensors.items() if n.startswith(AVERAGE)}
