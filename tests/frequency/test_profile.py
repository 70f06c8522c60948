from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vireid_cli.frequency.profile import log_gap, radial_profile, summed_amplitude
from vireid_cli.types import Size

SIZES = [(12, 6), (9, 7), (7, 10), (8, 8)]


def images(size: Size, seed: int = 0, count: int = 3) -> Tensor:
    return torch.rand(count, 2, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def full(pixels: Tensor) -> NDArray[Any]:
    """Mean amplitude over the full plane with numpy's complex transform, image by image."""
    planes = [np.abs(np.fft.fft2(channel, norm="ortho")) for image in pixels.numpy() for channel in image]
    return np.mean(planes, axis=0)


@pytest.mark.parametrize("size", SIZES)
def test_summed_amplitude_is_numpys(size: Size) -> None:
    pixels = images(size)
    expected = full(pixels)[:, : size[1] // 2 + 1] * 6
    np.testing.assert_allclose(summed_amplitude(pixels).numpy(), expected, rtol=1e-12, atol=1e-12)
    parts = summed_amplitude(pixels[:2]) + summed_amplitude(pixels[2:])
    torch.testing.assert_close(parts, summed_amplitude(pixels))


@pytest.mark.parametrize("size", SIZES)
def test_gap_is_the_mean_over_the_full_plane(size: Size) -> None:
    first, second = images(size, 1), images(size, 2)
    expected = np.abs(np.log10(full(first)) - np.log10(full(second))).mean()
    gap = log_gap(summed_amplitude(first) / 6, summed_amplitude(second) / 6, size[1])
    assert gap == pytest.approx(expected, rel=1e-9)


def test_ten_times_the_contrast_is_a_gap_of_one() -> None:
    half = summed_amplitude(images((12, 6)))
    assert log_gap(half, 10 * half, 6) == pytest.approx(1.0)
    assert log_gap(half, half, 6) == 0.0


@pytest.mark.parametrize("size", SIZES)
def test_profile_is_the_mean_of_each_ring(size: Size) -> None:
    plane = full(images(size))
    rows, columns = np.fft.fftfreq(size[0]), np.fft.fftfreq(size[1])
    rings: dict[int, list[float]] = {}
    for y in range(size[0]):
        for x in range(size[1]):
            ring = round(np.hypot(rows[y], columns[x]) * min(size))
            rings.setdefault(ring, []).append(plane[y, x])
    middles, profile = radial_profile(summed_amplitude(images(size)) / 6, size[1])
    expected = [np.mean(rings[ring]) for ring in range(min(size) // 2 + 1)]
    np.testing.assert_allclose(profile.numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(middles.numpy(), np.arange(min(size) // 2 + 1) / min(size))


def test_a_wave_is_in_the_ring_of_its_frequency() -> None:
    x = torch.arange(24, dtype=torch.float64)
    wave = torch.cos(2 * torch.pi * 3 * x / 24).expand(1, 1, 48, 24)
    _, profile = radial_profile(summed_amplitude(wave), 24)
    assert profile.argmax() == 3
