import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from vireid_cli.frequency import constants, fourier
from vireid_cli.frequency.fourier import Kind
from vireid_cli.types import Size

KINDS: tuple[Kind, ...] = ("fft", "matmul")
SIZES = [(18, 9), (24, 12), (36, 18), (7, 5), (5, 8), (1, 6), (6, 1), (72, 36)]


def maps(
    size: Sequence[int], *, seed: int = 0, dtype: torch.dtype = torch.float32, batch: tuple[int, ...] = (2, 3)
) -> Tensor:
    return torch.randn(*batch, *size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_loops(image: NDArray[Any]) -> NDArray[Any]:
    """The orthonormal half spectrum of one map by its definition."""
    height, width = image.shape
    bins = np.zeros((height, width // 2 + 1), dtype=complex)
    for u in range(height):
        for v in range(width // 2 + 1):
            for y in range(height):
                for x in range(width):
                    angle = 2 * math.pi * (u * y / height + v * x / width)
                    bins[u, v] += image[y, x] * complex(math.cos(angle), -math.sin(angle))
    return bins / math.sqrt(height * width)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(4, 5), (5, 4), (3, 2)])
def test_spectrum_is_the_definition(kind: Kind, size: tuple[int, int]) -> None:
    image = maps(size, dtype=torch.float64, batch=())
    re, im = fourier.spectrum(image, kind)
    expected = by_loops(image.numpy())
    np.testing.assert_allclose(re.numpy(), expected.real, atol=1e-12)
    np.testing.assert_allclose(im.numpy(), expected.imag, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_products_agree_with_torch_fft_in_value_and_gradient(size: Size) -> None:
    results = {}
    for kind in KINDS:
        image = maps(size).requires_grad_()
        re, im = fourier.spectrum(image, kind)
        weight = maps(re.shape[-2:], seed=1)
        (re * weight + im * im * weight).sum().backward()
        bins = [part.detach().clone().requires_grad_() for part in (re, im)]
        back = fourier.inverse((bins[0], bins[1]), size, kind)
        (back * back * maps(size, seed=2)).sum().backward()
        results[kind] = [re, im, image.grad, back, bins[0].grad, bins[1].grad]
    for fft, product in zip(results["fft"], results["matmul"], strict=True):
        # The imaginary column that a real map can't have is ignored by both, with gradient 0.
        scale = fft.abs().max().clamp_min(1.0)
        assert (fft - product).abs().max() <= 1e-5 * scale


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 33), st.integers(1, 33), st.sampled_from(KINDS), st.integers(0, 1000))
def test_inverse_returns_the_maps_and_energy_is_kept(height: int, width: int, kind: Kind, seed: int) -> None:
    image = maps((height, width), seed=seed, dtype=torch.float64, batch=(2,))
    re, im = fourier.spectrum(image, kind)
    torch.testing.assert_close(fourier.inverse((re, im), (height, width), kind), image, atol=1e-11, rtol=0)
    energy = ((re * re + im * im) * fourier.columns_to_full(width, re)).sum()
    torch.testing.assert_close(energy, image.square().sum(), atol=1e-9, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck(kind: Kind) -> None:
    image = maps((4, 3), dtype=torch.float64, batch=()).requires_grad_()
    other = maps((4, 3), seed=1, dtype=torch.float64, batch=()).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: fourier.amplitude(fourier.spectrum(x, kind)), image)
    assert torch.autograd.gradcheck(lambda x: fourier.phase_only(x, 0.5, kind), image)
    assert torch.autograd.gradcheck(lambda x, y: fourier.swap_amplitude(x, y, kind), (image, other))
    bins = tuple(part.detach().requires_grad_() for part in fourier.spectrum(image, kind))
    assert torch.autograd.gradcheck(lambda re, im: fourier.inverse((re, im), (4, 3), kind), bins)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0.0, 0.7])
def test_gradients_are_finite_at_vanishing_bins(kind: Kind, level: float) -> None:
    image = torch.full((1, 2, 18, 9), level)
    image[0, 1] = maps((18, 9), batch=())
    for rebuild in (
        lambda x: fourier.phase_only(x, kind=kind),
        lambda x: fourier.amplitude_only(x, kind),
        lambda x: fourier.swap_amplitude(x, x.flip(-1) + 0.1, kind),
        lambda x: fourier.phase(fourier.spectrum(x, kind)),
    ):
        pixels = image.clone().requires_grad_()
        result = rebuild(pixels)
        result.square().sum().backward()
        assert result.isfinite().all()
        assert pixels.grad is not None
        assert pixels.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_constant_map_has_a_phase_at_zero_frequency_only(kind: Kind) -> None:
    cosine, sine = fourier.phasor(fourier.spectrum(torch.full((288, 144), 0.3), kind))
    assert cosine[0, 0].item() == pytest.approx(1.0, abs=1e-6)
    assert int((cosine != 0).sum()) == 1
    assert int((sine != 0).sum()) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(18, 9), (12, 8)])
def test_swap_takes_the_amplitude_of_one_and_the_phase_of_the_other(
    kind: Kind, size: tuple[int, int]
) -> None:
    first, second = maps(size, dtype=torch.float64), maps(size, seed=3, dtype=torch.float64)
    swapped = fourier.spectrum(fourier.swap_amplitude(first, second, kind), kind)
    torch.testing.assert_close(fourier.amplitude(swapped), fourier.amplitude(fourier.spectrum(second)))
    for part, expected in zip(fourier.phasor(swapped), fourier.phasor(fourier.spectrum(first)), strict=True):
        torch.testing.assert_close(part, expected)
    torch.testing.assert_close(fourier.swap_amplitude(first, first, kind), first)


def test_phase_only_amplitude_only_and_angle() -> None:
    image = maps((12, 7), dtype=torch.float64)
    bins = torch.fft.rfft2(image, norm="ortho")
    level = 0.4
    expected = torch.fft.irfft2(level * bins / bins.abs(), s=(12, 7), norm="ortho")
    torch.testing.assert_close(fourier.phase_only(image, level), expected)
    expected = torch.fft.irfft2(bins.abs().to(bins.dtype), s=(12, 7), norm="ortho")
    torch.testing.assert_close(fourier.amplitude_only(image), expected)
    torch.testing.assert_close(fourier.phase((bins.real, bins.imag)), bins.angle())


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_and_autocast_reach_no_transform(kind: Kind) -> None:
    image = maps((18, 9))
    exact = fourier.spectrum(image.bfloat16().float(), kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = fourier.spectrum(image.bfloat16(), kind)
        back = fourier.inverse(low, (18, 9), kind)
    assert low[0].dtype == back.dtype == torch.float32
    torch.testing.assert_close(low, exact, rtol=0, atol=1e-6)
    torch.testing.assert_close(back, image.bfloat16().float(), rtol=0, atol=1e-5)


def test_inverse_refuses_a_spectrum_of_another_size() -> None:
    with pytest.raises(ValueError, match=r"\(18, 5\).*\(18, 4\)"):
        fourier.inverse((torch.zeros(18, 4), torch.zeros(18, 4)), (18, 9))


def test_constants_created_in_inference_mode_work_in_training() -> None:
    constants.CACHE.clear()
    with torch.inference_mode():
        fourier.spectrum(maps((10, 6)), "matmul")
    image = maps((10, 6)).requires_grad_()
    fourier.spectrum(image, "matmul")[0].sum().backward()
    assert image.grad is not None


class PhaseOnly(torch.nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return fourier.phase_only(images, fourier.amplitude(fourier.spectrum(images)).mean())


@pytest.mark.parametrize("size", [(11, 7), (40, 30)])  # dense and separable
def test_export_holds_products_and_leaves_no_trace_in_the_cache(size: tuple[int, int]) -> None:
    constants.CACHE.clear()
    images = maps(size)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(PhaseOnly(), (images,), dynamic_shapes=({0: batch},))
    targets = [str(node.target) for node in program.graph.nodes]
    assert any("matmul" in target for target in targets)
    assert not any("fft" in target or "complex" in target or "autocast" in target for target in targets)
    assert all(type(matrix) is torch.Tensor for matrix in constants.CACHE.values())
    more = maps(size, seed=5, batch=(5, 3))
    torch.testing.assert_close(program.module()(more), PhaseOnly()(more), rtol=0, atol=1e-4)


def test_compiles_without_a_graph_break() -> None:
    constants.CACHE.clear()
    compiled = torch.compile(PhaseOnly(), fullgraph=True, backend="eager")
    images = maps((72, 36))  # the eager default here is torch.fft
    torch.testing.assert_close(compiled(images), PhaseOnly()(images), rtol=0, atol=1e-4)
