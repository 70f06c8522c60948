"""Sinkhorn's plan against the same iterations in float64, and against the POT library."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from vireid_cli.frequency.transport import (
    barycentric,
    entropy_ratio,
    relative_cost,
    sinkhorn,
    transported,
)


def tokens(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def cost_of(batch: int = 3, rows: int = 18, columns: int = 15) -> Tensor:
    return relative_cost(tokens(batch, rows, 8), tokens(batch, columns, 8, seed=1))


def in_the_log_domain(
    cost: Tensor,
    epsilon: float,
    iterations: int,
    a: Tensor | None = None,
    b: Tensor | None = None,
    order: str = "rows first",
) -> Tensor:
    cost = cost.double()
    a = torch.full_like(cost[:, :, 0], 1 / cost.shape[1]) if a is None else a.double()
    b = torch.full_like(cost[:, 0], 1 / cost.shape[2]) if b is None else b.double()
    f, g = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(iterations):
        for side in ("rows", "columns") if order == "rows first" else ("columns", "rows"):
            if side == "rows":
                f = a.log() - torch.logsumexp(g.unsqueeze(1) - cost / epsilon, 2)
            else:
                g = b.log() - torch.logsumexp(f.unsqueeze(2) - cost / epsilon, 1)
    return (f.unsqueeze(2) + g.unsqueeze(1) - cost / epsilon).exp()


def far(plan: Tensor, other: Tensor) -> float:
    """Mass at other entries, of plans with total mass 1."""
    return (plan.double() - other).abs().sum((1, 2)).max().item()


@pytest.mark.parametrize("epsilon", [0.5, 0.05, 0.01, 0.002])
@pytest.mark.parametrize("iterations", [1, 4, 5, 6, 20])
def test_plan(epsilon: float, iterations: int) -> None:
    result, expected = (
        sinkhorn(cost_of(), epsilon, iterations),
        in_the_log_domain(cost_of(), epsilon, iterations),
    )
    assert far(result.plan, expected) < 1e-5
    error = (expected.sum(2) - 1 / 18).abs().sum(1)
    torch.testing.assert_close(result.error.double(), error, rtol=1e-3, atol=1e-5)


def test_raw_costs_at_which_the_plain_kernel_is_all_zeros() -> None:
    cost = (tokens(2, 90, 1, 512) - tokens(2, 1, 90, 512, seed=1)).square().sum(-1)
    assert (-cost / 0.5).exp().sum() == 0
    plan = sinkhorn(cost, 0.5, 20).plan
    assert plan.isfinite().all()
    assert far(plan, in_the_log_domain(cost, 0.5, 20)) < 1e-3


def test_rows_come_first_and_columns_are_exact() -> None:
    result = sinkhorn(cost_of(), 0.01, 20)
    torch.testing.assert_close(result.plan.sum(1), torch.full((3, 15), 1 / 15), rtol=1e-5, atol=1e-7)
    assert result.error.min() > 1e-4  # the rows are not, yet
    assert far(result.plan, in_the_log_domain(cost_of(), 0.01, 20, order="columns first")) > 1e-3
    assert sinkhorn(cost_of(), 0.05, 300).error.max() < 1e-5


def test_given_marginals() -> None:
    a, b = tokens(3, 18, seed=5).softmax(1), tokens(3, 15, seed=6).softmax(1)
    result = sinkhorn(cost_of(), 0.05, 50, a, b)
    torch.testing.assert_close(result.plan.sum(1), b, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(result.plan.sum(2), a, rtol=1e-2, atol=1e-4)
    assert far(result.plan, in_the_log_domain(cost_of(), 0.05, 50, a, b)) < 1e-5


@pytest.mark.parametrize("epsilon", [0.05, 0.01])
def test_the_pot_library_finds_the_same(epsilon: float) -> None:
    ot = pytest.importorskip("ot")
    from ot.batch import solve_batch

    cost = cost_of(4, 30, 30)
    result = sinkhorn(cost, epsilon, 400).plan
    batched = solve_batch(cost.double(), reg=epsilon, max_iter=400, tol=0.0).plan
    assert far(result, batched) < 1e-4
    even = torch.full((30,), 1 / 30, dtype=torch.float64)
    # Its solver for one pair begins with the columns, which are our rows in the transposed problem.
    options = {"method": "sinkhorn_log", "numItermax": 400, "stopThr": 0.0, "warn": False}
    alone = [ot.sinkhorn(even, even, c.double().T, epsilon, **options).T for c in cost]
    assert far(result, torch.stack(alone)) < 1e-4


def test_a_sharp_plan_is_the_best_assignment() -> None:
    cost = tokens(1, 5, 5, seed=8).square()
    best = min(itertools.permutations(range(5)), key=lambda p: sum(cost[0, i, p[i]].item() for i in range(5)))
    plan = sinkhorn(cost, 0.01, 500).plan[0]
    assert tuple(plan.argmax(1).tolist()) == best
    assert entropy_ratio(plan.unsqueeze(0)).item() < 0.6
    torch.testing.assert_close(entropy_ratio(torch.full((1, 5, 5), 0.04)), torch.ones(1))


@pytest.mark.parametrize("iterations", [1, 3, 7])
def test_gradcheck(iterations: int) -> None:
    cost = cost_of(2, 4, 3).double().requires_grad_()
    shares = tokens(2, 4, dtype=torch.float64).softmax(1).requires_grad_()
    assert gradcheck(lambda c, a: sinkhorn(c, 0.2, iterations, a).plan, (cost, shares))


def test_gradient_is_finite_for_a_sharp_plan() -> None:
    cost = cost_of(2, 40, 40).requires_grad_()
    plan = sinkhorn(cost, 0.002, 20).plan
    (gradient,) = torch.autograd.grad((plan * tokens(*plan.shape, seed=2)).sum(), cost)
    assert gradient.isfinite().all()


def test_relative_cost_has_mean_1_at_any_scale() -> None:
    left, right = tokens(2, 5, 7), tokens(2, 6, 7, seed=1)
    cost = relative_cost(left, right)
    torch.testing.assert_close(cost, relative_cost(3 * left, 0.1 * right))
    torch.testing.assert_close(cost.mean((1, 2)), torch.ones(2))
    unit = [x[0] / x[0].norm(dim=1, keepdim=True) for x in (left, right)]
    by_hand = torch.cdist(*unit).square()
    torch.testing.assert_close(cost[0], by_hand / by_hand.mean(), rtol=1e-4, atol=1e-5)


def test_barycentric_is_a_mean_of_the_source_values() -> None:
    plan, values = sinkhorn(cost_of(1, 6, 4), 0.05, 20).plan, tokens(1, 6, 3)
    result = barycentric(plan, values)
    for j in range(4):
        by_hand = sum(plan[0, i, j] * values[0, i] for i in range(6)) / plan[0, :, j].sum()
        torch.testing.assert_close(result[0, j], by_hand)
    torch.testing.assert_close(result, 4 * torch.einsum("bij,bid->bjd", plan, values), rtol=1e-4, atol=1e-5)


def test_transported_gradients_and_both_directions() -> None:
    source, target = (tokens(2, 6, 5, seed=s, dtype=torch.float64).requires_grad_() for s in (0, 1))
    values = tokens(2, 6, 5, seed=2, dtype=torch.float64).requires_grad_()
    moved, none = transported(source, target, values)
    assert none is None
    assert all(g.abs().max() > 0 for g in torch.autograd.grad(moved.sum(), (source, target, values)))
    moved, _ = transported(source, target, values, grad="detach_plan")
    result: tuple[Tensor | None, ...] = torch.autograd.grad(
        moved.sum(), (source, target, values), allow_unused=True
    )
    assert result[0] is None
    assert result[1] is None
    assert result[2].abs().max() > 0
    _, back = transported(source, target, values, back=target)
    plan = sinkhorn(relative_cost(source, target)).plan
    torch.testing.assert_close(back, barycentric(plan.mT, target))


def test_bf16_autocast_does_not_round() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(sinkhorn(cost_of()).plan, sinkhorn(cost_of()).plan)
        low = sinkhorn(cost_of()).plan
    assert low.dtype == torch.float32
    assert far(low, in_the_log_domain(cost_of(), 0.05, 20)) < 1e-5


@pytest.mark.parametrize(("epsilon", "iterations"), [(0.0, 5), (-1.0, 5), (0.1, 0)])
def test_out_of_range(epsilon: float, iterations: int) -> None:
    with pytest.raises(ValueError, match="epsilon > 0"):
        sinkhorn(cost_of(), epsilon, iterations)
