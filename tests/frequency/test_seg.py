from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vireid_cli.frequency.fourier import Kind
from vireid_cli.frequency.seg import Amplitude, grey_image, released_image, seg_image


@pytest.fixture
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    smooth = torch.rand(3, 3, 6, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(smooth, size=(24, 13), mode="bilinear")
    return (smooth + 0.05 * torch.rand(3, 3, 24, 13, generator=generator)).clamp(0, 1)


def oracle(
    pixels: Tensor,
    amplitude: str = "mean",
    phase_source: str = "rgb",
    abs: bool = False,
    weight: float = 1.0,
    clip: bool = True,
) -> NDArray[Any]:
    """The definition with numpy's full complex transform, image by image, in float64."""
    out = []
    for image in pixels.double().numpy():
        grey = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
        source = image if phase_source == "rgb" else grey[None]
        bins = np.fft.fft2(source)  # unnormalised: the inverse carries 1/(HW)
        level = {"mean": np.abs(bins).mean(), "unit": 1.0, "one_over_rms": np.sqrt(grey.size)}[amplitude]
        phase = np.fft.ifft2(level * np.exp(1j * np.angle(bins))).real
        total = grey + weight * (np.abs(phase) if abs else phase)
        total = np.broadcast_to(total, image.shape)
        out.append(np.clip(total, 0, 1) if clip else total)
    return np.stack(out)


@pytest.mark.parametrize("kind", ["fft", "matmul"])
@pytest.mark.parametrize(
    "switch",
    [
        {},
        {"amplitude": "unit"},
        {"amplitude": "one_over_rms", "weight": 0.1},
        {"phase_source": "gray"},
        {"abs": True},
        {"weight": 0.3},
        {"clip": False},
    ],
)
def test_seg_is_the_definition(pixels: Tensor, switch: dict[str, Any], kind: Kind) -> None:
    image = seg_image(pixels, kind=kind, **switch)
    np.testing.assert_allclose(image.numpy(), oracle(pixels, **switch), rtol=0, atol=1e-5)


def test_every_switch_changes_the_image(pixels: Tensor) -> None:
    default = seg_image(pixels)
    for switch in (
        {"amplitude": "unit"},
        {"amplitude": "one_over_rms"},
        {"phase_source": "gray"},
        {"abs": True},
        {"weight": 0.3},
        {"clip": False},
    ):
        assert (seg_image(pixels, **switch) - default).abs().max() > 1e-3, switch


def test_unit_amplitude_is_invisible_and_one_over_rms_has_rms_one(pixels: Tensor) -> None:
    sizes: tuple[tuple[Amplitude, float], ...] = (("unit", (24 * 13) ** -0.5), ("one_over_rms", 1.0))
    for name, expected in sizes:
        added = seg_image(pixels, amplitude=name, clip=False) - grey_image(pixels)
        rms = added.square().mean(dim=(-2, -1)).sqrt()
        # Channels have three phases of their own.
        torch.testing.assert_close(rms, torch.full_like(rms, expected), rtol=1e-4, atol=0)


def test_range_and_grey(pixels: Tensor) -> None:
    image = seg_image(pixels)
    assert image.min() >= 0
    assert image.max() <= 1
    grey = grey_image(pixels)
    assert torch.equal(grey[:, 0], grey[:, 1])
    torch.testing.assert_close(
        grey[0, 2, 3, 4], (pixels[0, :, 3, 4] * torch.tensor([0.299, 0.587, 0.114])).sum()
    )


def test_a_constant_image_keeps_its_level(pixels: Tensor) -> None:
    flat = torch.full((1, 3, 24, 13), 0.4)
    # Only the zero frequency has a phase; its image is the constant (mean |F|)/sqrt(HW) = 0.4/(HW).
    torch.testing.assert_close(
        seg_image(flat), torch.full_like(flat, 0.4 + 0.4 / (24 * 13)), rtol=0, atol=1e-6
    )


def test_an_image_does_not_depend_on_its_batch(pixels: Tensor) -> None:
    torch.testing.assert_close(seg_image(pixels)[1:2], seg_image(pixels[1:2]), rtol=0, atol=1e-6)


def test_released_image_equals_the_public_code(pixels: Tensor) -> None:
    normalised = (pixels - 0.45) / 0.23
    values = normalised.double().numpy() + 1e-8
    spectrum = np.abs(values).mean() * np.exp(1j * np.angle(values))
    added = np.abs(np.fft.irfft2(spectrum, s=(24, 13))) + 1e-8
    np.testing.assert_allclose(released_image(normalised).numpy(), values + added, atol=1e-6)


def test_released_depends_on_the_batch(pixels: Tensor) -> None:
    normalised = (pixels - 0.45) / 0.23
    alone = released_image(normalised[:1])
    assert (released_image(normalised)[:1] - alone).abs().max() > 1e-4
