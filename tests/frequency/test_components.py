"""Amplitude and phase as vectors: against NumPy's full transform, and inner products after folding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vireid_cli.frequency.components import amplitude_component, folded, phase_component


def maps(seed: int, shape: tuple[int, ...] = (3, 4, 6, 5)) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosines(vectors: torch.Tensor) -> np.ndarray:
    unit = torch.nn.functional.normalize(vectors, dim=1)
    return (unit @ unit.T).numpy()


@pytest.mark.parametrize("width", [1, 2, 5, 6])
def test_inner_products_are_sums_over_the_full_plane(width: int) -> None:
    some = maps(0, (3, 4, 6, width))
    planes = np.fft.fft2(some.numpy(), norm="ortho").reshape(3, -1)
    amplitudes = np.abs(planes)
    vectors = amplitude_component(some)
    np.testing.assert_allclose((vectors @ vectors.T).numpy(), amplitudes @ amplitudes.T, rtol=1e-12)
    energy = (some**2).flatten(1).sum(dim=1)
    np.testing.assert_allclose(vectors.pow(2).sum(dim=1), energy, rtol=1e-12)
    angles = np.angle(planes)
    expected = np.cos(angles[:, None] - angles[None]).mean(axis=2)
    np.testing.assert_allclose(cosines(phase_component(some)), expected, atol=1e-12)


def test_each_component_is_deaf_to_the_other() -> None:
    some = maps(1)
    np.testing.assert_allclose(
        cosines(phase_component(7.5 * some)), cosines(phase_component(some)), atol=1e-12
    )
    moved = some.roll((2, 1), dims=(2, 3))  # a shift turns phases, and no amplitude
    np.testing.assert_allclose(amplitude_component(moved), amplitude_component(some), atol=1e-12)
    assert (phase_component(moved) - phase_component(some)).abs().max() > 0.5


def test_a_channel_that_is_zero_has_neither() -> None:
    some = maps(2)
    some[:, 1] = 0.0
    rest = some[:, [0, 2, 3]]
    for component in (amplitude_component, phase_component):
        assert component(some).isfinite().all()
        np.testing.assert_allclose(cosines(component(some)), cosines(component(rest)), atol=1e-12)


def test_folding_keeps_inner_products() -> None:
    vectors = torch.nn.functional.normalize(maps(3, (40, 5000)), dim=1)
    vectors[20:] = torch.nn.functional.normalize(vectors[:20] + 0.5 * vectors[20:], dim=1)
    short = folded(vectors, 1024)
    assert short.shape == (40, 1024)
    error = (short @ short.T - vectors @ vectors.T).numpy()
    assert np.abs(error).max() < 5 * np.sqrt(2 / 1024)
    assert 0 < np.sqrt((error**2).mean()) < np.sqrt(2 / 1024)
    many = torch.stack([folded(vectors[:2], 8, seed) for seed in range(2000)])
    products = (many[:, 0] * many[:, 1]).sum(dim=1)
    assert products.mean() == pytest.approx(float(vectors[0] @ vectors[1]), abs=4 * np.sqrt(2 / 8 / 2000))


def test_folding_is_linear_the_same_each_time_and_does_nothing_to_the_short() -> None:
    vectors = maps(4, (3, 100))
    torch.testing.assert_close(folded(vectors, 100), vectors, rtol=0, atol=0)
    short = folded(vectors, 7)
    torch.testing.assert_close(folded(vectors[1:2], 7), short[1:2], rtol=0, atol=0)
    torch.testing.assert_close(folded(2 * vectors[:1] - vectors[1:2], 7), 2 * short[:1] - short[1:2])
    assert not torch.equal(folded(vectors, 7, seed=1), short)
