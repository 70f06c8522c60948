"""Costs of operations that can be counted by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vireid_cli.engine.cost import cost_of, flops_of, parameters_of
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.reporter import Reporter
from vireid_cli.engine.runtime import Runtime
from vireid_cli.engine.session import Session
from vireid_cli.frequency.fourier import spectrum
from vireid_cli.layers.choice import Choice
from vireid_cli.layers.scan import selective_scan
from vireid_cli.layers.trans_mamba import Attention
from vireid_cli.methods import ParameterGroup, ReIdNetwork
from vireid_cli.types import Batch

Work = Callable[[Tensor], Tensor]

CPU = Runtime(torch.device("cpu"), "fp32")
SESSION = Session(CPU, Reporter(), Path("data"), Path("runs"))
NARROW = ("backbone.name=resnet18", "backbone.weights=none", "backbone.width=16")


class Working(ReIdNetwork):
    """A network with a single operation as its ``embed``."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        raise NotImplementedError

    def parameter_groups(self) -> list[ParameterGroup]:
        raise NotImplementedError

    def embed(self, images: Tensor, modality: Choice) -> Tensor:
        return self.work(images)


def scanned(images: Tensor) -> Tensor:
    u = torch.rand(1, 4, 10, 6)
    return selective_scan(
        u, u, -torch.rand(4, 6, 3), torch.rand(1, 4, 10, 3), torch.rand(1, 4, 10, 3), u[0, :, 0]
    )


def attended(images: Tensor) -> Tensor:
    torch.manual_seed(0)
    return Attention(16)(torch.rand(1, 5, 16), torch.rand(1, 7, 16))


@pytest.mark.parametrize(
    ("work", "multiply_adds"),
    [
        (nn.Conv2d(3, 5, 3, padding=1, bias=False), 32 * 16 * 5 * 3 * 9),
        (lambda images: images.flatten(1) @ torch.rand(3 * 32 * 16, 7), 3 * 32 * 16 * 7),
        # Dense: 18·9 positions to 2·18·5 numbers, for each of the three channels.
        (lambda images: spectrum(images[:, :, :18, :9], "matmul"), 3 * 162 * 180),
        (lambda images: spectrum(images, "fft"), 0.5 * 2.5 * 3 * 512 * 9),
        # Four directions × ten steps × eighteen numbers of state: B u, C h, decay · h + drive, and Δ A.
        (scanned, 4 * 10 * 18 * (1 + 1 + 1.5)),
        (attended, (5 * 16 + 7 * 32 + 5 * 16) * 16 + 2 * 5 * 7 * 16),
    ],
)
def test_multiply_adds(work: Work, multiply_adds: float) -> None:
    assert flops_of(Working(work), (32, 16), CPU) == 2 * multiply_adds


def test_parameters() -> None:
    network = nn.ModuleDict({"trunk": nn.Linear(3, 4), "classifier": nn.Linear(4, 10, bias=False)})
    result = parameters_of(network)
    assert result == {
        "parameters": 56,
        "parameters_without_classifier": 16,
        "parts": {"trunk": 16, "classifier": 40},
    }


@pytest.mark.parametrize("name", ["baseline", "sepg", "sfcl-light"])
def test_cost_of_a_recipe(name: str) -> None:
    recipe = load_recipe(name, NARROW)
    result = cost_of(recipe, SESSION, identities=7, size=(64, 32), batch=2)
    assert result["flops"] == 2 * result["multiply_adds"] > 0
    assert result["parameters"] > result["parameters_without_classifier"] > 0
    assert sum(result["parts"].values()) == result["parameters"]
    assert result["latency_ms_one_image"] > 0
    assert (result["size"], result["latency_batch"], result["reported"]) == ("64x32", 2, None)


def test_agw_s_count_and_the_paper_s() -> None:
    recipe = load_recipe("sfcl-base", ("backbone.weights=none",))
    result = cost_of(recipe, SESSION, identities=395, size=(64, 32), batch=1)
    assert result["parameters_without_classifier"] == 23_550_351
    assert result["reported"]["parameters"] == 23.55
    assert result["reported"]["size"] == (384, 192)
