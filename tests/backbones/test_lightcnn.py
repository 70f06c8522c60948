"""LightCNN-29 v2 against its layers written out, and the loader of its weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_cli.backbones import weights
from vireid_cli.backbones.lightcnn import STAGES, LightCnn, TwoStreamLightCnn
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.errors import UsageError
from vireid_cli.types import Modality


def unit(state: dict[str, Tensor], name: str, features: Tensor, padding: int) -> Tensor:
    """One max-feature-map unit from its weights."""
    both = F.conv2d(features, state[f"{name}.filter.weight"], state[f"{name}.filter.bias"], padding=padding)
    half = both.shape[1] // 2
    return torch.where(both[:, :half] > both[:, half:], both[:, :half], both[:, half:])


def half_size(features: Tensor) -> Tensor:
    windows = features.unfold(2, 2, 2).unfold(3, 2, 2)
    return windows.amax((-2, -1)) + windows.mean((-2, -1))


def by_hand(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """The public network's steps in their order, with the public names of its weights."""
    features = half_size(unit(state, "conv1", images, 2))
    for number, blocks in enumerate((1, 2, 3, 4), start=1):
        for block in range(blocks):
            inner = unit(state, f"block{number}.{block}.conv1", features, 1)
            features = features + unit(state, f"block{number}.{block}.conv2", inner, 1)
        features = unit(state, f"group{number}.conv_a", features, 0)
        features = unit(state, f"group{number}.conv", features, 1)
        features = features if number == 3 else half_size(features)
    return features.flatten(1) @ state["fc.weight"].T + state["fc.bias"]


def test_the_network_is_its_layers_written_out() -> None:
    torch.manual_seed(0)
    network = LightCnn(8).double()
    images = torch.rand(2, 1, 128, 128, dtype=torch.float64)
    expected = by_hand(network.state_dict(), images)
    torch.testing.assert_close(network(images), expected, rtol=1e-10, atol=1e-12)
    assert torch.autograd.gradcheck(
        network.conv1, torch.rand(1, 1, 5, 4, dtype=torch.float64, requires_grad=True)
    )


def test_the_stages_are_the_network() -> None:
    torch.manual_seed(0)
    state = LightCnn(8).state_dict()
    spec = BackboneSpec("lightcnn29", state=state, width=8)
    whole = LightCnn(8)
    whole.load_state_dict(state)
    trunk = TwoStreamLightCnn(spec)
    images = torch.rand(3, 1, 128, 128)
    for streams in (Modality.VISIBLE, Modality.INFRARED, 1):
        features = images
        for stage in STAGES:
            features = trunk.run(stage, features, streams)
        torch.testing.assert_close(trunk.head(features), whole(images), rtol=1e-4, atol=1e-5)


def test_shapes_of_the_published_network() -> None:
    with torch.device("meta"):
        trunk, features = TwoStreamLightCnn(BackboneSpec("lightcnn29")), torch.zeros(1, 1, 128, 128)
    sides = {"stem": (48, 64), "stage1": (96, 32), "stage2": (192, 16), "stage3": (128, 16)}
    for stage in STAGES:
        features = trunk.run(stage, features, Modality.VISIBLE)
        channels, side = sides[stage]
        assert features.shape == (1, channels, side, side)
        assert trunk.channels[stage] == channels
    assert trunk.fc.in_features == 8192
    assert trunk.head(features).shape == (1, 256)


def test_parameter_count_of_the_published_network() -> None:
    def convolution(inputs: int, outputs: int, kernel: int) -> int:
        return 2 * outputs * (inputs * kernel**2 + 1)

    expected = convolution(1, 48, 5) + 256 * (8192 + 1)
    for inputs, outputs, blocks in ((48, 96, 1), (96, 192, 2), (192, 128, 3), (128, 128, 4)):
        expected += 2 * blocks * convolution(inputs, inputs, 3)
        expected += convolution(inputs, inputs, 1) + convolution(inputs, outputs, 3)
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in LightCnn().parameters()) == expected


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(3)
    zeros = {key: torch.zeros(1).expand(value.shape) for key, value in LightCnn().state_dict().items()}
    return zeros | {"conv1.filter.weight": torch.rand(96, 1, 5, 5)}


def stored(path: Path, content: object) -> str:
    torch.save(content, path)
    return str(path)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("classifier", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_the_public_file_is_read(
    tmp_path: Path, state: dict[str, Tensor], prefix: str, classifier: bool, wrapped: bool
) -> None:
    prefixed = {prefix + key: value for key, value in state.items()}
    if classifier:
        prefixed[f"{prefix}fc2.weight"] = torch.zeros(1).expand(80013, 256)
    content = {"epoch": 19, "arch": "LightCNN", "state_dict": prefixed} if wrapped else prefixed
    resolved = weights.resolve("lightcnn29", stored(tmp_path / "face.pth.tar", content))
    assert resolved is not None
    assert resolved.keys() == state.keys()
    assert torch.equal(resolved["conv1.filter.weight"], state["conv1.filter.weight"])


def test_another_network_is_explained_key_by_key(tmp_path: Path, state: dict[str, Tensor]) -> None:
    wrong = dict(state)
    wrong["fc.filter.weight"] = torch.zeros(1).expand(512, 8192)
    del wrong["fc.weight"]
    wrong["group1.conv_a.filter.bias"] = torch.zeros(7)
    with pytest.raises(UsageError) as error:
        weights.resolve("lightcnn29", stored(tmp_path / "v1.pth", wrong))
    text = str(error.value)
    assert "1 missing: fc.weight" in text
    assert "1 unexpected: fc.filter.weight" in text
    assert "group1.conv_a.filter.bias: (7,) instead of (96,)" in text
    assert "Version 1 has fc.filter" in text


def test_a_missing_file_offers_no_imagenet_weights(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file") as error:
        weights.resolve("lightcnn29", str(tmp_path / "LightCNN_29Layers_V2_checkpoint.pth.tar"))
    assert "backbone.weights=none" in str(error.value)
    assert "imagenet" not in str(error.value)


class Payload:
    """Would write a file if a pickle were executed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return (open, (str(self.path), "w"))


def test_nothing_in_a_file_is_executed(tmp_path: Path, state: dict[str, Tensor]) -> None:
    trace = tmp_path / "executed"
    path = stored(tmp_path / "evil.pth", {"conv1.filter.weight": Payload(trace)})
    with pytest.raises(UsageError, match="can't be read"):
        weights.resolve("lightcnn29", path)
    assert not trace.exists()
