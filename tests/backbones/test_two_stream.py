from typing import Literal

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from tests.tensors import parameter_count
from vireid_cli.backbones.fold import fold_batch_norms
from vireid_cli.backbones.spec import STAGES, BackboneSpec, Name
from vireid_cli.backbones.two_stream import PerModality, TwoStream, residual_network
from vireid_cli.types import Modality


def test_parameter_counts_of_resnet50() -> None:
    with torch.device("meta"):
        trunk = TwoStream(BackboneSpec("resnet50"), separate=())
    assert parameter_count(trunk) == 23_508_032
    assert parameter_count(trunk.get_submodule("stem")) == 9_536
    with torch.device("meta"):
        assert parameter_count(TwoStream(BackboneSpec("resnet50"))) == 23_508_032 + 9_536


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
@pytest.mark.parametrize(("last_stride", "scale"), [(1, 16), (2, 32)])
def test_shapes_of_the_stages(name: Name, last_stride: Literal[1, 2], scale: int) -> None:
    with torch.device("meta"):
        trunk = TwoStream(BackboneSpec(name, last_stride)).eval()
        features = torch.zeros(1, 3, 64, 32)
    steps = {"stem": 4, "layer1": 4, "layer2": 8, "layer3": 16, "layer4": scale}
    for stage in STAGES:
        features = trunk.run(stage, features, Modality.INFRARED)
        assert features.shape == (1, trunk.channels[stage], 64 // steps[stage], 32 // steps[stage])


def test_last_stride_is_all_that_differs_from_torchvision() -> None:
    torch.manual_seed(0)
    model = residual_network(BackboneSpec("resnet18", last_stride=2)).eval()
    reference = torchvision.models.resnet18(weights=None).eval()
    reference.fc = nn.Identity()
    reference.load_state_dict(model.state_dict())
    images = torch.randn(1, 3, 64, 32)
    torch.testing.assert_close(model(images), reference(images))


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_last_stride_1_leaves_no_stride_in_the_last_stage(name: Name) -> None:
    with torch.device("meta"):
        network = residual_network(BackboneSpec(name, last_stride=1))
    strides = {module.stride for module in network.layer4.modules() if isinstance(module, nn.Conv2d)}
    assert strides == {(1, 1)}


def test_separate_stages_serve_their_own_modality() -> None:
    torch.manual_seed(0)
    trunk = TwoStream(BackboneSpec("resnet18"), separate=("stem", "layer4")).eval()
    visible, infrared = torch.randn(2, 3, 64, 32), torch.randn(3, 3, 64, 32)
    both = trunk(torch.cat([visible, infrared]), 2)
    torch.testing.assert_close(both[:2], trunk(visible, Modality.VISIBLE), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both[2:], trunk(infrared, Modality.INFRARED), rtol=1e-4, atol=1e-5)
    # Equal copies at the start, independent afterwards.
    torch.testing.assert_close(trunk(visible, Modality.INFRARED), trunk(visible, Modality.VISIBLE))
    with torch.no_grad():
        for stage in ("stem", "layer4"):
            copies = trunk.get_submodule(stage)
            assert isinstance(copies, PerModality)
            next(copies.of(Modality.INFRARED).parameters()).mul_(2.0)
    torch.testing.assert_close(trunk(visible, Modality.VISIBLE), both[:2], rtol=1e-4, atol=1e-5)
    assert (trunk(infrared, Modality.INFRARED) - both[2:]).abs().max() > 1e-3


def test_shared_batch_norm_sees_both_modalities_in_one_batch() -> None:
    trunk = TwoStream(BackboneSpec("resnet18"), separate=("stem",)).train()
    norm = trunk.layer1[0].bn1
    sizes = []
    norm.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    trunk(torch.randn(6, 3, 64, 32), 3)
    assert sizes == [6]


def as_trained(network: nn.Module) -> nn.Module:
    """Batch norms with statistics and weights that are no identity."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.get_buffer("running_mean"), -0.2, 0.2)
            nn.init.uniform_(module.get_buffer("running_var"), 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.3, 0.9)
            nn.init.normal_(module.bias, std=0.1)
    return network


def test_folded_network_embeds_alike_and_leaves_the_original_alone() -> None:
    torch.manual_seed(0)
    trunk = as_trained(TwoStream(BackboneSpec("resnet18"), separate=("stem", "layer4")))
    before = {key: value.clone() for key, value in trunk.state_dict().items()}
    folded = fold_batch_norms(trunk)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert trunk.training
    assert all(torch.equal(value, before[key]) for key, value in trunk.state_dict().items())
    trunk.eval()
    images = torch.randn(3, 3, 64, 32)
    with torch.no_grad():
        for modality in Modality:
            expected = nn.functional.normalize(trunk(images, modality).mean(dim=(2, 3)))
            actual = nn.functional.normalize(folded(images, modality).mean(dim=(2, 3)))
            assert (actual - expected).abs().max() < 1e-5


def test_bottlenecks_are_folded_and_norms_that_follow_no_convolution_stay() -> None:
    torch.manual_seed(0)
    downsample = nn.Sequential(nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16))
    block = Bottleneck(8, 4, downsample=downsample)
    network = as_trained(nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), block)).eval()
    folded = fold_batch_norms(network)
    assert [type(module) for module in folded.modules()].count(nn.BatchNorm2d) == 1
    features = torch.randn(2, 8, 6, 5)
    torch.testing.assert_close(folded(features), network(features), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_width_scales_every_channel(name: Name) -> None:
    """Every channel but the image's is halved at half the width."""
    whole, half = (residual_network(BackboneSpec(name, 1, None, width)) for width in (64, 32))
    for (key, wide), narrow in zip(whole.state_dict().items(), half.state_dict().values(), strict=True):
        assert [n // 2 if n % 64 == 0 else n for n in wide.shape] == list(narrow.shape), key
    trunk = TwoStream(BackboneSpec(name, 1, None, 32))
    assert trunk(torch.rand(2, 3, 64, 32), 1).shape[1] == trunk.channels["layer4"]
    assert trunk.channels["stem"] == 32


class Added(nn.Module):
    """Adds its number to the features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.shift


def test_modules_follow_the_last_blocks_and_the_blocks_keep_their_keys() -> None:
    torch.manual_seed(0)
    trunk = TwoStream(BackboneSpec("resnet34", 1, None, 8)).eval()
    before = set(trunk.state_dict())
    blocks = [trunk.layer3[i] for i in range(6)]
    trunk.insert("layer3", 3, Added)
    assert set(trunk.state_dict()) == before | {f"layer3.after{i}.shift" for i in (3, 4, 5)}
    features = torch.randn(2, trunk.channels["layer2"], 8, 4)
    expected = features
    for i, block in enumerate(blocks):
        expected = block(expected) + (i >= 3)
    torch.testing.assert_close(trunk.run("layer3", features, Modality.VISIBLE), expected)


def test_modules_follow_every_block_of_a_short_stage_and_both_copies_of_a_separate_one() -> None:
    trunk = TwoStream(BackboneSpec("resnet18", 1, None, 8), separate=("stem", "layer2"))
    trunk.insert("layer2", 3, Added)
    shifts = [
        trunk.layer2.of(modality).get_submodule(f"after{i}").shift for modality in Modality for i in (0, 1)
    ]
    assert len({id(shift) for shift in shifts}) == 4
    assert shifts[0].shape[1] == trunk.channels["layer2"]
