"""Resizing as products of matrices gives the levels of ``data.resize``, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vireid_cli.data.resize import pillow_orders_passes, resize
from vireid_cli.layers.resample import Resample, bicubic, lanczos
from vireid_cli.types import Resize, Size

SIZES = [(24, 12), (1, 1), (2, 3), (23, 13), (24, 31), (17, 12), (71, 50), (9, 400)]
TALL = [(300, 121), (40, 20), (41, 20), (26, 12), (25, 11), (60, 7)]
"""Sizes on both sides of Pillow's rule for the order of its passes."""


def resample(rule: Resize) -> Resample:
    return Resample((24, 12), rule, rule == "lanczos" and pillow_orders_passes())


@pytest.mark.parametrize("rule", ["lanczos", "bicubic"])
@pytest.mark.parametrize("given", SIZES + TALL, ids=str)
def test_levels_equal_those_of_prepare(rule: Resize, given: Size) -> None:
    rng = np.random.default_rng(given[0])
    pixels = rng.integers(0, 256, (2, *given, 3), dtype=np.uint8)
    pixels[1] = np.where(pixels[1] > 127, 255, 0)  # overshoot at edges is clipped
    actual = resample(rule)(torch.from_numpy(pixels))
    expected = np.stack([resize(image, (24, 12), rule) for image in pixels])
    assert actual.dtype == torch.float32
    levels = (actual * 255).round().permute(0, 2, 3, 1).to(torch.uint8).numpy()
    np.testing.assert_array_equal(levels, expected)
    assert torch.equal(actual, torch.from_numpy(expected).permute(0, 3, 1, 2).float() / 255.0)


def test_windows_at_known_points() -> None:
    x = torch.tensor([0.0, 0.5, 1.0, 2.0, -3.0, 3.0, 5.0], dtype=torch.float64)
    assert lanczos(x)[1].item() == pytest.approx(np.sinc(0.5) * np.sinc(0.5 / 3), abs=1e-15)
    torch.testing.assert_close(lanczos(x)[[0, 2, 3, 5, 6]], torch.tensor([1.0, 0, 0, 0, 0]).double())
    torch.testing.assert_close(bicubic(x)[[0, 1, 2, 3, 6]], torch.tensor([1, 0.5625, 0, 0, 0]).double())


def test_half_and_move_keep_float64() -> None:
    module = torch.nn.Sequential(Resample((24, 12), "lanczos")).half()
    assert module[0].powers.dtype == torch.float64
    assert not module.state_dict()
