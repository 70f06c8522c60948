"""Batch norms with shared scale and shift against one norm of PyTorch per branch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from tests.tensors import gradient_of
from vireid_cli.frequency.branch_norm import BranchNorm


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair(channels: int, branches: int, layer: type[nn.Module]) -> tuple[BranchNorm, list[nn.Module]]:
    """A ``BranchNorm`` and one norm of PyTorch per branch, all with the same scale and shift."""
    model = BranchNorm(channels, branches).double()
    nn.init.uniform_(model.weight, 0.5, 1.5)
    nn.init.uniform_(model.bias, -0.5, 0.5)
    baselines = [layer(channels).double() for _ in range(branches)]
    for norm in baselines:
        norm.load_state_dict({"weight": model.weight, "bias": model.bias}, strict=False)
    return model, baselines


@pytest.mark.parametrize("branches", [1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_maps_are_normalised_branch_by_branch(branches: int, training: bool) -> None:
    model, baselines = pair(3, branches, nn.BatchNorm2d)
    shift = torch.tensor([0.0, 5.0])[:branches].repeat_interleave(4).view(-1, 1, 1, 1)  # branches differ
    for seed in range(3):  # running statistics as after three steps
        maps = (normal(branches * 4, 3, 6, 5, seed=seed) + shift).requires_grad_()
        model.train()(maps)
        for norm, part in zip(baselines, maps.chunk(branches), strict=True):
            norm.train()(part)
    weight = normal(branches * 4, 3, 6, 5, seed=9)
    results = []
    for modules in ([model], baselines):
        maps.grad = None
        for module in modules:
            module.train(training).zero_grad()
        output = torch.cat([m(part) for m, part in zip(modules, maps.chunk(len(modules)), strict=True)])
        (output * weight).sum().backward()
        shared = [sum(getattr(m, name).grad for m in modules) for name in ("weight", "bias")]
        results.append([output, gradient_of(maps).clone(), *shared])
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-10, atol=1e-10)
    for name in ("running_mean", "running_var"):
        expected = torch.stack([getattr(norm, name) for norm in baselines])
        torch.testing.assert_close(getattr(model, name), expected)


@pytest.mark.parametrize("training", [True, False])
def test_features_are_normalised_branch_by_branch(training: bool) -> None:
    model, baselines = pair(3, 4, nn.BatchNorm1d)
    features = normal(4, 6, 3) + torch.arange(4.0).view(4, 1, 1)
    for _ in range(2):
        model.train().features(features)
        for norm, part in zip(baselines, features, strict=True):
            norm.train()(part)
    output = model.train(training).features(features)
    expected = torch.stack(
        [norm.train(training)(part) for norm, part in zip(baselines, features, strict=True)]
    )
    torch.testing.assert_close(output, expected)


def test_one_norm_called_twice_differs_in_eval_mode() -> None:
    """Shared running statistics bring the branches' mean difference back at test."""
    model, (once, _) = pair(3, 2, nn.BatchNorm2d)
    branches = normal(4, 3, 6, 5), normal(4, 3, 6, 5, seed=1) + 10.0
    for _ in range(200):
        model.train()(torch.cat(branches))
        for part in branches:
            once.train()(part)
    separate = [part.mean(dim=(2, 3)) for part in model.eval()(torch.cat(branches)).chunk(2)]
    shared = [once.eval()(part).mean(dim=(2, 3)) for part in branches]
    distances = [(b - a).mean(0).abs().min().item() for a, b in (separate, shared)]
    assert distances[0] < 0.1
    assert distances[1] > 1.0


def test_state_goes_through_a_state_dict() -> None:
    norm = BranchNorm(3, 2).double().train()
    norm(normal(8, 3, 6, 5))
    other = BranchNorm(3, 2).double()
    other.load_state_dict(copy.deepcopy(norm.state_dict()))
    assert norm.state_dict().keys() == {"weight", "bias", "running_mean", "running_var"}
    maps = normal(8, 3, 6, 5, seed=3)
    assert torch.equal(norm.eval()(maps), other.eval()(maps))
