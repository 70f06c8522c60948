"""Orthogonal losses and DEEN's pair mining against plain loops in float64."""

import math

import pytest
import torch
from torch import Tensor

from tests.tensors import Loss, gradient_of, normal
from vireid_cli.losses.cpm import centre_pair_mining
from vireid_cli.losses.orthogonal import cosine_orthogonality, inner_products, weight_orthogonality

LABELS = torch.tensor([7, 7, 2, 2, 2, 5])  # unequal counts, labels with gaps


def test_cosine_orthogonality() -> None:
    first, second = normal(5, 8), normal(5, 8, seed=1)
    expected = 0.0
    for a, b in zip(first, second, strict=True):
        expected += (float(a @ b) / (float(a @ a) * float(b @ b)) ** 0.5) ** 2 / 5
    assert cosine_orthogonality(first, second).item() == pytest.approx(expected)
    torch.testing.assert_close(cosine_orthogonality(3 * first, second), cosine_orthogonality(first, second))
    assert cosine_orthogonality(first, -2 * first).item() == pytest.approx(1.0)
    eye = torch.eye(4)
    assert cosine_orthogonality(eye, eye.roll(1, 0)).item() == 0.0


def test_rows_of_zeros_give_no_nan() -> None:
    first = torch.zeros(3, 4, requires_grad=True)
    cosine_orthogonality(first, torch.ones(3, 4)).backward()
    assert gradient_of(first).isfinite().all()


def test_inner_products() -> None:
    first, second = normal(5, 8), normal(5, 8, seed=1)
    expected = sum(float(a @ b) for a, b in zip(first, second, strict=True)) / 5
    assert inner_products(first, second).item() == pytest.approx(expected)


def test_weight_orthogonality() -> None:
    first, second = normal(3, 8), normal(2, 8, seed=1)
    rows, total = [*first, *second], 0.0
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            total += (float(a @ b) - (i == j)) ** 2
    assert weight_orthogonality(first, second).item() == pytest.approx(math.sqrt(total))
    assert weight_orthogonality(torch.zeros(3, 8), torch.zeros(2, 8)).item() == pytest.approx(math.sqrt(5))
    eye = torch.eye(6)
    assert weight_orthogonality(eye[:3], eye[3:]).item() == pytest.approx(1e-6)


@pytest.mark.parametrize("loss", [cosine_orthogonality, inner_products, weight_orthogonality])
def test_gradients(loss: Loss) -> None:
    rows = [normal(3, 4).requires_grad_(), normal(3, 4, seed=1).requires_grad_()]
    assert torch.autograd.gradcheck(loss, rows)


def cpm_by_loops(features: Tensor, generated: Tensor, labels: Tensor, margin: float) -> float:
    def centre(rows: Tensor, identity: int) -> Tensor:
        members = [row for row, label in zip(rows, labels, strict=True) if label == identity]
        return sum(members) / len(members)

    def distance_between(a: Tensor, b: Tensor) -> float:
        return math.sqrt(max(float((a - b) @ (a - b)), 1e-12))

    identities = sorted(set(labels.tolist()))
    half, total = len(labels), 0.0
    halves = (features[:half], features[half:]), (generated[:half], generated[half:])
    for own_side, other_side in ((0, 1), (1, 0)):
        own = {p: centre(halves[0][own_side], p) for p in identities}
        other = {p: centre(halves[0][other_side], p) for p in identities}
        new = {p: centre(halves[1][own_side], p) for p in identities}
        for j in identities:
            across = distance_between(other[j], new[j])
            nearest_made = min(distance_between(new[j], new[k]) for k in identities if k != j)
            nearest_own = min(distance_between(own[j], own[k]) for k in identities if k != j)
            hinges = [across - distance_between(own[j], new[j]), across - nearest_made, across - nearest_own]
            first, second, third = (max(0.0, value + margin) for value in hinges)
            total += (first + 0.5 * second + 0.5 * third) / len(identities)
    return total / 2


@pytest.mark.parametrize("margin", [0.0, 0.2, 3.0])
def test_centre_pair_mining(margin: float) -> None:
    features, generated = normal(12, 5), normal(12, 5, seed=1)
    actual = centre_pair_mining(features, generated, LABELS, margin)
    assert actual.item() == pytest.approx(cpm_by_loops(features, generated, LABELS, margin))


def test_pair_mining_for_any_order_of_the_batch() -> None:
    features, generated = normal(12, 5), normal(12, 5, seed=1)
    order = torch.tensor([5, 0, 3, 1, 4, 2])
    rows = torch.cat([order, order + 6])
    moved = centre_pair_mining(features[rows], generated[rows], LABELS[order])
    torch.testing.assert_close(moved, centre_pair_mining(features, generated, LABELS))


def test_pair_mining_stops_the_gradient_at_the_own_distance() -> None:
    # One identity: only the first hinge is left, [D(n, v') − sg D(v, v') + m]₊ and its mirror image.
    features = torch.tensor([[0.0, 0.0], [3.0, 0.0]], dtype=torch.float64, requires_grad=True)
    generated = torch.tensor([[1.0, 0.0], [2.0, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = centre_pair_mining(features, generated, torch.tensor([4]), 0.2)
    assert loss.item() == pytest.approx(1.2)  # 2 − 1 + 0.2 both ways
    loss.backward()
    # d/dv' of D(n, v') alone is −1, halved by the mean of the two directions.
    torch.testing.assert_close(gradient_of(generated)[:, 0], torch.tensor([-0.5, 0.5], dtype=torch.float64))
    torch.testing.assert_close(gradient_of(features)[:, 0], torch.tensor([-0.5, 0.5], dtype=torch.float64))


def test_pair_mining_gradients() -> None:
    # Generated centres near the other modality close the hinge with the stopped gradient.
    far = torch.tensor([0.0, 0.0, 0.0, 50.0, 50.0, 50.0], dtype=torch.float64).unsqueeze(1)
    features, generated = normal(6, 4) + far, normal(6, 4, seed=1) + far.flip(0)
    labels = torch.tensor([0, 0, 1])
    rows = (features.requires_grad_(), generated.requires_grad_())
    loss = centre_pair_mining(*rows, labels, 9.0)
    assert loss.item() > 1.0
    assert torch.autograd.gradcheck(lambda a, b: centre_pair_mining(a, b, labels, 9.0), rows)
