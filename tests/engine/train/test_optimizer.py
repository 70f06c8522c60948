"""Schedules against their printed values."""

from __future__ import annotations

import pytest
import torch

from vireid_cli.engine.train.optimizer import apply_factor, build_optimizer, factor
from vireid_cli.methods import ParameterGroup
from vireid_cli.recipe.schema import Optimizer, Schedule


def test_agw_schedule() -> None:
    """docs/methods.md#heads: lr (e+1)/10 for e < 10, lr to 20, 0.1 lr to 50, 0.01 lr after."""
    schedule = Schedule()
    for epoch, expected in [
        (0, 0.1),
        (8, 0.9),
        (9, 1.0),
        (10, 1.0),
        (19, 1.0),
        (20, 0.1),
        (49, 0.1),
        (50, 0.01),
    ]:
        assert factor(schedule, epoch, 80) == pytest.approx(expected)


def test_sepg_schedule() -> None:
    """docs/methods.md#sepg-net-training: no warm-up, ×0.1 at 30 and 70."""
    schedule = Schedule(warmup_epochs=0, milestones=(30, 70))
    assert [factor(schedule, e, 120) for e in (0, 29, 30, 69, 70)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_cosine() -> None:
    schedule = Schedule(kind="cosine", warmup_epochs=2)
    assert [factor(schedule, e, 10) for e in (0, 1, 2, 6)] == pytest.approx([0.5, 1.0, 1.0, 0.5])
    assert factor(schedule, 9, 10) < 0.05


def test_warm_restarts() -> None:
    """Periods of 2, 4 and 8 epochs after one epoch of warm-up; each starts at the full rate."""
    schedule = Schedule(kind="restarts", warmup_epochs=1, period=2, period_factor=2)
    expected = [1.0, 1.0, 0.5, 1.0, 0.85355, 0.5, 0.14645, 1.0]
    assert [factor(schedule, epoch, 80) for epoch in range(8)] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_fused_optimizer_takes_the_same_steps(name: str) -> None:
    results = []
    for fused in (None, True):
        parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        recipe = Optimizer(name=name, lr=0.1, fused=fused)  # type: ignore[arg-type]
        optimizer = build_optimizer([ParameterGroup("heads", [parameter])], recipe)
        assert bool(optimizer.param_groups[0]["fused"]) is bool(fused)
        for _ in range(3):
            parameter.grad = parameter.detach() * 0.5
            optimizer.step()
        results.append(parameter.detach())
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_groups(name: str) -> None:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(3)]
    groups = [
        ParameterGroup("backbone", [parameters[0]]),
        ParameterGroup("heads", [parameters[1]]),
        ParameterGroup("scan", [parameters[2]], lr_scale=2.0, weight_decay=False),
    ]
    recipe = Optimizer(name=name, lr=0.1, backbone_scale=0.1, weight_decay=5e-4)  # type: ignore[arg-type]
    optimizer = build_optimizer(groups, recipe)
    apply_factor(optimizer, 0.5)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.005, 0.05, 0.1])
    assert [g["weight_decay"] for g in optimizer.param_groups] == [5e-4, 5e-4, 0.0]
