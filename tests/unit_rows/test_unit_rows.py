"""Vectors of unit length: the values of PyTorch's function, and a finite gradient where a vector is zero."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_cli.frequency.transport import relative_cost
from vireid_cli.layers.sfim import cosines
from vireid_cli.losses.consistency import distance_graph
from vireid_cli.losses.distance import distances
from vireid_cli.losses.identity import cosine_identity_loss
from vireid_cli.losses.nuances import nuances_mining
from vireid_cli.losses.purification import relative_centre_gap
from vireid_cli.losses.spread import excess_cosine
from vireid_cli.unit_rows import unit

LABELS = torch.tensor([0, 0, 1, 1])
OTHERS = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_values_and_gradients_equal_those_of_pytorch(dim: int) -> None:
    """For vectors that are not zero, to the bit: studies need not be repeated."""
    first = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    second = first.detach().clone().requires_grad_()
    ours, theirs = unit(first, dim), F.normalize(second, dim=dim)
    assert torch.equal(ours, theirs)
    ours.pow(3).sum().backward()
    theirs.pow(3).sum().backward()
    assert first.grad is not None
    assert second.grad is not None
    torch.testing.assert_close(first.grad, second.grad, rtol=1e-6, atol=1e-6)


def test_a_vector_of_zeros_stays_zero_without_gradient() -> None:
    """Also beside other vectors, in half precision, and as an empty batch."""
    rows = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    units = unit(rows)
    assert units.tolist() == [[0.0, 0.0], [pytest.approx(0.6), pytest.approx(0.8)]]
    (units * torch.tensor([[5.0, 7.0], [1.0, 0.0]])).sum().backward()
    assert rows.grad is not None
    assert rows.grad[0].tolist() == [0.0, 0.0]
    assert rows.grad[1].tolist() == [pytest.approx(16 / 125), pytest.approx(-12 / 125)]
    assert unit(torch.zeros(2, 3, dtype=torch.float16)).tolist() == [[0.0] * 3] * 2
    assert unit(torch.zeros(0, 3)).shape == (0, 3)


@pytest.mark.parametrize(
    "loss",
    [
        lambda rows: excess_cosine(rows, -1.0),
        lambda rows: distance_graph(rows, normalize=True).softmax(1)[:, 0].sum(),
        lambda rows: distances(rows, "cos").square().sum(),
        lambda rows: cosine_identity_loss(rows, OTHERS[:2], LABELS.repeat(2)),
        lambda rows: nuances_mining(torch.stack([rows, OTHERS]), LABELS, normalize=True),
        lambda rows: relative_centre_gap(rows, OTHERS, LABELS),
        lambda rows: relative_cost(rows[None], OTHERS[None]).square().sum(),
        lambda rows: cosines(rows.T[None], OTHERS.T[None]).sum(),
    ],
    ids=["spread", "graph", "cosine", "cosface", "nuances", "purification", "transport", "sfim"],
)
def test_losses_of_a_batch_with_a_row_of_zeros(loss: Callable[[Tensor], Tensor]) -> None:
    """The gradient of an image without features is at most 100 times the largest of the others."""
    rows = torch.randn(8, 6, generator=torch.Generator().manual_seed(2))
    rows[3] = 0.0
    rows.requires_grad_()
    loss(rows).backward()
    assert rows.grad is not None
    lengths = rows.grad.norm(dim=1)
    assert lengths.isfinite().all()
    assert lengths[[0, 1, 2, 4, 5, 6, 7]].max() > 0
    assert lengths[3] <= 100 * lengths[[0, 1, 2, 4, 5, 6, 7]].max()
