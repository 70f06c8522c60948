"""Consistency and purification losses against loops in float64, and their invariances."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck

from vireid_cli.losses.consistency import (
    Sign,
    distance_graph,
    half_flipped,
    occurrence,
    slot_divergence,
    symmetric_divergence,
)
from vireid_cli.losses.purification import centre_gap, entropy_gain, relative_centre_gap

LABELS = torch.tensor([4, 0, 4, 0, 1, 1])


@pytest.fixture
def rows() -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(6, 5, generator=generator, dtype=torch.float64) for _ in range(2)]


def divergence(p: Tensor, q: Tensor) -> float:
    return sum(float(a * (a / b).log() + b * (b / a).log()) for a, b in zip(p, q, strict=True))


def test_divergence_of_rows_by_hand(rows: list[Tensor]) -> None:
    expected = sum(divergence(a.softmax(0), b.softmax(0)) for a, b in zip(*rows, strict=True)) / 6
    assert symmetric_divergence(*rows).item() == pytest.approx(expected, rel=1e-9)
    assert symmetric_divergence(rows[1], rows[0]).item() == pytest.approx(expected, rel=1e-9)
    assert symmetric_divergence(rows[0], rows[0] + 7.0).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("sign", ["far", "near"])
@pytest.mark.parametrize("normalize", [False, True])
def test_graph_by_loops(rows: list[Tensor], sign: Sign, normalize: bool) -> None:
    features = F.normalize(rows[0], dim=1) if normalize else rows[0]
    factor = 1.0 if sign == "far" else -1.0
    expected = [
        [factor * float((features[i] - features[j]).norm()) for j in range(6) if j != i] for i in range(6)
    ]
    actual = distance_graph(rows[0], sign, normalize)
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64))


def test_graphs_ignore_rotations_and_shifts(rows: list[Tensor]) -> None:
    turn, _ = torch.linalg.qr(
        torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    )
    moved = distance_graph(rows[0] @ turn + 3.0)
    assert symmetric_divergence(distance_graph(rows[0]), moved).item() == pytest.approx(0.0, abs=1e-12)


def test_slots_by_hand(rows: list[Tensor]) -> None:
    # Slot 0: rows 0, 1 and 4; slot 1: rows 2, 3 and 5.
    expected = 0.0
    for slot in ([0, 1, 4], [2, 3, 5]):
        first, second = (logits[slot].flatten().softmax(0) for logits in rows)
        expected += divergence(first, second) / 2
    assert slot_divergence(rows[0], rows[1], LABELS).item() == pytest.approx(expected, rel=1e-9)


def test_slots_of_identities_with_unequal_counts(rows: list[Tensor]) -> None:
    labels = torch.tensor([2, 2, 2, 5, 5, 9])
    expected = 0.0
    for slot in ([0, 3, 5], [1, 4], [2]):
        first, second = (logits[slot].flatten().softmax(0) for logits in rows)
        expected += divergence(first, second) / 3
    assert slot_divergence(rows[0], rows[1], labels).item() == pytest.approx(expected, rel=1e-9)


def test_slots_ignore_the_order_of_identities(rows: list[Tensor]) -> None:
    order = torch.tensor([4, 0, 2, 1, 5, 3])  # each identity's rows stay in order
    moved = slot_divergence(rows[0][order], rows[1][order], LABELS[order])
    torch.testing.assert_close(moved, slot_divergence(rows[0], rows[1], LABELS))


def test_occurrences() -> None:
    assert occurrence(LABELS).tolist() == [0, 0, 1, 1, 0, 1]


@pytest.mark.parametrize("images", [1, 2, 5])
def test_half_of_each_modality_is_flipped(images: int) -> None:
    labels = torch.tensor([7, 2, 9, 4]).repeat_interleave(images)
    for modality in (0, 1):
        target = half_flipped(modality, labels)
        assert (target != modality).sum().item() == 2 * images
        if images == 2:
            assert (target != modality).unflatten(0, (4, 2)).sum(1).tolist() == [1, 1, 1, 1]
    assert ((half_flipped(0, labels) + half_flipped(1, labels)) == 1).all()


def test_half_flips_do_not_depend_on_the_order_of_identities() -> None:
    order = torch.tensor([4, 0, 2, 1, 5, 3])
    assert torch.equal(half_flipped(0, LABELS)[order], half_flipped(0, LABELS[order]))


def entropy(logits: Tensor) -> Tensor:
    p = logits.softmax(0)
    return -(p * p.log()).sum()


def test_entropy_gain_by_loops(rows: list[Tensor]) -> None:
    expected = sum(
        float(torch.exp((entropy(a) - entropy(b)).clamp_min(0.0)) - 1) for a, b in zip(*rows, strict=True)
    )
    assert entropy_gain(*rows).item() == pytest.approx(expected / 6, rel=1e-9)
    assert entropy_gain(rows[0] * 100.0, rows[0]).item() == pytest.approx(0.0, abs=1e-12)


def gaps(features: Tensor) -> list[float]:
    visible, infrared = features.chunk(2)
    labels = LABELS.tolist()
    return [
        float(
            (
                visible[[i for i, x in enumerate(labels) if x == name]].mean(0)
                - infrared[[i for i, x in enumerate(labels) if x == name]].mean(0)
            ).norm()
        )
        for name in sorted(set(labels))
    ]


def test_centre_gaps_by_loops() -> None:
    generator = torch.Generator().manual_seed(8)
    purified, before = (torch.randn(12, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    pairs = zip(gaps(purified), gaps(before), strict=True)
    expected = sum(max(0.0, a - b) for a, b in pairs) / 3
    assert centre_gap(purified, before, LABELS).item() == pytest.approx(expected, rel=1e-9)
    pairs = zip(gaps(F.normalize(purified)), gaps(F.normalize(before)), strict=True)
    expected = sum(max(0.0, a / b - 0.9) for a, b in pairs) / 3
    assert relative_centre_gap(purified, before, LABELS).item() == pytest.approx(expected, rel=1e-9)


def test_masks_of_one_half_zero_the_literal_gap_only() -> None:
    generator = torch.Generator().manual_seed(8)
    before = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    purified = (0.5 * before).requires_grad_()
    for loss, value in ((centre_gap, 0.0), (relative_centre_gap, 0.1)):
        actual = loss(purified, before, LABELS)
        assert actual.item() == pytest.approx(value)
        (slope,) = torch.autograd.grad(actual, purified)
        assert bool(slope.abs().max() > 1e-3) == (value > 0.0)


def test_gradients(rows: list[Tensor]) -> None:
    first, second = (row.requires_grad_() for row in rows)
    assert gradcheck(symmetric_divergence, (first, second))
    assert gradcheck(lambda a, b: slot_divergence(a, b, LABELS), (first, second))
    assert gradcheck(lambda a: distance_graph(a).log_softmax(1).square().sum(), (first,))
    assert gradcheck(entropy_gain, (first, second))
    assert gradcheck(lambda a: relative_centre_gap(a, rows[1].detach(), LABELS[:3]), (first,))
