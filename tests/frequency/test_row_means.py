"""Row means and batch norm of ANM's maps without the maps, against the maps themselves in float64."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tensors import gradient_of, normal
from vireid_cli.frequency.anm import AmplitudeNuancesMining
from vireid_cli.frequency.fourier import Kind, spectrum
from vireid_cli.frequency.row_means import bins_of, column_and_energy, row_means

Run = Callable[[AmplitudeNuancesMining, Tensor], Tensor]


def anm(channels: int, kind: Kind, **options: Any) -> AmplitudeNuancesMining:
    torch.manual_seed(1)
    module = AmplitudeNuancesMining(channels, kind=kind, **options).double()
    for name, parameter in module.named_parameters():
        if name.endswith("weight") and "mix" not in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
        elif name.endswith("bias"):
            torch.nn.init.uniform_(parameter, -0.5, 0.5)
    for name, buffer in module.named_buffers():
        torch.nn.init.uniform_(buffer, *((0.5, 1.5) if name.endswith("var") else (-0.5, 0.5)))
    return module


def of(module: AmplitudeNuancesMining, features: Tensor, weight: Tensor, run: Run) -> list[Tensor]:
    """Row means, all gradients, and the running statistics after the pass."""
    module, inputs = copy.deepcopy(module), features.clone().requires_grad_()
    rows = run(module, inputs)
    (rows * weight).sum().backward()
    gradients = [gradient_of(leaf) for leaf in (inputs, *module.parameters())]
    return [rows.detach(), *gradients, *(b.detach() for b in module.buffers())]


def from_maps(module: AmplitudeNuancesMining, features: Tensor) -> Tensor:
    return module(features).mean(-1)


def from_spectrum(module: AmplitudeNuancesMining, features: Tensor) -> Tensor:
    return module.rows(features)


@pytest.mark.parametrize("size", [(6, 5), (7, 4), (18, 9), (24, 12), (1, 6), (5, 1)])
@pytest.mark.parametrize("kind", ["fft", "matmul"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("training", [True, False])
def test_rows_are_the_means_of_the_maps_in_value_gradient_and_statistics(
    size: tuple[int, int], kind: Kind, layout: torch.memory_format, training: bool
) -> None:
    module = anm(4, kind).train(training)
    features = normal(3, 4, *size).contiguous(memory_format=layout)
    features[:, 1] = features[:, 1].relu()
    weight = normal(6, 4, size[0], seed=2)
    actual, expected = (of(module, features, weight, run) for run in (from_spectrum, from_maps))
    for first, second in zip(actual, expected, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    "reading",
    [
        {"residual": False, "positivity": "none"},
        {"positivity": "softplus"},
        {"positivity": "abs", "residual": False},
        {"positivity_on": "sum"},
        {"norm": "joint"},
        {"norm": "none", "positivity_on": "sum"},
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_rows_under_every_reading_of_the_branches(reading: dict[str, Any], training: bool) -> None:
    module, features = anm(3, "auto", **reading).train(training), normal(2, 3, 9, 6)
    weight = normal(4, 3, 9, seed=2)
    for first, second in zip(
        *(of(module, features, weight, run) for run in (from_spectrum, from_maps)), strict=True
    ):  # fmt: skip
        torch.testing.assert_close(first, second, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", ["fft", "matmul"])
def test_channels_that_are_empty_or_constant(kind: Kind) -> None:
    module, features = anm(4, kind).train(), normal(2, 4, 8, 6)
    features[:, 0], features[:, 1], features[0] = 0.0, 0.7, 0.0
    weight = normal(4, 4, 8, seed=2)
    actual, expected = (of(module, features, weight, run) for run in (from_spectrum, from_maps))
    assert all(value.isfinite().all() for value in actual)
    # Bins of a constant are rounding errors: they have no phase in either way.
    for index, (first, second) in enumerate(zip(actual, expected, strict=True)):
        torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-8, msg=f"tensor {index}")


def test_energy_is_the_squared_deviation_of_the_pixels() -> None:
    maps = normal(2, 3, 10, 7)
    bins = bins_of(spectrum(maps, ordered=False), 7)
    *column, energy = column_and_energy(bins, bins.amplitude)
    torch.testing.assert_close(row_means((column[0], column[1]), 7, "auto"), maps.mean(-1))
    centred = maps - maps.mean(dim=(-2, -1), keepdim=True)
    torch.testing.assert_close(energy, centred.square().sum(dim=(-2, -1)))


def test_gradients_of_the_two_functions() -> None:
    bins = bins_of(spectrum(normal(1, 2, 4, 5), ordered=False), 5)

    def of_maps(maps: Tensor) -> tuple[Tensor, ...]:
        actual = bins_of(spectrum(maps, ordered=False), 5)
        return actual.amplitude, *actual.phase

    def of_amplitudes(amplitude: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, ...]:
        return column_and_energy(bins._replace(phase=(cosine, sine)), amplitude)

    assert torch.autograd.gradcheck(of_maps, (normal(1, 2, 4, 5).requires_grad_(),))
    inputs = (bins.amplitude.detach(), *(part.detach() for part in bins.phase))
    assert torch.autograd.gradcheck(of_amplitudes, tuple(part.requires_grad_() for part in inputs))


def test_many_maps_are_worked_on_in_blocks_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    module = anm(4, "matmul").train()
    features = normal(5, 4, 6, 5).contiguous(memory_format=torch.channels_last)
    weight = normal(10, 4, 6, seed=2)
    whole = of(module, features, weight, from_spectrum)
    monkeypatch.setattr("vireid_cli.frequency.products.BLOCK", 2 * features[0].numel())
    for first, second in zip(of(module, features, weight, from_spectrum), whole, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_columns_of_maps_too_large_for_products_are_transformed_as_the_maps(
    layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vireid_cli.frequency.fourier.MATMUL_POSITIONS", {False: 20, True: 20})
    module, features = anm(4, "auto").train(), normal(3, 4, 12, 6).contiguous(memory_format=layout)
    weight = normal(6, 4, 12, seed=2)
    actual, expected = (of(module, features, weight, run) for run in (from_spectrum, from_maps))
    for first, second in zip(actual, expected, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-7, atol=1e-9)
