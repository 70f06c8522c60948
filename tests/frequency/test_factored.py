"""Transforms in two stages over the rows, and work in blocks of the batch: the same numbers."""

import pytest
import torch
from torch import Tensor

from tests.tensors import gradient_of
from vireid_cli.frequency import factored, fourier, products
from vireid_cli.frequency.agp import AmplitudeGuidedPhase
from vireid_cli.frequency.anm import AmplitudeNuancesMining
from vireid_cli.frequency.fourier import Kind
from vireid_cli.types import Size

SIZES = [(18, 9), (24, 12), (36, 18), (72, 36), (7, 5), (29, 4), (26, 7), (1, 6), (48, 1), (2, 2)]


def maps(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return values.contiguous(memory_format=torch.channels_last)


CPU = torch.empty(0)


@pytest.fixture(params=["two stages", "one stage"])
def stages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, and as on a GPU."""
    if request.param == "one stage":
        monkeypatch.setattr(factored, "factors", lambda height, like: (1, height))


def rows(height: int) -> Tensor:
    """Row index of each frequency."""
    first, second = factored.factors(height, CPU)
    return torch.tensor([second * (k % first) + k // first for k in range(height)])


@pytest.mark.parametrize("height", [1, 2, 7, 18, 24, 29, 36, 72, 96])
def test_factors_are_near_to_each_other(height: int) -> None:
    first, second = factored.factors(height, CPU)
    assert first * second == height
    assert first <= second
    assert not [n for n in range(first + 1, second) if height % n == 0 and n <= height // n]
    assert factored.factors(height, torch.empty(0, device="meta")) == (1, height)


@pytest.mark.usefixtures("stages")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_stages_agree_with_torch_fft_in_value_and_gradient(
    size: Size, dtype: torch.dtype, error: float
) -> None:
    images, order = maps(2, 3, *size, dtype=dtype).requires_grad_(), rows(size[0])
    actual = torch.complex(*(part[:, :, order] for part in factored.forward(images)))
    expected = torch.fft.rfft2(images, norm="ortho")
    weight = torch.complex(*(maps(*expected.shape, seed=seed, dtype=dtype) for seed in (1, 2)))
    back = torch.argsort(order)
    parts = [
        part[:, :, back].contiguous(memory_format=torch.channels_last) for part in (weight.real, weight.imag)
    ]
    leaves = [part.requires_grad_() for part in parts]
    bins = torch.complex(*(part[:, :, order] for part in leaves))
    pairs = [(actual, expected)]
    pairs.append(
        (factored.inverse(leaves[0], leaves[1], size, dtype), torch.fft.irfft2(bins, s=size, norm="ortho"))
    )
    for first, second in list(pairs):
        towards = maps(*first.shape, seed=3, dtype=dtype) * (weight if first.is_complex() else 1.0)
        inputs = [images] if first.is_complex() else leaves
        gradients = [torch.autograd.grad((out * towards).real.sum(), inputs) for out in (first, second)]
        pairs += zip(*gradients, strict=True)
    for first, second in pairs:
        assert (first - second).abs().max() <= error * second.abs().max().clamp_min(1.0)


@pytest.mark.usefixtures("stages")
def test_rows_are_in_order_unless_any_order_will_do() -> None:
    images = maps(2, 3, 24, 12)
    expected = torch.fft.rfft2(images, norm="ortho")
    torch.testing.assert_close(torch.complex(*fourier.spectrum(images, "matmul")), expected)
    loose = fourier.spectrum(images, "matmul", ordered=False)
    torch.testing.assert_close(torch.complex(*loose)[:, :, rows(24)], expected)
    torch.testing.assert_close(fourier.inverse(loose, (24, 12), "matmul", ordered=False), images)
    with products.plain():
        torch.testing.assert_close(
            torch.complex(*fourier.spectrum(images, "matmul", ordered=False)), expected
        )


def test_types_and_layouts_of_half_precision() -> None:
    images = maps(2, 4, 18, 9, dtype=torch.float32).bfloat16().requires_grad_()
    bins = fourier.spectrum(images, "matmul", ordered=False)
    assert bins[0].dtype == torch.float32
    back = fourier.inverse(bins, (18, 9), "matmul", ordered=False, dtype=torch.bfloat16)
    assert back.is_contiguous(memory_format=torch.channels_last)
    # float32 in between: the loss is less than half a bfloat16 digit of all but the smallest pixels.
    torch.testing.assert_close(back, images, rtol=0, atol=1e-5)
    back.float().square().sum().backward()
    assert images.grad.dtype == torch.bfloat16
    assert images.grad.is_contiguous(memory_format=torch.channels_last)


def test_autocast_reaches_no_product_of_the_backward_pass() -> None:
    gradients = []
    for low in (False, True):
        images = maps(2, 3, 18, 9, dtype=torch.float32).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            re, im = factored.forward(images)
            back = factored.inverse(re * re, im, (18, 9), torch.float32)
            (back * maps(2, 3, 18, 9, seed=1, dtype=torch.float32)).sum().backward()
        gradients.append(gradient_of(images))
    assert torch.equal(gradients[0], gradients[1])


@pytest.mark.parametrize("make", [AmplitudeGuidedPhase, AmplitudeNuancesMining])
@pytest.mark.parametrize("kind", ["fft", "matmul"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_blocks_change_nothing(
    make: type[AmplitudeGuidedPhase] | type[AmplitudeNuancesMining],
    kind: Kind,
    layout: torch.memory_format,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    module, results = make(3, kind=kind).double(), []
    for block in (2**20, 200, 1):  # all five, two, and one at a time
        monkeypatch.setattr(products, "BLOCK", block)
        module.zero_grad()
        features = maps(5, 3, 6, 5).contiguous(memory_format=layout).requires_grad_()
        output = module(features)
        (output * maps(*output.shape, seed=1)).sum().backward()
        results.append([output, features.grad, *(p.grad.clone() for p in module.parameters())])
    assert [len(part) for part in products.blocks(features)] == [1] * 5
    for other in results[1:]:
        for first, second in zip(other, results[0], strict=True):
            torch.testing.assert_close(first, second)


def test_blocks_fit_their_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "BLOCK", 2 * 3 * 4 * 5)
    features = maps(5, 3, 4, 5)
    assert [len(part) for part in products.blocks(features)] == [2, 2, 1]
    assert torch.equal(products.together(products.blocks(features)), features)
    assert [len(part) for part in products.blocks(maps(5, 6, 4, 5), features)] == [2, 2, 1]
    assert len(products.blocks(maps(0, 3, 4, 5))[0]) == 0
