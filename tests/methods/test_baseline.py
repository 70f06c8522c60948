from typing import Any

import pydantic
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.methods.conftest import Build
from tests.tensors import Loss
from vireid_cli import methods
from vireid_cli.layers.pooling import generalised_mean
from vireid_cli.losses.center import cross_center, hetero_center, hetero_center_triplet
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.spread import excess_cosine
from vireid_cli.losses.triplet import (
    batch_hard_triplet,
    enhanced_squared_difference,
    weighted_regularised_triplet,
)
from vireid_cli.methods.baseline import Baseline
from vireid_cli.types import Batch, Modality


def pooled_by_hand(network: Baseline, batch: Batch) -> Tensor:
    images = torch.cat([batch.visible, batch.infrared])
    masks = torch.cat([batch.erase.visible, batch.erase.infrared])
    features = network.trunk(network.normalise(images, masks, batch.erase), len(batch.visible))
    return features.mean(dim=(2, 3))


def test_losses_are_those_of_the_pooled_feature_and_the_neck(build: Build, batch: Batch) -> None:
    network = build("baseline").eval()  # eval mode: the same statistics twice
    pooled, labels = pooled_by_hand(network, batch), batch.labels.repeat(2)
    expected = {
        "identity": identity_loss(network.classifier(network.neck(pooled)), labels),
        "triplet": batch_hard_triplet(pooled, labels, 0.3),
    }
    losses = network.losses(batch)
    assert losses.keys() == expected.keys()
    for term, value in expected.items():
        torch.testing.assert_close(losses[term], value)


@pytest.mark.parametrize(
    ("center", "loss"),
    [
        ("hc", lambda rows, labels: hetero_center(rows, labels, 0.0)),
        ("cc", lambda rows, labels: cross_center(rows, labels, 0.1)),
        ("hctri", lambda rows, labels: hetero_center_triplet(rows, labels, 0.3)),
    ],
)
def test_center_losses_with_their_published_margins(
    build: Build, batch: Batch, center: str, loss: Loss
) -> None:
    network = build("baseline", {"center": center, "center_weight": 0.25}).eval()
    expected = 0.25 * loss(pooled_by_hand(network, batch), batch.labels)
    torch.testing.assert_close(network.losses(batch)["center"], expected)
    margin = build("baseline", {"center": center, "center_margin": 0.9, "center_weight": 0.25}).eval()
    assert (margin.losses(batch)["center"] - expected).abs() > 1e-4


@pytest.mark.parametrize(
    ("triplet", "loss"), [("wrt", weighted_regularised_triplet), ("wrt_sq", enhanced_squared_difference)]
)
@pytest.mark.parametrize("released", [False, True])
def test_soft_triplets(build: Build, batch: Batch, triplet: str, loss: Loss, released: bool) -> None:
    network = build("baseline", {"triplet": triplet, "released_eps": released, "triplet_weight": 0.5}).eval()
    expected = 0.5 * loss(pooled_by_hand(network, batch), batch.labels.repeat(2), released)
    torch.testing.assert_close(network.losses(batch)["triplet"], expected)


def test_weights_scale_their_terms_and_zero_omits_them(build: Build, batch: Batch) -> None:
    plain = build("baseline").eval().losses(batch)
    scaled = build("baseline", {"identity_weight": 0.5, "triplet_weight": 3.0}).eval().losses(batch)
    torch.testing.assert_close(scaled["identity"], 0.5 * plain["identity"])
    torch.testing.assert_close(scaled["triplet"], 3.0 * plain["triplet"])
    assert build("baseline", {"triplet_weight": 0.0}).losses(batch).keys() == {"identity"}
    metric = build("baseline", {"identity_weight": 0.0, "embed": "pooled"})
    assert metric.losses(batch).keys() == {"triplet"}
    assert not hasattr(metric, "classifier")
    assert build("baseline", {"center": "hc", "center_weight": 0.0}).losses(batch).keys() == {
        "identity",
        "triplet",
    }


def test_spread_acts_on_the_pooled_features(build: Build, batch: Batch) -> None:
    network = build("baseline", {"spread_weight": 2.0, "spread_limit": 0.1}).eval()
    terms = network.losses(batch)
    assert terms.keys() == {"identity", "triplet", "spread"}
    expected = 2.0 * excess_cosine(pooled_by_hand(network, batch), 0.1)
    torch.testing.assert_close(terms["spread"], expected)
    terms["spread"].backward()
    assert network.trunk.layer4[-1].conv1.weight.grad.abs().max() > 0.0


@pytest.mark.parametrize(
    "option", [{"margin": 1.3}, {"label_smoothing": 0.2}, {"pool": "gem"}, {"logits": "cosine"}]
)
def test_options_change_the_losses(build: Build, batch: Batch, option: dict[str, Any]) -> None:
    plain, changed = (build("baseline", options).eval().losses(batch) for options in ({}, option))
    assert max(abs(changed[term].item() - plain[term].item()) for term in plain) > 1e-5


def test_stems_are_separate_or_shared(build: Build) -> None:
    assert hasattr(build("baseline").trunk.stem, "infrared")
    assert not hasattr(build("baseline", {"stem": "shared"}).trunk.stem, "infrared")


def test_embedding_before_and_after_the_neck(build: Build, batch: Batch) -> None:
    for level in ("neck", "pooled"):
        network = build("baseline", {"embed": level, "pool": "gem", "gem_power": 2.0}).eval()
        features = network.trunk(network.normalise(batch.infrared), Modality.INFRARED)
        pooled = generalised_mean(features, 2.0)
        expected = F.normalize(network.neck(pooled) if level == "neck" else pooled)
        torch.testing.assert_close(network.embed(batch.infrared, Modality.INFRARED), expected)


def test_a_learned_power_learns_with_the_backbone(build: Build, batch: Batch) -> None:
    network = build("baseline", {"pool": "gem", "gem_learned": True})
    sum(network.losses(batch).values()).backward()
    assert network.gem.power.grad is not None
    backbone = next(group for group in network.parameter_groups() if group.name == methods.BACKBONE)
    assert any(parameter is network.gem.power for parameter in backbone.parameters)


@pytest.mark.parametrize(
    "options",
    [
        {"identity_weight": 0.0},
        {"identity_weight": 0.0, "triplet_weight": 0.0, "embed": "pooled"},
        {"logit_margin": 0.3},
        {"identity_weight": 0.0, "embed": "pooled", "logits": "cosine"},
        {"released_eps": True},
        {"spread_limit": 0.3},
    ],
)
def test_options_without_effect_and_untrained_embeddings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        methods.options_of("baseline", options)
