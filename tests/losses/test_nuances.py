"""The nuances-mining loss against plain loops."""

import math

import pytest
import torch
from torch import Tensor

from tests.tensors import gradient_of, normal
from vireid_cli.losses.nuances import Reduction, nuances_mining

LABELS = torch.tensor([7, 2, 7, 2, 2, 5])  # unequal counts, out of order
REDUCTIONS = ("mean_pairs", "sum_pairs", "hardest_mean")


def by_loops(features: Tensor, labels: Tensor, margin: float, reduction: Reduction) -> float:
    """One part: (2, 2N, D), branch first, visible rows first."""
    names = sorted({int(label) for label in labels})
    count, total = len(labels), 0.0

    def centre(branch: int, modality: int, name: int) -> Tensor:
        rows = [features[branch, modality * count + i] for i in range(count) if labels[i] == name]
        return torch.stack(rows).mean(0)

    for branch in range(2):
        for modality in range(2):
            terms = []
            for j in names:
                own = centre(branch, modality, j)
                pull = 2 * math.dist(own, centre(branch, 1 - modality, j))
                pull -= math.dist(own, centre(1 - branch, modality, j))
                others = [centre(branch, modality, k) for k in names if k != j]
                terms.append([max(0.0, pull - math.dist(own, other) + margin) for other in others])
            if reduction == "hardest_mean":
                total += sum(max(row) for row in terms) / len(names)
            else:
                total += sum(map(sum, terms))
                if reduction == "mean_pairs":
                    total += sum(map(sum, terms)) * (1 / (len(names) * (len(names) - 1)) - 1)
    return total / 4


@pytest.mark.parametrize(
    ("reduction", "expected"), [("sum_pairs", 0.775), ("mean_pairs", 0.1291667), ("hardest_mean", 0.2583333)]
)
def test_the_numbers_by_hand(reduction: Reduction, expected: float) -> None:
    v1, i1 = [0, 3, 7], [1, 3.5, 6]
    v2, i2 = [0.5, 2, 9], [-1, 4, 7.5]
    features = torch.tensor([v1 + i1, v2 + i2], dtype=torch.float64).unsqueeze(-1)
    actual = nuances_mining(features, torch.arange(3), 0.2, reduction)
    assert actual.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("margin", [0.2, 3.0])
def test_plain_loops_by_part(reduction: Reduction, margin: float) -> None:
    features = normal(2, 3, 12, 4)
    expected = sum(by_loops(features[:, part], LABELS, margin, reduction) for part in range(3))
    assert expected > 0.01
    actual = nuances_mining(features, LABELS, margin, reduction)
    assert actual.item() == pytest.approx(expected, rel=1e-9)
    unit = torch.nn.functional.normalize(features, dim=-1)
    expected = sum(by_loops(unit[:, part], LABELS, margin, reduction) for part in range(3))
    actual = nuances_mining(features, LABELS, margin, reduction, normalize=True)
    assert actual.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradcheck_and_finite_gradients_at_equal_centres(reduction: Reduction) -> None:
    features = normal(2, 12, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: nuances_mining(x, LABELS, 2.0, reduction), features)
    same = torch.ones(2, 12, 3, requires_grad=True)
    nuances_mining(same, LABELS, 0.2, reduction).backward()
    assert gradient_of(same).isfinite().all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_single_identity_has_a_loss_of_0(reduction: Reduction) -> None:
    assert nuances_mining(normal(2, 4, 3), torch.tensor([1, 1]), 0.2, reduction).item() == 0.0
