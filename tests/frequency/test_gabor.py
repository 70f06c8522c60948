import math

import pytest
import torch
from torch.autograd import gradcheck

from tests.tensors import normal
from vireid_cli.frequency.gabor import Gabor, band_pass, gaussian, radial_frequency


@pytest.mark.parametrize("size", [(18, 9), (6, 4), (5, 1), (24, 12)])
def test_radius_of_every_bin(size: tuple[int, int]) -> None:
    radii = radial_frequency(size, normal(1))
    for row in range(size[0]):
        for column in range(size[1] // 2 + 1):
            vertical = (row if row <= (size[0] - 1) // 2 else row - size[0]) / size[0]
            expected = math.hypot(vertical, column / size[1]) / math.sqrt(0.5)
            assert radii[row, column].item() == pytest.approx(expected)
    assert radii.min() >= 0
    assert radii.max() <= 1 + 1e-9


@pytest.mark.parametrize("size", [(18, 9), (6, 4)])
@pytest.mark.parametrize("keep_dc", [False, True])
def test_band_pass_multiplies_the_full_spectrum(size: tuple[int, int], keep_dc: bool) -> None:
    features = normal(2, 3, *size)
    radius = torch.hypot(*torch.meshgrid(*(torch.fft.fftfreq(n).double() for n in size), indexing="ij"))
    weights = torch.exp(-((radius / math.sqrt(0.5) - 0.3) ** 2) / (2 * 0.2**2))
    if keep_dc:
        weights[0, 0] = 1.0
    expected = torch.fft.ifft2(torch.fft.fft2(features) * weights).real
    torch.testing.assert_close(band_pass(features, 0.3, 0.2, keep_dc), expected, rtol=1e-6, atol=1e-6)
    if keep_dc:
        torch.testing.assert_close(band_pass(features, 0.3, 0.2, True).mean((2, 3)), features.mean((2, 3)))


def test_initial_band_passes_the_intended_frequencies() -> None:
    gabor = Gabor()
    assert gabor.center.sigmoid().item() == pytest.approx(0.35)
    spread = torch.nn.functional.softplus(gabor.spread).item()
    assert spread == pytest.approx(0.25)
    # The mean, the centre, and the highest bin of an 18x9 map.
    highest = radial_frequency((18, 9), normal(1)).max()
    weights = gaussian(torch.tensor([0.0, 0.35, highest], dtype=torch.float64), 0.35, 0.25)
    torch.testing.assert_close(
        weights, torch.tensor([0.375, 1.0, 0.06], dtype=torch.float64), rtol=0, atol=3e-3
    )


def test_switches() -> None:
    features = normal(1, 2, 6, 4, dtype=torch.float32)
    torch.testing.assert_close(Gabor()(features), band_pass(features, 0.35, 0.25))
    torch.testing.assert_close(Gabor(keep_dc=True)(features), band_pass(features, 0.35, 0.25, True))
    rows = Gabor("rows")(features) / features
    torch.testing.assert_close(rows[0, 0], rows[0, 1], rtol=1e-4, atol=1e-5)
    assert rows[0, 0, 0, 0].item() == pytest.approx(0.3753, abs=1e-3)
    assert (Gabor("rows", keep_dc=True)(features) / features)[0, 0, 0, 0].item() == pytest.approx(1.0)
    assert all(p.requires_grad for p in Gabor().parameters())
    assert not any(p.requires_grad for p in Gabor(learned=False).parameters())


def test_gradcheck() -> None:
    numbers = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.3, 0.2)]
    assert gradcheck(band_pass, (normal(1, 1, 4, 3).requires_grad_(), *numbers))
