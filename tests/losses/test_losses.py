"""Every loss against plain loops in float64, worked numbers, and laws."""

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from tests.tensors import Loss, gradient_of, normal
from vireid_cli.losses.center import cross_center, hetero_center, hetero_center_triplet
from vireid_cli.losses.distance import SMALLEST_SQUARE, Distance, distances
from vireid_cli.losses.identity import cosine_identity_loss, identity_loss, soft_identity_loss
from vireid_cli.losses.paba import paba
from vireid_cli.losses.triplet import (
    batch_hard_triplet,
    enhanced_squared_difference,
    weighted_regularised_triplet,
)

Rows = Tensor | list[Tensor]
Labels = Tensor | list[int]

LABELS = torch.tensor([7, 7, 2, 2, 2, 5])  # unequal counts, labels with gaps


def norm(difference: Tensor) -> float:
    return math.sqrt(max(sum(float(value) ** 2 for value in difference), SMALLEST_SQUARE))


def distance_between(a: Tensor, b: Tensor, kind: Distance = "l2") -> float:
    if kind == "cos":
        return 1 - float(a @ b) / (float(a @ a) ** 0.5 * float(b @ b) ** 0.5)
    return norm(a - b) if kind == "l2" else norm(a - b) ** 2


def centre(rows: Rows, labels: Labels, identity: int) -> Tensor:
    members = [row for row, label in zip(rows, labels, strict=True) if label == identity]
    return sum(members) / len(members)


def identities(labels: Labels) -> list[int]:
    return sorted({int(label) for label in labels})


def triplet_by_loops(rows: Rows, labels: Labels, margin: float, kind: Distance = "l2") -> float:
    total = 0.0
    for a, label in zip(rows, labels, strict=True):
        positive = max(
            distance_between(a, b, kind) for b, other in zip(rows, labels, strict=True) if other == label
        )
        negative = min(
            distance_between(a, b, kind) for b, other in zip(rows, labels, strict=True) if other != label
        )
        total += max(0.0, positive - negative + margin)
    return total / len(rows)


def paba_by_loops(
    visible: Rows,
    infrared: Rows,
    labels: Labels,
    margin: float,
    kind: Distance = "l2",
    negative: str = "sample",
) -> float:
    total = 0.0
    for anchors, others in ((visible, infrared), (infrared, visible)):
        for p in identities(labels):
            anchor = centre(anchors, labels, p)
            same = [x for x, y in zip(others, labels, strict=True) if y == p]
            different = [x for x, y in zip(others, labels, strict=True) if y != p]
            if negative == "centre":
                different = [centre(others, labels, q) for q in identities(labels) if q != p]
            hinge = max(distance_between(anchor, x, kind) for x in same) - min(
                distance_between(anchor, x, kind) for x in different
            )
            total += max(0.0, hinge + margin) / len(identities(labels))
    return total


def cross_center_by_loops(
    visible: Tensor, infrared: Tensor, labels: Labels, margin: float, centre_gap: float
) -> float:
    total = 0.0
    for p in identities(labels):
        centre_v, centre_n = centre(visible, labels, p), centre(infrared, labels, p)
        rows = [i for i, label in enumerate(labels) if label == p]
        for i in rows:
            total += max(0.0, norm(visible[i] - centre_n) ** 2 - margin) / (2 * len(rows))
            total += max(0.0, norm(infrared[i] - centre_v) ** 2 - margin) / (2 * len(rows))
        total += centre_gap * norm(centre_v - centre_n) ** 2
    return total / len(identities(labels))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_identity_loss(smoothing: float) -> None:
    logits, labels = normal(3, 6, 9), LABELS
    expected = 0.0
    for part in logits:
        for row, label in zip(part, labels, strict=True):
            log = [float(value) - math.log(sum(math.exp(float(other)) for other in row)) for value in row]
            target = [smoothing / 9 + (1 - smoothing) * (i == int(label)) for i in range(9)]
            expected -= sum(t * value for t, value in zip(target, log, strict=True)) / len(labels)
    assert identity_loss(logits, labels, smoothing).item() == pytest.approx(expected, rel=1e-12)
    assert identity_loss(logits[0], labels, smoothing).item() == pytest.approx(
        expected - identity_loss(logits[1:], labels, smoothing).item(), rel=1e-12
    )


def test_soft_identity_loss() -> None:
    student, teacher = (normal(5, 7, seed=seed).requires_grad_() for seed in (1, 2))
    expected = 0.0
    for row, other in zip(student, teacher, strict=True):
        total, shares = sum(map(math.exp, row.tolist())), sum(map(math.exp, other.tolist()))
        for value, target in zip(row.tolist(), other.tolist(), strict=True):
            expected -= math.exp(target) / shares * (value - math.log(total)) / 5
    loss = soft_identity_loss(student, teacher)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    loss.backward()
    assert teacher.grad is None
    assert torch.autograd.gradcheck(lambda value: soft_identity_loss(value, teacher), student)


@pytest.mark.parametrize("kind", ["l2", "l2sq", "cos"])
def test_distances(kind: Distance) -> None:
    rows = normal(2, 5, 4)
    pairs = distances(rows, kind)
    for part in range(2):
        for i in range(5):
            for j in range(5):
                expected = distance_between(rows[part, i], rows[part, j], kind)
                assert pairs[part, i, j].item() == pytest.approx(expected, abs=1e-7 if i == j else 1e-12)


@pytest.mark.parametrize("kind", ["l2", "l2sq", "cos"])
def test_batch_hard_triplet(kind: Distance) -> None:
    rows, labels = normal(2, 6, 4), LABELS
    expected = math.fsum(triplet_by_loops(part, labels, 0.3, kind) for part in rows)
    assert batch_hard_triplet(rows, labels, 0.3, kind).item() == pytest.approx(expected, rel=1e-9)


def test_hetero_center() -> None:
    rows = normal(2, 12, 4)
    expected = 0.0
    for part in rows:
        for p in identities(LABELS):
            gap = norm(centre(part[:6], LABELS, p) - centre(part[6:], LABELS, p)) ** 2
            expected += max(0.0, gap - 0.5)
    assert hetero_center(rows, LABELS, 0.5).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("margin", "gap"), [(0.0, 0.0), (3.0, 0.0), (0.0, 0.5)])
def test_cross_center(margin: float, gap: float) -> None:
    rows = normal(2, 12, 4)
    expected = sum(cross_center_by_loops(part[:6], part[6:], LABELS, margin, gap) for part in rows)
    assert cross_center(rows, LABELS, margin, gap).item() == pytest.approx(expected, rel=1e-12)


def test_hetero_center_triplet() -> None:
    rows = normal(2, 12, 4)
    expected = 0.0
    for part in rows:
        names = identities(LABELS)
        points = [centre(half, LABELS, p) for half in (part[:6], part[6:]) for p in names]
        expected += triplet_by_loops(points, names * 2, 0.3)
    assert hetero_center_triplet(rows, LABELS, 0.3).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", ["l2", "l2sq", "cos"])
@pytest.mark.parametrize("negative", ["sample", "centre"])
@pytest.mark.parametrize("anchor_grad", [True, False])
def test_paba(kind: Distance, negative: Literal["sample", "centre"], anchor_grad: bool) -> None:
    rows = normal(3, 12, 4)
    expected = math.fsum(paba_by_loops(part[:6], part[6:], LABELS, 0.5, kind, negative) for part in rows)
    loss = paba(rows, LABELS, margin=0.5, dist=kind, negative=negative, anchor_grad=anchor_grad)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert expected > 0


def test_paba_by_hand() -> None:
    first, second = (
        [[0.0, 0.0], [0.0, 2.0], [4.0, 0.0], [4.0, 2.0]],
        [[0.0, 1.0], [1.0, 1.0], [3.0, 1.0], [5.0, 1.0]],
    )
    rows = torch.tensor([first + second], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1])
    # Ma→Mb: hardest positive 1, nearest negative 3 for both identities. Mb→Ma: 1.118034 against
    # 3.640055 and 1 against 4.123106, which leave nothing at margin 2.5.
    assert paba(rows, labels, margin=2.5).item() == pytest.approx(0.5, abs=1e-6)
    assert paba(rows, labels, margin=0.5).item() == 0.0
    # Centre negatives: Ma→Mb 1 against 4 and 3.5; Mb→Ma 1.118034 against 3.5 and 1 against 4.
    expected = (math.sqrt(1.25) - 3.5 + 2.5) / 2
    assert expected == pytest.approx(0.0590170, abs=1e-7)
    assert paba(rows, labels, margin=2.5, negative="centre").item() == pytest.approx(expected, abs=1e-6)


def test_hctri_by_hand() -> None:
    rows = torch.tensor([0, 1.5, 3.2, 0.8, 1.9, 4.0], dtype=torch.float64).unsqueeze(1)
    # Only the anchor i_0 is active: 0.8 − 0.7 + 0.3 = 0.4, over six anchors.
    assert hetero_center_triplet(rows, torch.arange(3)).item() == pytest.approx(0.4 / 6, abs=1e-6)


def test_paba_without_anchor_gradient_moves_the_samples_only() -> None:
    def gradient(anchor_grad: bool) -> Tensor:
        rows = normal(1, 12, 4).requires_grad_()
        paba(rows, LABELS, anchor_grad=anchor_grad).backward()
        return gradient_of(rows)

    rows = normal(1, 12, 4)
    leaf = rows.clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for anchors, others in ((rows[0, :6], leaf[0, 6:]), (rows[0, 6:], leaf[0, :6])):
        for p in identities(LABELS):
            pairs = (others - centre(anchors, LABELS, p)).norm(dim=1)
            hinge = pairs[p == LABELS].max() - pairs[p != LABELS].min() + 0.5
            total = total + hinge.clamp_min(0) / 3
    total.backward()
    torch.testing.assert_close(gradient(False), gradient_of(leaf), rtol=1e-8, atol=1e-10)
    assert (gradient(True) - gradient_of(leaf)).abs().max() > 1e-2


def weighted_by_loops(rows: Tensor, labels: Tensor, released: bool) -> list[list[float]]:
    """Weighted positive and negative of each anchor."""
    actual = []
    for i, label in enumerate(labels):
        pairs = [distance_between(rows[i], row) for row in rows]
        weighted = []
        for sign, member in ((1, labels == label), (-1, labels != label)):
            chosen = [d for d, inside in zip(pairs, member, strict=True) if inside]
            # The released code takes the maximum over a row with zeros elsewhere.
            shift = max([*(sign * d for d in chosen), 0.0]) if released else 0.0
            raised = [math.exp(sign * d - shift) for d in chosen]
            total = sum(raised) + (1e-6 if released else 0.0)
            weighted.append(sum(r * d for r, d in zip(raised, chosen, strict=True)) / total)
        actual.append(weighted)
    return actual


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("scale", [1.0, 4.0, 12.0])
def test_soft_triplets(released: bool, scale: float) -> None:
    rows = scale * normal(2, 6, 4)
    soft = squared = 0.0
    for part in rows:
        for positive, negative in weighted_by_loops(part, LABELS, released):
            gap = positive - negative
            soft += math.log1p(math.exp(gap)) / 6
            bounded = min(gap**2, 88.0) * (1 if gap > 0 else -1)
            squared += math.log1p(math.exp(bounded)) / 6
    assert weighted_regularised_triplet(rows, LABELS, released).item() == pytest.approx(soft, rel=1e-8)
    assert enhanced_squared_difference(rows, LABELS, released).item() == pytest.approx(squared, rel=1e-8)
    if scale == 12.0:
        assert squared > 30, "the cap was reached"


def test_soft_triplets_by_hand() -> None:
    rows = torch.tensor([0.0, 1.0, 3.0, 4.5], dtype=torch.float64).unsqueeze(1)
    labels = torch.tensor([0, 0, 1, 1])
    weighted = [(0.73106, 3.27364), (0.73106, 2.27364), (1.22636, 2.26894), (1.22636, 3.76894)]
    for actual, expected in zip(weighted_by_loops(rows, labels, False), weighted, strict=True):
        assert actual == pytest.approx(expected, abs=1e-5)
    assert weighted_regularised_triplet(rows, labels).item() == pytest.approx(0.1618030, abs=1e-7)
    assert enhanced_squared_difference(rows, labels).item() == pytest.approx(0.0955676, abs=1e-7)


@pytest.mark.parametrize(
    ("far", "sum_of_weights"), [(10, 1.0), (15, 0.94), (18, 0.46), (20, 0.10), (25, 0.001)]
)
def test_the_released_softmax_forgets_far_negatives(far: int, sum_of_weights: float) -> None:
    """56 negatives, all at one distance from an anchor."""
    rows = torch.zeros(64, 1, dtype=torch.float64)
    rows[8:] = far
    labels = torch.zeros(64, dtype=torch.int64)
    labels[8:] = 1
    proper, released = (
        math.log(math.expm1(weighted_regularised_triplet(rows, labels, eps).item())) for eps in (False, True)
    )
    # Positives are at distance 0: log(1 + exp(−weighted negative)) averaged over two kinds of anchors.
    assert proper == pytest.approx(-far, rel=1e-6)
    anchors = [far * n * math.exp(-far) / (n * math.exp(-far) + 1e-6) for n in (56, 8)]
    assert anchors[0] == pytest.approx(far * sum_of_weights, abs=0.02 * far)
    mean = sum(n * math.log1p(math.exp(-a)) for n, a in zip((8, 56), anchors, strict=True)) / 64
    assert released == pytest.approx(
        math.log(math.expm1(mean)), abs=1e-5
    )  # the anchor's own distance is 1e-6


def test_equal_gaps_count_as_a_negative_difference() -> None:
    rows = torch.zeros(4, 2, dtype=torch.float64)
    assert enhanced_squared_difference(rows, torch.tensor([0, 0, 1, 1])).item() == pytest.approx(math.log(2))


def test_a_single_identity_has_no_negative() -> None:
    rows = normal(4, 3)
    expected = 0.0
    for anchor in rows:
        pairs = [distance_between(anchor, row) for row in rows]
        total = sum(math.exp(d) for d in pairs)
        expected += math.log1p(math.exp(sum(math.exp(d) * d for d in pairs) / total)) / 4
    assert weighted_regularised_triplet(rows, torch.zeros(4)).item() == pytest.approx(expected, rel=1e-9)


LOSSES = {
    "wrt": lambda rows, labels: weighted_regularised_triplet(rows, labels.repeat(2)),
    "wrt-released": lambda rows, labels: weighted_regularised_triplet(rows, labels.repeat(2), True),
    "wrt-squared": lambda rows, labels: enhanced_squared_difference(rows, labels.repeat(2)),
    "triplet": lambda rows, labels: batch_hard_triplet(rows, labels.repeat(2)),
    "hc": lambda rows, labels: hetero_center(rows, labels, 0.1),
    "cc": lambda rows, labels: cross_center(rows, labels, 0.1, 0.5),
    "hctri": hetero_center_triplet,
    "paba": paba,
    "paba-centre": lambda rows, labels: paba(rows, labels, negative="centre"),
    "paba-cos": lambda rows, labels: paba(rows, labels, dist="cos"),
    "paba-l2sq": lambda rows, labels: paba(rows, labels, dist="l2sq"),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


@every_loss
def test_gradcheck(loss: Loss) -> None:
    rows = normal(1, 12, 2, seed=4).requires_grad_()
    assert torch.autograd.gradcheck(lambda value: loss(value, LABELS), rows)


@every_loss
def test_order_of_the_batch_does_not_matter(loss: Loss) -> None:
    rows, order = normal(2, 12, 3), torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = rows[:, torch.cat([order, order + 6])]
    torch.testing.assert_close(loss(shuffled, LABELS[order]), loss(rows, LABELS), rtol=1e-10, atol=1e-12)


@every_loss
def test_parts_are_summed(loss: Loss) -> None:
    rows = normal(3, 12, 3)
    each = sum(loss(part.unsqueeze(0), LABELS) for part in rows)
    torch.testing.assert_close(loss(rows, LABELS), each, rtol=1e-9, atol=1e-12)


@every_loss
def test_autocast_changes_nothing(loss: Loss) -> None:
    rows = normal(2, 12, 16).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(rows, LABELS)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, loss(rows, LABELS), rtol=0, atol=0)


@every_loss
def test_equal_images_have_finite_gradients(loss: Loss) -> None:
    # The sampler draws with replacement: the same image occurs twice, at distance 0.
    rows = normal(1, 3, 4).float().repeat_interleave(2, dim=1).repeat(1, 2, 1).requires_grad_()
    value = loss(rows, torch.tensor([0, 0, 1, 1, 2, 2]))
    value.backward()
    assert value.isfinite()
    assert rows.grad is not None
    assert rows.grad.isfinite().all()


def test_a_single_identity_has_a_paba_loss_of_0() -> None:
    assert paba(normal(2, 8, 4), torch.zeros(4, dtype=torch.int64)).item() == 0.0


def test_paba_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="chunks, 2N, D"):
        paba(normal(2, 7, 4), LABELS)


@pytest.mark.parametrize(("scale", "margin", "smoothing"), [(30.0, 0.35, 0.0), (16.0, 0.0, 0.1)])
def test_cosine_identity_loss_by_a_loop(scale: float, margin: float, smoothing: float) -> None:
    features, weight, labels = normal(5, 4), normal(3, 4), [2, 0, 1, 1, 0]
    total = 0.0
    for feature, label in zip(features, labels, strict=True):
        cosines = [
            float(feature @ row) / math.sqrt(float(feature @ feature) * float(row @ row)) for row in weight
        ]
        logits = [scale * (c - (margin if k == label else 0.0)) for k, c in enumerate(cosines)]
        surprise = [math.log(sum(math.exp(v) for v in logits)) - v for v in logits]
        total += (1 - smoothing) * surprise[label] + smoothing * sum(surprise) / 3
    result = cosine_identity_loss(features, weight, torch.tensor(labels), scale, margin, smoothing)
    assert float(result) == pytest.approx(total / 5, rel=1e-9)
    longer = cosine_identity_loss(3 * features, 7 * weight, torch.tensor(labels), scale, margin, smoothing)
    assert float(longer) == pytest.approx(float(result), rel=1e-9)
