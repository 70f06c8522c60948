"""A small batch and small networks for every test of a method."""

from collections.abc import Mapping
from typing import Literal, Protocol, cast, overload

import pytest
import torch
import torchvision.models
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from vireid_cli import methods
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.engine.contract_batch import CASE_IDENTITIES, small_batch
from vireid_cli.methods import ReIdNetwork
from vireid_cli.methods.agw import Agw
from vireid_cli.methods.baseline import Baseline
from vireid_cli.methods.caj import Caj
from vireid_cli.methods.deen import Deen
from vireid_cli.methods.dselacfp.network import Dselacfp
from vireid_cli.methods.face import Face
from vireid_cli.methods.fdnm.network import Fdnm
from vireid_cli.methods.hctri import HcTri
from vireid_cli.methods.sepg.network import SepgNet
from vireid_cli.methods.sfcl.network import Sfcl
from vireid_cli.types import Batch

Changes = Mapping[str, object]
"""Options of a method that differ from its defaults."""


class Build(Protocol):
    """Build the network of a method, by the method's name, on a narrow ResNet-18 and from one seed."""

    @overload
    def __call__(
        self, name: Literal["agw"], options: Changes | None = None, *, last_stride: Literal[1, 2] = 1
    ) -> Agw: ...
    @overload
    def __call__(
        self, name: Literal["baseline"], options: Changes | None = None, *, last_stride: Literal[1, 2] = 1
    ) -> Baseline: ...
    @overload
    def __call__(
        self, name: Literal["caj"], options: Changes | None = None, *, last_stride: Literal[1, 2] = 1
    ) -> Caj: ...
    @overload
    def __call__(
        self, name: Literal["deen"], options: Changes | None = None, *, last_stride: Literal[1, 2] = 1
    ) -> Deen: ...
    @overload
    def __call__(
        self, name: Literal["dselacfp"], options: Changes | None = None, *, last_stride: Literal[1, 2] = 1
    ) -> Dselacfp: ...
    @overload
    def __call__(
        self, name: Literal["face"], options: Changes | None = None, *, last_stride: Literal[1, 2] = 1
    ) -> Face: ...
    @overload
    def __call__(
        self, name: Literal["fdnm"], options: Changes | None = None, *, last_stride: Literal[1, 2] = 1
    ) -> Fdnm: ...
    @overload
    def __call__(
        self, name: Literal["hctri"], options: Changes | None = None, *, last_stride: Literal[1, 2] = 1
    ) -> HcTri: ...
    @overload
    def __call__(
        self, name: Literal["sepg"], options: Changes | None = None, *, last_stride: Literal[1, 2] = 1
    ) -> SepgNet: ...
    @overload
    def __call__(
        self, name: Literal["sfcl"], options: Changes | None = None, *, last_stride: Literal[1, 2] = 1
    ) -> Sfcl: ...
    @overload
    def __call__(
        self, name: str, options: Changes | None = None, *, last_stride: Literal[1, 2] = 1
    ) -> ReIdNetwork: ...


@pytest.fixture
def batch(request: pytest.FixtureRequest) -> Batch:
    """4 identities × 2 images a modality, with labels that leave gaps, 64x32.

    A test of a method that takes images of one size only gets them in that size.
    """
    name = getattr(request.node, "callspec", None) and request.node.callspec.params.get("name")
    size = (methods.fit_of(name).input if name in methods.available() else None) or (64, 32)
    return small_batch(size)


@pytest.fixture
def faces() -> Batch:
    """The same for LightCNN: 128x128."""
    return small_batch((128, 128))


class Narrow(ResNet):
    """ResNet-18 with one block a stage and an eighth of its channels: a test takes milliseconds."""

    def _make_layer(
        self, block: type[BasicBlock], planes: int, blocks: int, stride: int = 1, dilate: bool = False
    ) -> nn.Sequential:
        if planes == 64:  # the first stage: the stem is there, not yet used
            self.inplanes = 8
            self.conv1 = torch.nn.Conv2d(3, 8, kernel_size=7, stride=2, padding=3, bias=False)
            self.bn1 = torch.nn.BatchNorm2d(8)
        return super()._make_layer(block, planes // 8, blocks, stride, dilate)


@pytest.fixture(autouse=True)
def narrow_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torchvision.models, "resnet18", lambda weights: Narrow(BasicBlock, [1, 1, 1, 1], num_classes=1)
    )


@pytest.fixture
def build() -> Build:
    """A function (method's name, options) → its network on a narrow ResNet-18, from one seed."""

    def make(name: str, options: Changes | None = None, *, last_stride: Literal[1, 2] = 1) -> ReIdNetwork:
        torch.manual_seed(5)
        faces = "resnet18" not in methods.fit_of(name).backbones
        spec = BackboneSpec("lightcnn29", width=8) if faces else BackboneSpec("resnet18", last_stride)
        return methods.build(name, methods.options_of(name, options or {}), CASE_IDENTITIES, spec)

    return cast(Build, make)
