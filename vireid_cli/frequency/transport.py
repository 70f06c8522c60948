"""Entropic optimal transport between two sets of tokens: batched, stabilised Sinkhorn.

Source: docs/methods.md#optimal-transport.

The plan is Z = argmin <Z, C> − ε H(Z) over plans with prescribed marginals. Each iteration scales **rows
first, then columns**. After the last iteration the columns are exact; the result includes the error of the
rows. The order of the marginals changes the plan by several percent for small ε and few iterations.

The first iteration runs in the log domain. The others multiply vectors with the kernel exp((f + g − C)/ε),
which absorbs the potentials f and g every five iterations. This neither overflows nor underflows in
float32: after a column update the sum of a row is at least its share times the smallest column share, so
that a scaling factor grows by at most 1/(smallest share) per iteration, for any ε.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from vireid_cli.unit_rows import unit

ABSORB_EVERY = 5
"""Iterations between two absorptions of the potentials."""

SMALLEST_EXPONENT = -60.0
"""Kernel entries are clamped to exp(−60) = 9e-27: negligible mass, and no slow denormal numbers."""


class Transport(NamedTuple):
    """A transport plan and the error of its marginals.

    Attributes:
        plan: Z ≥ 0, (B, N, M); columns sum to the target's shares up to rounding.
        error: Σ_i |Σ_j Z_ij − a_i| of each pair of sets, (B,), in [0, 2], without gradient.
    """

    plan: Tensor
    error: Tensor


def sinkhorn(
    cost: Tensor,
    epsilon: float = 0.05,
    iterations: int = 20,
    source: Tensor | None = None,
    target: Tensor | None = None,
) -> Transport:
    """Compute the entropic plan with a fixed number of iterations, rows first.

    The computation runs in float32 (float64 stays), also under autocast. The gradient passes through all
    iterations; detach the plan to avoid it.

    Args:
        cost: C, (B, N, M), of any scale; only C/ε matters.
        epsilon: ε > 0, in the unit of the cost.
        iterations: Number of iterations, at least 1.
        source: a, shares of the rows, (B, N), positive, with sum 1; None selects 1/N each.
        target: b, shares of the columns, (B, M); None selects 1/M each.

    Raises:
        ValueError: ``epsilon`` or ``iterations`` is out of range.
    """
    if epsilon <= 0 or iterations < 1:
        raise ValueError(f"sinkhorn needs epsilon > 0 and iterations ≥ 1, not {epsilon} and {iterations}")
    with _full_precision(cost):
        scaled = _full(cost) / -epsilon  # (B, N, M)
        a = torch.full_like(scaled[:, :, 0], 1.0 / cost.shape[1]) if source is None else _full(source)
        b = torch.full_like(scaled[:, 0], 1.0 / cost.shape[2]) if target is None else _full(target)
        rows, columns = _first(scaled, a, b)
        kernel = _kernel(scaled, rows, columns)
        left, right = torch.ones_like(a), torch.ones_like(b)
        for iteration in range(1, iterations):
            if iteration % ABSORB_EVERY == 0:
                rows, columns = rows + left.log(), columns + right.log()
                kernel = _kernel(scaled, rows, columns)
                right = torch.ones_like(b)
            # Row vectors, because the batched product with column vectors is ten times slower on a CPU.
            left = a / torch.bmm(right.unsqueeze(1), kernel.mT).squeeze(1)
            right = b / torch.bmm(left.unsqueeze(1), kernel).squeeze(1)
        plan = left.unsqueeze(2) * kernel * right.unsqueeze(1)
        error = (plan.detach().sum(2) - a.detach()).abs().sum(1)
        return Transport(plan, error)


def _first(scaled: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The first iteration in the log domain: potentials f/ε (B, N) and g/ε (B, M) from g = 0."""
    rows = a.log() - torch.logsumexp(scaled, dim=2)
    return rows, b.log() - torch.logsumexp(scaled + rows.unsqueeze(2), dim=1)


def _kernel(scaled: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Plan of the potentials f and g, exp((f + g − C)/ε): (B, N, M)."""
    exponent = (scaled + rows.unsqueeze(2)).add_(columns.unsqueeze(1))
    exponent.detach().clamp_min_(SMALLEST_EXPONENT)  # clamped entries would have 1e-26 of a gradient
    return exponent.exp_()


def barycentric(plan: Tensor, values: Tensor) -> Tensor:
    """Transported value of each target position: Σ_i Z_ij v_i / Σ_i Z_ij, a mean of source values.

    Args:
        plan: Z, (B, N, M).
        values: v, (B, N, D).

    Returns:
        (B, M, D).
    """
    with _full_precision(plan):
        return torch.bmm(plan.mT, _full(values)) / plan.sum(1).unsqueeze(2)


def relative_cost(source: Tensor, target: Tensor) -> Tensor:
    """Squared distances of tokens of unit length, divided by their mean for each pair of sets.

    Args:
        source: (B, N, D), of any length; this function normalises them.
        target: (B, M, D), likewise.

    Returns:
        C_ij = ||s_i − t_j||² / mean, (B, N, M).
    """
    with _full_precision(source):
        left, right = (unit(_full(t)) for t in (source, target))
        cost = (2.0 - 2.0 * torch.bmm(left, right.mT)).clamp_min(0.0)
        return cost / cost.mean(dim=(1, 2), keepdim=True).clamp_min(1e-6)


def entropy_ratio(plan: Tensor) -> Tensor:
    """Ratio of H(Z) to the entropy of the even plan, (B,): 1 for a plan without information."""
    positions = plan.shape[1] * plan.shape[2]
    return torch.special.entr(plan).sum(dim=(1, 2)) / torch.tensor(float(positions)).log()


def transported(
    source: Tensor,
    target: Tensor,
    values: Tensor,
    *,
    epsilon: float = 0.05,
    iterations: int = 20,
    source_share: Tensor | None = None,
    target_share: Tensor | None = None,
    grad: Literal["unroll", "detach_plan"] = "unroll",
    back: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Transport values from source to target positions with the plan between their features.

    Args:
        source: (B, N, F) features of the source, for the cost.
        target: (B, M, F) features of the target.
        values: (B, N, D) values at source positions.
        epsilon, iterations: See ``sinkhorn``.
        source_share, target_share: Marginals; None selects even shares.
        grad: Path of the gradient: through all iterations, or through the values only.
        back: (B, M, D) values at target positions that the same plan transports to the source, or None.

    Returns:
        (B, M, D) values at target positions, and (B, N, D) of ``back`` or None.
    """
    plan = sinkhorn(relative_cost(source, target), epsilon, iterations, source_share, target_share).plan
    if grad == "detach_plan":
        plan = plan.detach()
    return barycentric(plan, values), None if back is None else barycentric(plan.mT, back)


def _full(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _full_precision(like: Tensor) -> AbstractContextManager[None]:
    if torch.is_autocast_enabled(like.device.type):
        return torch.autocast(like.device.type, enabled=False)
    return nullcontext()
