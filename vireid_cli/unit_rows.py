"""Vectors of unit length, with a gradient that stays finite for vectors of zeros."""

from __future__ import annotations

import torch
from torch import Tensor

SHORTEST = 1e-12
"""Vectors up to this length count as vectors of zeros."""


def unit(values: Tensor, dim: int = -1) -> Tensor:
    """Divide vectors by their Euclidean length; a vector of zeros stays one and has no gradient.

    ``torch.nn.functional.normalize`` has the same values, but multiplies the gradient of a vector of zeros by
    1e12. Such vectors occur: a ReLU can set all channels of an image, a position or a branch to 0.

    Args:
        values: Floats of any shape.
        dim: The dimension that the vectors lie along.

    Returns:
        The shape of ``values``.
    """
    lengths = torch.linalg.vector_norm(values, dim=dim, keepdim=True)
    return values / lengths.masked_fill(lengths <= SHORTEST, torch.inf)
