"""A small batch and small networks for every test of a method."""

import pytest
import torch
import torchvision.models
from torchvision.models.resnet import BasicBlock, ResNet

from vireid_cli import methods
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.types import Batch, Erasure, Exchange

IDENTITIES = 5


@pytest.fixture
def batch(request: pytest.FixtureRequest):
    """4 identities × 2 images a modality, with labels that leave gaps, 64×32.

    A test of a method that takes images of one size only gets them in that size.
    """
    name = getattr(request.node, "callspec", None) and request.node.callspec.params.get("name")
    size = (methods.fit_of(name).input if name in methods.available() else None) or (64, 32)
    return make_batch(size)


@pytest.fixture
def faces():
    """The same for LightCNN: 128×128."""
    return make_batch((128, 128))


def make_batch(size):
    height, width = size
    generator = torch.Generator().manual_seed(11)
    labels = torch.tensor([4, 4, 0, 0, 1, 1, 3, 3])
    looks = torch.rand(IDENTITIES, 3, 8, 4, generator=generator)[labels]
    looks = torch.nn.functional.interpolate(looks, size=size, mode="bilinear")
    visible = (looks + 0.2 * torch.rand(8, 3, height, width, generator=generator)).clamp(0, 1)
    infrared = (
        looks.mean(1, keepdim=True) + 0.2 * torch.rand(8, 3, height, width, generator=generator)
    ).clamp(0, 1)
    masks = torch.zeros(2, 8, 1, height, width, dtype=torch.bool)
    masks[0, ::2, :, height * 5 // 32 : height * 15 // 32, width * 5 // 32 : width * 5 // 8] = True
    masks[1, 1::3, :, height * 5 // 8 : height * 15 // 16, width * 5 // 16 : width * 25 // 32] = True
    second = (visible + 0.1 * torch.rand(8, 3, height, width, generator=generator)).clamp(0, 1)
    erase = Erasure(masks[0], masks[1], (0.49, 0.48, 0.45), second=masks[0].flip(0))
    weights = torch.eye(3).repeat(3, 1)[:8]
    weights[4] = 0.0  # one image keeps its colours
    return Batch(
        visible, infrared, labels, erase=erase, second=second, exchange=Exchange(weights, weights.flip(0))
    )


class Narrow(ResNet):
    """ResNet-18 with one block a stage and an eighth of its channels: a test takes milliseconds."""

    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        if planes == 64:  # the first stage: the stem is there, not yet used
            self.inplanes = 8
            self.conv1 = torch.nn.Conv2d(3, 8, kernel_size=7, stride=2, padding=3, bias=False)
            self.bn1 = torch.nn.BatchNorm2d(8)
        return super()._make_layer(block, planes // 8, blocks, stride, dilate)


@pytest.fixture(autouse=True)
def narrow_networks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        torchvision.models, "resnet18", lambda weights: Narrow(BasicBlock, [1, 1, 1, 1], num_classes=1)
    )


@pytest.fixture
def build():
    """A function (method's name, options) → its network on a narrow ResNet-18, from one seed."""

    def make(name, options=None, *, last_stride=1):
        torch.manual_seed(5)
        faces = "resnet18" not in methods.fit_of(name).backbones
        spec = BackboneSpec("lightcnn29", width=8) if faces else BackboneSpec("resnet18", last_stride)
        return methods.build(name, methods.options_of(name, options or {}), IDENTITIES, spec)

    return make
