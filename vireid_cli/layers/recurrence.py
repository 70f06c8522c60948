"""h_t = a_t h_{t−1} + b_t as a graph for export, which the custom function of ``scan`` does not support.

There are two equivalent implementations: torch's higher-order ``scan``, a few nodes for any length, and a
log-depth one of plain operations. The operator's path in torch is private; this is the one place that
names it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Operator = Callable[..., tuple[Any, Any]]


def scan_operator() -> Operator | None:
    """Torch's ``scan(combine, initial, sequences)``, or None if this version of torch lacks it."""
    try:
        from torch._higher_order_ops.scan import scan
    except ImportError:
        return None
    return scan


def linear_recurrence(decay: Tensor, drive: Tensor) -> Tensor:
    """States of the recurrence with h_{−1} = 0.

    Args:
        decay: a, (L, …).
        drive: b, (L, …).

    Returns:
        h, (L, …).
    """
    operator = scan_operator()
    return by_doubling(decay, drive) if operator is None else by_operator(operator, decay, drive)


def by_operator(operator: Operator, decay: Tensor, drive: Tensor) -> Tensor:
    """Compute ``linear_recurrence`` with torch's ``scan``."""

    def step(state: Tensor, at: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the next state and its copy as output, because the operator refuses aliases."""
        state = at[0] * state + at[1]
        return state, state.clone()

    results: tuple[Tensor, Tensor] = operator(step, drive[0] * 0.0, (decay, drive))
    return results[1]


def by_doubling(decay: Tensor, drive: Tensor) -> Tensor:
    """Compute ``linear_recurrence`` in ⌈log₂ L⌉ rounds, each of which doubles the length of segments.

    (a, b) denotes the map h ↦ a h + b; two maps in a row are (a₂ a₁, a₂ b₁ + b₂).
    """
    stride, length = 1, decay.shape[0]
    while stride < length:
        later, earlier = decay[stride:], slice(None, length - stride)
        drive = torch.cat([drive[:stride], later * drive[earlier] + drive[stride:]])
        decay = torch.cat([decay[:stride], later * decay[earlier]])
        stride *= 2
    return drive
