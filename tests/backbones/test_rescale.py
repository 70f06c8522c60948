"""Rescaled features against the network's own, without a norm behind them."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from vireid_cli.backbones.rescale import rescale_features


def randomise(network: nn.Module) -> None:
    """Give the batch norms statistics and factors that differ by channel."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.2, 1.0)
            nn.init.normal_(module.bias, std=0.1)


def features(network: nn.Module, images: Tensor) -> Tensor:
    stages = nn.Sequential(*list(network.children())[:-2])
    with torch.no_grad():
        return stages(images)


@pytest.mark.parametrize("build", [resnet18, resnet50])
@pytest.mark.parametrize("training", [False, True])
def test_features_are_multiplied(build: type[nn.Module], training: bool) -> None:
    network, scaled = build().train(training), build().train(training)
    randomise(network)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    scaled.load_state_dict(rescale_features(network.state_dict(), 8.0))
    images = torch.randn(2, 3, 64, 32)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key
    expected = 8.0 * features(network, images)
    assert expected.max() > 0.0
    torch.testing.assert_close(features(scaled, images), expected, rtol=1e-5, atol=1e-5)
