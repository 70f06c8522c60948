"""The last feature map of the backbone, of every method and each image."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.methods.conftest import Build
from vireid_cli import methods
from vireid_cli.backbones.fold import fold_batch_norms
from vireid_cli.backbones.last_map import last_map
from vireid_cli.types import Batch, Modality


@pytest.mark.parametrize("name", methods.available())
@pytest.mark.parametrize("modality", list(Modality))
def test_the_last_map_of_every_method_belongs_to_its_image(
    name: str, modality: Modality, build: Build, batch: Batch
) -> None:
    network = build(name).eval()
    images = batch.visible if modality is Modality.VISIBLE else batch.infrared
    with torch.no_grad(), last_map(network) as newest:
        network.embed(images[:4], modality)
        together = newest()[:4]
        alone = []
        for image in images[:4]:
            network.embed(image[None], modality)
            alone.append(newest()[:1])
    assert together.shape[0] == 4
    assert together.shape[1] in network.trunk.channels.values()
    assert min(together.shape[2:]) >= 2
    torch.testing.assert_close(torch.cat(alone), together, rtol=0, atol=1e-4)
    assert (together[0] - together[2]).abs().max() > 1e-4


def test_the_last_map_is_the_last_stage_s_output_with_its_gradient(build: Build, batch: Batch) -> None:
    network = build("baseline").eval()
    with last_map(network) as newest:
        embedding = network.embed(batch.visible, Modality.VISIBLE)
        features = newest()
    expected = network.trunk(network.normalise(batch.visible), Modality.VISIBLE)
    torch.testing.assert_close(features, expected, rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(embedding[0, 0], features)
    assert gradient[0].abs().max() > 0
    assert not gradient[1:].any()
    folded = fold_batch_norms(network)
    with torch.no_grad(), last_map(folded) as newest:
        folded.embed(batch.visible, Modality.VISIBLE)
        torch.testing.assert_close(newest(), expected, rtol=0, atol=1e-4)


def test_hooks_are_removed_and_other_networks_are_refused(build: Build, batch: Batch) -> None:
    network = build("baseline").eval()
    with torch.no_grad(), last_map(network) as newest:
        network.embed(batch.visible, Modality.VISIBLE)
        before = newest().clone()
    with torch.no_grad():
        network.embed(batch.infrared, Modality.INFRARED)
    assert torch.equal(newest(), before)
    with pytest.raises(ValueError, match="Linear has no"), last_map(nn.Linear(2, 2)):
        pass
