"""The batch on which a method's contract is checked, and changes of batches and networks."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vireid_cli.frequency.branch_norm import BranchNorm
from vireid_cli.methods import ReIdNetwork
from vireid_cli.types import Batch, Erasure, Exchange, Modality, Size

CASE_IDENTITIES = 5
"""Number of identities of the networks; the batch has four of them."""

PartT = TypeVar("PartT", Batch, Erasure, Exchange)


def small_batch(size: Size) -> Batch:
    """Return 4 identities × 2 images per modality, with labels that leave gaps, masks and a second view."""
    height, width = size
    generator = torch.Generator().manual_seed(11)
    labels = torch.tensor([4, 4, 0, 0, 1, 1, 3, 3])
    looks = torch.rand(CASE_IDENTITIES, 3, 8, 4, generator=generator)[labels]
    looks = nn.functional.interpolate(looks, size=size, mode="bilinear")
    visible = (looks + 0.2 * torch.rand(8, 3, height, width, generator=generator)).clamp(0, 1)
    infrared = (
        looks.mean(1, keepdim=True) + 0.2 * torch.rand(8, 3, height, width, generator=generator)
    ).clamp(0, 1)
    masks = torch.zeros(2, 8, 1, height, width, dtype=torch.bool)
    masks[0, ::2, :, height * 5 // 32 : height * 15 // 32, width * 5 // 32 : width * 5 // 8] = True
    masks[1, 1::3, :, height * 5 // 8 : height * 15 // 16, width * 5 // 16 : width * 25 // 32] = True
    second = (visible + 0.1 * torch.rand(8, 3, height, width, generator=generator)).clamp(0, 1)
    erase = Erasure(masks[0], masks[1], (0.49, 0.48, 0.45), second=masks[0].flip(0))
    weights = torch.eye(3).repeat(3, 1)[:8]
    weights[4] = 0.0  # one image keeps its colours
    return Batch(
        visible, infrared, labels, erase=erase, second=second, exchange=Exchange(weights, weights.flip(0))
    )


def images_of(batch: Batch, modality: Modality) -> Tensor:
    """Return the batch's images of one modality."""
    return batch.visible if modality is Modality.VISIBLE else batch.infrared


def without_dropout(network: ReIdNetwork) -> ReIdNetwork:
    """Set all dropout probabilities to 0; returns the network."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


def randomise_statistics(network: ReIdNetwork) -> ReIdNetwork:
    """Draw running statistics as after some training, so that eval mode is no special case."""
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, BranchNorm)):
            nn.init.uniform_(module.get_buffer("running_mean"), -0.1, 0.1)
            nn.init.uniform_(module.get_buffer("running_var"), 0.5, 1.5)
    return network


def reordered(batch: Batch, order: Tensor) -> Batch:
    """Return the batch with its images in another order."""

    def moved(part: PartT) -> PartT:
        """Reorder all tensors of one part."""
        tensors: dict[str, Any] = {
            field.name: value[order]
            for field in dataclasses.fields(part)
            if isinstance(value := getattr(part, field.name), torch.Tensor)
        }
        return dataclasses.replace(part, **tensors)

    assert batch.erase is not None
    assert batch.exchange is not None
    return dataclasses.replace(moved(batch), erase=moved(batch.erase), exchange=moved(batch.exchange))
