import dataclasses

import pytest
import torch
from torch import Tensor

from tests.methods.conftest import Build
from vireid_cli.engine.network import load_recipe
from vireid_cli.errors import RecipeError
from vireid_cli.layers.pooling import generalised_mean
from vireid_cli.losses.identity import identity_loss, soft_identity_loss
from vireid_cli.losses.triplet import enhanced_squared_difference
from vireid_cli.types import IMAGENET_MEAN, IMAGENET_STD, Batch, Erasure


def inputs_by_hand(batch: Batch) -> Tensor:
    """V, V' and infrared images one pixel after the other: normalise, erase, exchange."""
    assert batch.erase is not None
    assert batch.exchange is not None
    nothing = torch.zeros_like(batch.exchange.infrared)
    views = (
        (batch.visible, batch.erase.visible, nothing),
        (batch.second, batch.erase.second, batch.exchange.second),
        (batch.infrared, batch.erase.infrared, batch.exchange.infrared),
    )
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    fill = torch.tensor(batch.erase.fill).view(3, 1, 1)
    images = []
    for pixels, masks, weights in views:
        assert pixels is not None
        assert masks is not None
        assert weights is not None
        for image, mask, weight in zip(pixels, masks, weights, strict=True):
            normal = torch.where(mask, fill, (image - mean) / std)
            if weight.any():
                normal = sum(w * channel for w, channel in zip(weight, normal, strict=True)).expand(3, -1, -1)
            images.append(normal)
    return torch.stack(images)


@pytest.fixture
def erased(batch: Batch) -> Batch:
    assert batch.erase is not None
    return dataclasses.replace(batch, erase=dataclasses.replace(batch.erase, normalised=True))


def test_losses_of_both_views_and_infrared_images(build: Build, erased: Batch) -> None:
    network = build("caj", {"kl_weight": 0.5, "wrt_sq": {"weight": 2.0}}).eval()
    torch.nn.init.normal_(network.classifier.weight)
    pooled = generalised_mean(network.trunk(inputs_by_hand(erased), 16), 3.0)
    logits, labels = network.classifier(network.neck(pooled)), erased.labels.repeat(3)
    expected = {
        "identity": identity_loss(logits, labels),
        "wrt_sq": 2.0 * enhanced_squared_difference(pooled, labels),
        "kl": 0.5 * soft_identity_loss(logits[:8], logits[8:16]),
    }
    losses = network.losses(erased)
    assert losses.keys() == expected.keys()
    for term, value in expected.items():
        torch.testing.assert_close(losses[term], value, rtol=1e-4, atol=1e-5)
    assert build("caj").losses(erased).keys() == {"identity", "wrt_sq"}


def test_without_exchange_and_erasing_it_sees_the_plain_views(build: Build, batch: Batch) -> None:
    network = build("caj").eval()
    plain = dataclasses.replace(batch, exchange=None, erase=None)
    assert batch.second is not None
    images = network.normalise(torch.cat([batch.visible, batch.second, batch.infrared]))
    pooled = generalised_mean(network.trunk(images, 16), 3.0)
    torch.testing.assert_close(
        network.losses(plain)["wrt_sq"], enhanced_squared_difference(pooled, batch.labels.repeat(3))
    )


def test_no_second_view_is_an_error(build: Build, batch: Batch) -> None:
    with pytest.raises(ValueError, match="second_view"):
        build("caj").losses(dataclasses.replace(batch, second=None))


def test_masks_of_all_three_are_used(build: Build, batch: Batch) -> None:
    network = build("caj").eval()
    before = network.losses(batch)["identity"]
    for view in ("visible", "infrared", "second"):
        masks = {name: getattr(batch.erase, name) for name in ("visible", "infrared", "second")}
        masks[view] = torch.ones_like(masks[view])
        erase = Erasure(**masks, fill=batch.erase.fill)
        assert network.losses(dataclasses.replace(batch, erase=erase))["identity"] != before, view


@pytest.mark.parametrize(
    ("recipe", "settings", "key"),
    [
        ("caj", ("data.augment.second_view=false", "data.augment.exchange.second=0.0"), "second_view"),
        ("baseline", ("data.augment.second_view=true",), "second_view"),
        ("agw", ("data.augment.exchange.infrared=0.5",), "exchange"),
        ("agw", ("data.augment.exchange.second=0.5",), "augment"),
    ],
)
def test_a_recipe_with_the_wrong_number_of_views_is_refused(
    recipe: str, settings: tuple[str, ...], key: str
) -> None:
    with pytest.raises(RecipeError, match=key):
        load_recipe(recipe, settings)
