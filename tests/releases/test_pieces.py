"""Layers and losses alone against the released ones: float64, weights and inputs by the README's rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.releases import parity
from tests.tensors import Loss, gradient_of
from vireid_cli.layers.mfa import Diversify, Fusion
from vireid_cli.layers.nonlocal_block import NonLocal
from vireid_cli.layers.pooling import generalised_mean, generalised_mean_stripes
from vireid_cli.losses.triplet import enhanced_squared_difference, weighted_regularised_triplet

MFA = {".channel.": ".CNL.", ".position.": ".PNL.", ".out.": ".W."}


def draws(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.random(shape, dtype=np.float32)).double() for shape in shapes]


def test_non_local_block() -> None:
    block = parity.filled(NonLocal(8), "nonlocal_small.", {"g.": "g.0.", "out.": "W."})
    ours = block(*draws(21, (2, 8, 6, 4)))
    assert parity.deviation(ours, parity.expected("agw")["nonlocal_small"]) <= 1e-12


@pytest.mark.parametrize(
    ("name", "high", "low"),
    [
        ("mfa_a", (2, 16, 6, 4), (2, 4, 6, 4)),
        ("mfa_b", (2, 8, 3, 2), (2, 4, 6, 4)),
        ("mfa_c", (2, 12, 3, 4), (2, 6, 5, 8)),
    ],
)
def test_fusion(name: str, high: tuple[int, ...], low: tuple[int, ...]) -> None:
    released = {f"{part[1:]}": theirs[1:] for part, theirs in MFA.items()}
    block = parity.filled(Fusion(high[1], low[1], "released"), f"{name}.", released)
    assert isinstance(block, Fusion)
    maps, expected = draws(31, high, low), parity.expected("deen")
    assert parity.deviation(block(*maps), expected[name]) <= 1e-12
    assert parity.deviation(block.channel(*maps), expected[f"{name}_channel_only"]) <= 1e-12
    assert parity.deviation(block.position(*maps), expected[f"{name}_position_only"]) <= 1e-12
    block.position.halves = 1  # the plain form
    assert parity.deviation(block(*maps), expected[name]) > 0.05


def test_generated_branches() -> None:
    block = Diversify(8)
    state = {}
    for key, value in block.state_dict().items():
        branch, rest = int(key.split(".")[1]) + 1, key.split(".", 2)[2]
        end = f"{int(rest[8]) + 1}.weight" if rest.startswith("dilated") else f".{rest.split('.')[1]}"
        state[key] = parity.fill(f"dee_small.FC{branch}{end}", tuple(value.shape))
    block.load_state_dict(state)
    ours = block.double().eval()(*draws(32, (2, 8, 6, 4)))
    assert parity.deviation(ours, parity.expected("deen")["dee_small"]) <= 1e-12


@pytest.mark.parametrize("power", [3.0, 10.0])
def test_generalised_mean(power: float) -> None:
    """From features of order 1 down to 0, for which only the addend of 1e-12 remains."""
    rng = np.random.default_rng(13)
    drawn = rng.random((2, 3, 6, 4), dtype=np.float32)
    scales = (1.0, 0.1, 0.05, 0.01, 1e-3, 1e-4, 0.0)
    maps = torch.from_numpy(np.stack([(drawn * s).astype(np.float32) for s in scales]))  # (7, 2, 3, 6, 4)
    expected = parity.expected("hctri")
    double = generalised_mean(maps.flatten(0, 1).double(), power, "released").unflatten(0, (7, 2))
    assert parity.deviation(double, expected[f"gem_p{power:.0f}_fp64"]) <= 1e-12
    single = generalised_mean(maps.flatten(0, 1), power, "released").unflatten(0, (7, 2))
    assert parity.deviation(single, expected[f"gem_p{power:.0f}_fp64"]) <= 1e-6
    stripe = generalised_mean_stripes(maps.flatten(0, 1).double(), 1, power, "released")[..., 0]
    assert parity.deviation(stripe.unflatten(0, (7, 2)), expected[f"gem_p{power:.0f}_fp64"]) <= 1e-12


@pytest.mark.parametrize(
    ("case", "name", "loss"),
    [("agw", "wrt", weighted_regularised_triplet), ("caj", "squared", enhanced_squared_difference)],
)
def test_triplets_at_growing_distances(case: str, name: str, loss: Loss) -> None:
    """If all negatives are far away, the released softmax loses them."""
    expected = parity.expected(case)
    rng = np.random.default_rng(11)
    centres, noise = rng.standard_normal((4, 64)), rng.standard_normal((16, 64))
    points = torch.from_numpy(0.5 * noise + np.repeat(centres, 4, axis=0))
    labels = torch.arange(4).repeat_interleave(4)
    for i, target in enumerate((7, 14, 18, 21)):
        features = (points * (target / float(expected["wrt_unit_median"]))).requires_grad_()
        value = loss(features, labels, True)
        value.backward()
        assert value.item() == pytest.approx(float(expected[f"{name}_value"][i]), rel=1e-8)
        assert parity.deviation(gradient_of(features), expected[f"{name}_grad"][i]) <= 1e-8
