"""The limit on the mean cosine of features against loops in float64 and closed forms."""

import math

import pytest
import torch

from tests.tensors import gradient_of, normal
from vireid_cli.losses.spread import excess_cosine


@pytest.mark.parametrize("limit", [-1.0, 0.0, 0.2])
def test_excess_cosine_by_a_loop(limit: float) -> None:
    features = normal(10, 4) + 0.5
    expected = 0.0
    for half in features.chunk(2):
        cosines = [
            float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))
            for i, a in enumerate(half)
            for j, b in enumerate(half)
            if i != j
        ]
        expected += max(sum(cosines) / len(cosines) - limit, 0.0) / 2
    assert excess_cosine(features, limit).item() == pytest.approx(expected, rel=1e-9)


def test_lengths_of_features_do_not_count() -> None:
    features, lengths = normal(8, 4), torch.arange(1.0, 9.0, dtype=torch.float64)[:, None]
    torch.testing.assert_close(excess_cosine(lengths * features, -1.0), excess_cosine(features, -1.0))


def test_equal_features_cost_most_and_orthogonal_ones_nothing() -> None:
    assert excess_cosine(torch.ones(6, 5), 0.25).item() == pytest.approx(0.75)
    assert excess_cosine(torch.eye(6)).item() == 0.0


def test_the_modalities_may_differ() -> None:
    visible, infrared = torch.tensor([1.0, 0.0]).expand(3, 2), torch.tensor([0.0, 1.0]).expand(3, 2)
    assert excess_cosine(torch.cat([visible, infrared]), 0.5).item() == pytest.approx(0.5)


def test_a_single_image_and_rows_of_zeros_are_finite() -> None:
    assert excess_cosine(torch.ones(2, 3)).item() == 0.0
    features = torch.zeros(6, 3, requires_grad=True)
    excess_cosine(features, -1.0).backward()
    assert gradient_of(features).isfinite().all()


def test_descent_turns_features_apart_without_a_norm() -> None:
    features = (1.0 + 1e-2 * normal(16, 8)).requires_grad_()
    for _ in range(300):
        (slope,) = torch.autograd.grad(excess_cosine(features, 0.5), features)
        features = (features - 50.0 * slope).detach().requires_grad_()
    assert excess_cosine(features, 0.5).item() < 0.01


def test_gradient() -> None:
    assert torch.autograd.gradcheck(lambda rows: excess_cosine(rows, -1.0), normal(6, 3).requires_grad_())
