"""Visible and infrared partners of one identity in a batch (docs/methods.md#sfcl-pairs-and-paths)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from vireid_cli.sharding.share import drawn


def partners(labels: Tensor, views: int = 1, shuffled: bool = False) -> Tensor:
    """Index of the infrared partner of each visible row, of the same identity, for each view.

    Args:
        labels: (B,) identities, valid for visible and for infrared rows.
        views: Number of visible views, one after another.
        shuffled: Whether to draw partners without replacement for each view, from torch's global generator.
            Otherwise row i is the partner of row i.

    Returns:
        (views·B,) int64.
    """
    if not shuffled:
        return torch.arange(len(labels), device=labels.device).repeat(views)
    order = labels.argsort(stable=True)
    orders = []
    for _ in range(views):
        # Sort by identity, and by a random number within an identity.
        keys = drawn(partial(torch.rand, device=labels.device, dtype=torch.float64), len(labels))
        partner = torch.empty_like(order)
        partner[order] = (labels + keys).argsort()
        orders.append(partner)
    return torch.cat(orders)
