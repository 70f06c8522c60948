"""AGW's non-local block against its published order of products, in float64."""

import pytest
import torch
from torch import Tensor, nn

from tests.tensors import parameter_count
from vireid_cli.layers.nonlocal_block import Inter, NonLocal


def block(inter: Inter, channels: int = 6, seed: int = 0) -> NonLocal:
    torch.manual_seed(seed)
    layer = NonLocal(channels, inter).double()
    norm = layer.out.get_submodule("1")
    nn.init.normal_(norm.get_parameter("weight"))
    nn.init.normal_(norm.get_parameter("bias"))
    return layer


def published(layer: NonLocal, features: Tensor) -> Tensor:
    """Every pair of positions by loops: y_i = Σ_j (θ_i · φ_j / N) g_j, then W, batch norm and the input."""
    count, _, height, width = features.shape
    maps = [convolution(features).flatten(2) for convolution in (layer.theta, layer.phi, layer.g)]
    positions = height * width
    attended = torch.zeros_like(maps[2])
    for b in range(count):
        theta, phi, g = (values[b] for values in maps)
        for i in range(positions):
            for j in range(positions):
                attended[b, :, i] += theta[:, i].dot(phi[:, j]) / positions * g[:, j]
    return features + layer.out(attended.view(count, -1, height, width))


@pytest.mark.parametrize("inter", [1, "C/2"])
@pytest.mark.parametrize("training", [True, False])
def test_non_local(inter: Inter, training: bool) -> None:
    layer = block(inter).train(training)
    features = torch.randn(3, 6, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(layer(features), published(layer, features), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("inter", [1, "C/2"])
def test_gradients(inter: Inter) -> None:
    layer = block(inter, channels=4).eval()
    features = torch.randn(2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, features)


@pytest.mark.parametrize(
    ("channels", "inter", "expected"), [(512, 1, 7 * 512 + 3), (8, "C/2", 8 * 16 + 4 * 3 + 8 + 16)]
)
def test_parameter_counts(channels: int, inter: Inter, expected: int) -> None:
    assert parameter_count(NonLocal(channels, inter)) == expected


@pytest.mark.parametrize("inter", [1, "C/2"])
def test_convolutions_start_as_pytorch_s_do(inter: Inter) -> None:
    layer = NonLocal(400, inter)
    for convolution, inputs in ((layer.theta, 400), (layer.phi, 400), (layer.g, 400)):
        bound = inputs**-0.5
        assert bound / 2 < convolution.weight.abs().max() <= bound
        assert convolution.bias.abs().max() > 0
    assert layer.out[0].weight.abs().max() <= layer.theta.out_channels**-0.5
    assert not layer.out[1].weight.any()


def test_it_starts_as_the_identity() -> None:
    features = torch.randn(2, 8, 4, 3)
    assert torch.equal(NonLocal(8)(features), features)
