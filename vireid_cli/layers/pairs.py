"""Visible and infrared partners of one identity in a batch (docs/methods.md#sfcl-pairs-and-paths)."""

from __future__ import annotations

import torch
from torch import Tensor


def partners(labels: Tensor, views: int = 1, shuffled: bool = False) -> Tensor:
    """For each visible row, in each view, the infrared row of the same identity that it is paired with.

    Args:
        labels: (B,), of visible and of infrared rows alike.
        views: Visible views, one after the other.
        shuffled: Draw them without replacement, for each view by itself, from torch's global generator;
            else row i is the partner of row i.

    Returns:
        (views·B,) int64.
    """
    if not shuffled:
        return torch.arange(len(labels), device=labels.device).repeat(views)
    order = labels.argsort(stable=True)
    found = []
    for _ in range(views):
        # Sorted by identity and, within one, by a number that is drawn.
        drawn = torch.rand(len(labels), device=labels.device, dtype=torch.float64)
        partner = torch.empty_like(order)
        partner[order] = (labels + drawn).argsort()
        found.append(partner)
    return torch.cat(found)
