"""FAD against worked numbers and plain loops."""

import math
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from tests.tensors import gradient_of
from vireid_cli.losses.fad import frequency_contrast, semantic_consistency

SIMILARITIES = torch.tensor(
    [[0.9, 0.8, 0.1, 0.2], [0.7, 0.95, 0.0, 0.3], [0.2, 0.1, 0.85, 0.6], [0.3, 0.2, 0.5, 0.9]],
    dtype=torch.float64,
)
LABELS = torch.tensor([0, 0, 1, 1])


@pytest.mark.parametrize(("positives", "expected"), [("all", 1.3638776), ("diag", 0.1138776)])
def test_worked_numbers(positives: Literal["all", "diag"], expected: float) -> None:
    loss = frequency_contrast(SIMILARITIES, torch.eye(4, dtype=torch.float64), LABELS, 0.1, positives)
    assert loss.item() == pytest.approx(expected, abs=1e-7)


def test_contrast_by_loops_with_identities_of_different_size() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([3, 0, 3, 1, 3, 0])
    visible, infrared = (
        F.normalize(torch.randn(6, 5, generator=generator, dtype=torch.float64)) for _ in range(2)
    )
    total = 0.0
    for own, other in ((visible, infrared), (infrared, visible)):
        for i in range(6):
            scores = [math.exp(float(own[i] @ other[j]) / 0.2) for j in range(6)]
            same = [j for j in range(6) if labels[j] == labels[i]]
            total -= sum(math.log(scores[j] / sum(scores)) for j in same) / len(same) / 6 / 2
    assert frequency_contrast(visible, infrared, labels, 0.2).item() == pytest.approx(total)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    moved = frequency_contrast(visible[order], infrared[order], labels[order], 0.2)
    assert moved.item() == pytest.approx(total)


@pytest.mark.parametrize("k", [1, 2, 9])
def test_consistency_by_loops(k: int) -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    logits = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    p, total = logits.softmax(1), 0.0
    for own, other in ((range(4), range(4, 7)), (range(4, 7), range(4))):
        for i in own:
            near = sorted(other, key=lambda j: -float(F.cosine_similarity(features[i], features[j], dim=0)))[
                :k
            ]
            mean = sum(p[j] for j in near) / len(near)
            total += 0.5 * float((p[i] * (p[i] / mean).log()).sum()) / len(own)
    assert semantic_consistency(features, logits, 4, k).item() == pytest.approx(total)


def test_consistency_gradients() -> None:
    features = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    logits = torch.randn(
        6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3), requires_grad=True
    )
    assert gradcheck(lambda x: semantic_consistency(features, x, 3, 2, detach=False), (logits,))
    gradients = [
        torch.autograd.grad(semantic_consistency(features, logits, 3, 2, detach=d), logits)[0]
        for d in (True, False)
    ]
    assert (gradients[0] - gradients[1]).abs().max() > 1e-3
    features.requires_grad_()
    loss = semantic_consistency(features, logits, 3, 2)
    assert torch.autograd.grad(loss, features, allow_unused=True)[0] is None


def test_contrast_gradcheck_and_autocast() -> None:
    features = [F.normalize(torch.randn(4, 3, dtype=torch.float64)).requires_grad_() for _ in range(2)]
    for positives in ("all", "diag"):
        assert gradcheck(lambda v, n, p=positives: frequency_contrast(v, n, LABELS, 0.5, p), features)
    low = [x.detach().float() for x in features]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = frequency_contrast(low[0], low[1], LABELS)
    assert torch.equal(actual, frequency_contrast(low[0], low[1], LABELS))


def test_certain_distributions_are_finite() -> None:
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    loss = semantic_consistency(torch.eye(2), logits, 1, 1)
    assert loss.item() == pytest.approx(-math.log(1e-8), rel=1e-4)
    loss.backward()
    assert gradient_of(logits).isfinite().all()
