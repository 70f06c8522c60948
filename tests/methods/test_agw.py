from typing import Any

import pydantic
import pytest
import torch

from tests.methods.conftest import Build
from tests.tensors import parameter_count
from vireid_cli import methods
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.layers.nonlocal_block import NonLocal
from vireid_cli.layers.pooling import generalised_mean
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.triplet import weighted_regularised_triplet
from vireid_cli.types import Batch, Modality


def test_parameter_counts_of_the_paper_s_network() -> None:
    with torch.device("meta"):
        network = methods.build("agw", methods.options_of("agw", {}), 395, BackboneSpec("resnet50"))
    assert (
        parameter_count(network.get_submodule("trunk")) + parameter_count(network.get_submodule("neck"))
        == 23_550_351
    )
    assert parameter_count(network) == 24_359_311
    blocks = [name for name, module in network.trunk.named_modules() if isinstance(module, NonLocal)]
    assert blocks == [f"layer2.after{i}" for i in (2, 3)] + [f"layer3.after{i}" for i in (3, 4, 5)]
    assert sum([parameter_count(network.get_submodule(f"trunk.{name}")) for name in blocks]) == 28_687


def test_losses_are_those_of_the_pooled_feature_and_the_neck(build: Build, batch: Batch) -> None:
    network = build("agw", {"wrt": {"weight": 0.5}, "gem_power": 2.0}).eval()
    images = torch.cat([batch.visible, batch.infrared])
    masks = torch.cat([batch.erase.visible, batch.erase.infrared])
    pooled = generalised_mean(network.trunk(network.normalise(images, masks, batch.erase), 8), 2.0)
    labels = batch.labels.repeat(2)
    losses = network.losses(batch)
    assert losses.keys() == {"identity", "wrt"}
    torch.testing.assert_close(losses["wrt"], 0.5 * weighted_regularised_triplet(pooled, labels))
    torch.testing.assert_close(
        losses["identity"], identity_loss(network.classifier(network.neck(pooled)), labels)
    )
    assert build("agw", {"wrt": {"weight": 0.0}}).losses(batch).keys() == {"identity"}


@pytest.mark.parametrize(
    "option", [{"nl": {"layer2": 0}}, {"nl": {"inter": "C/2"}}, {"nl": {"layer3": 1, "layer2": 1}}]
)
def test_non_local_blocks_follow_the_last_blocks_of_a_stage(build: Build, option: dict[str, Any]) -> None:
    network = build("agw", option)
    blocks = {n: m for n, m in network.trunk.named_modules() if isinstance(m, NonLocal)}
    expected = {"layer3.after0"} | ({"layer2.after0"} if option["nl"].get("layer2", 1) else set())
    assert blocks.keys() == expected  # the test's trunk has one block a stage
    width = next(iter(blocks.values())).theta.out_channels
    assert width == (1 if option["nl"].get("inter", 1) == 1 else network.trunk.channels["layer2"] // 2)


def test_trained_non_local_blocks_change_the_embedding(build: Build, batch: Batch) -> None:
    network = build("agw").eval()
    before = network.embed(batch.visible, Modality.VISIBLE)
    torch.nn.init.ones_(network.trunk.layer3.after0.out[1].weight)
    assert (network.embed(batch.visible, Modality.VISIBLE) - before).abs().max() > 1e-4
    assert not torch.equal(
        before, build("agw", {"embed": "pooled"}).eval().embed(batch.visible, Modality.VISIBLE)
    )


def test_the_released_softmax_of_a_loss_that_is_off_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="weight is 0"):
        methods.options_of("agw", {"wrt": {"weight": 0.0, "released_eps": True}})
