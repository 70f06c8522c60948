"""Choice between the visible and the infrared path of a network, for a batch or for each image.

Training and evaluation pass a ``Modality``, and one path is computed. Exported programs pass codes, an input
of the program: both paths are computed, and each image takes its own. A conditional branch or selected
weights would save the second path, but converters and quantisers support neither in all formats.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vireid_cli.types import Modality

Choice = Modality | Tensor
"""Modality of all images of a batch, or (N,) int64 with the ``Modality.code`` of each image."""


def choose(
    modality: Choice, visible: Callable[[], Tensor], infrared: Callable[[], Tensor], dim: int = 0
) -> Tensor:
    """Compute the path of a modality; with codes, both paths, and the result of each image's own path.

    Args:
        modality: Modality of the batch, or codes (N,).
        visible: Function that computes the visible path.
        infrared: Function that computes the infrared path, of the same shape.
        dim: Axis of the images in the results.
    """
    if isinstance(modality, Modality):
        return visible() if modality is Modality.VISIBLE else infrared()
    first, second = visible(), infrared()
    shape = [1] * first.dim()
    shape[dim] = -1
    return torch.where((modality == Modality.VISIBLE.code).view(shape), first, second)


def opposite(modality: Choice) -> Choice:
    """Return the other modality of a batch, or of each image."""
    return modality.other if isinstance(modality, Modality) else 1 - modality
