import dataclasses
from pathlib import Path
from typing import Any

import pydantic
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.methods.conftest import Build
from vireid_cli import methods
from vireid_cli.backbones.spec import Streams
from vireid_cli.engine.network import load_recipe
from vireid_cli.errors import RecipeError
from vireid_cli.layers.pixels import centre_crop, luminance
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.nuances import nuances_mining
from vireid_cli.losses.triplet import batch_hard_triplet
from vireid_cli.methods.face import Face
from vireid_cli.types import Batch, Modality

LUMINANCE = torch.tensor([0.299, 0.587, 0.114])

RECIPE = """
paper: none
data: {{dataset: sysu, size: [144, 144], augment: {{pad: 0, crop: {crop}}}}}
backbone: {{name: {backbone}, weights: none}}
method: {{name: {method}}}
"""


def by_hand(network: Face, images: Tensor, streams: Streams) -> Tensor:
    features = torch.einsum("bchw,c->bhw", images, LUMINANCE).unsqueeze(1)
    for stage in ("stem", "stage1", "stage2", "stage3"):
        features = network.trunk.run(stage, features, streams)
    return network.trunk.head(features)


PLAIN = {"agp": {"after": []}, "anm": {"on": False}, "cnm": {"weight": 0.0}}


def fdnm_by_hand(network: Face, images: Tensor, streams: Streams) -> Tensor:
    """Stage by stage, each spectral module at its place; (2, N, 256)."""
    features = torch.einsum("bchw,c->bhw", images, LUMINANCE).unsqueeze(1)
    for stage in ("stem", "stage1", "stage2", "stage3"):
        features = network.trunk.run(stage, features, streams)
        if stage in ("stage1", "stage2"):
            features = network.agp[stage](features)
    assert network.anm is not None
    outputs = torch.stack([network.trunk.head(maps) for maps in network.anm(features).chunk(2)])
    norm = network.feature_norm
    if norm is None:
        return outputs
    means, variances = norm.running_mean[:, None], norm.running_var[:, None]
    return (outputs - means) / (variances + 1e-5).sqrt() * norm.weight + norm.bias


def test_fdnm_s_losses_are_means_over_branches(build: Build, faces: Batch) -> None:
    network = build("face", {"cnm": {"weight": 0.25, "margin": 0.4}, "triplet_weight": 2.0}).eval()
    assert set(network.agp) == {"stage1", "stage2"}
    plain = dataclasses.replace(faces, erase=None)
    features = fdnm_by_hand(network, torch.cat([faces.visible, faces.infrared]), 8)
    labels = faces.labels.repeat(2)
    losses = network.losses(plain)
    assert network.classifier is not None
    identity = [identity_loss(network.classifier(part), labels) for part in features]
    expected = {
        "identity": torch.stack(identity).mean(),
        "triplet": sum(batch_hard_triplet(part, labels, 0.3) for part in features),
        "cnm": 0.25 * nuances_mining(features, faces.labels, 0.4),
    }
    assert losses.keys() == expected.keys()
    for term, value in expected.items():
        torch.testing.assert_close(losses[term], value, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize(("norm", "active"), [("pooled", True), ("two", False)])
def test_the_norm_of_the_features_keeps_the_nuances_mining_loss_above_0(
    build: Build, faces: Batch, norm: str, active: bool
) -> None:
    # Infrared images of other people: identities do not yet agree across modalities, as at the start.
    strange = dataclasses.replace(faces, infrared=faces.infrared.roll(2, 0))
    network = build("face", {"anm": {"norm": norm}, "dropout": 0.0}).train()
    optimizer = torch.optim.SGD(
        [
            {"params": group.parameters, "lr": 1e-2 if group.name == "heads" else 1e-3}
            for group in network.parameter_groups()
        ],
        momentum=0.9,
        nesterov=True,
    )
    values = []
    for _ in range(3):
        losses = network.losses(strange)
        values.append(losses["cnm"].item())
        optimizer.zero_grad()
        sum(losses.values(), torch.zeros(())).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
    assert all((value > 0.0) is active for value in values[1:]), values
    assert methods.options_of("face", {}) == methods.options_of("face", {"anm": {"norm": "pooled"}})


def test_fdnm_joins_its_branches(build: Build, faces: Batch) -> None:
    network = build("face").eval()
    actual = network.embed(faces.infrared, Modality.INFRARED)
    assert actual.shape == (8, 512)
    expected = F.normalize(torch.cat(list(fdnm_by_hand(network, faces.infrared, Modality.INFRARED)), 1))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "option",
    [
        {"agp": {"init": "paper"}},
        {"agp": {"init": "paper", "repr": "phasor"}},
        {"agp": {"after": ["stem", "stage3"]}},
        {"agp": {"init": "open"}},
        {"anm": {"residual": False}},
        {"anm": {"norm": "two"}},
        {"anm": {"positivity": "softplus"}},
        {"cnm": {"reduction": "mean_pairs", "margin": 20.0}},
        {"cnm": {"normalize": True, "margin": 20.0}},
    ],
)
def test_fdnm_s_options_change_the_losses(build: Build, faces: Batch, option: dict[str, Any]) -> None:
    default, changed = (build("face", options).eval().losses(faces) for options in ({}, option))
    assert max(abs(changed[term].item() - default[term].item()) for term in default) > 1e-6


def test_new_modules_learn_at_the_full_rate(build: Build) -> None:
    network = build("face")
    groups = {group.name: {id(p) for p in group.parameters} for group in network.parameter_groups()}
    modules = (network.agp, network.anm, network.feature_norm, network.classifier)
    new = [parameter for module in modules if module is not None for parameter in module.parameters()]
    assert groups["heads"] == {id(parameter) for parameter in new}


def test_losses(build: Build, faces: Batch) -> None:
    network = build("face", PLAIN | {"triplet_weight": 0.5, "margin": 0.7}).eval()
    masks = torch.cat([faces.erase.visible, faces.erase.infrared])
    fill = torch.tensor(faces.erase.fill).view(1, 3, 1, 1)
    images = torch.where(masks, fill, torch.cat([faces.visible, faces.infrared]))
    features, labels = by_hand(network, images, 8), faces.labels.repeat(2)
    losses = network.losses(faces)
    assert losses.keys() == {"identity", "triplet"}
    assert network.classifier is not None
    expected = identity_loss(network.classifier(features), labels)
    torch.testing.assert_close(losses["identity"], expected)
    torch.testing.assert_close(
        losses["triplet"], 0.5 * batch_hard_triplet(features, labels, 0.7), rtol=1e-4, atol=1e-5
    )
    # Without mean and std, erasing before and after normalising are the same.
    assert faces.erase is not None
    other = dataclasses.replace(faces, erase=dataclasses.replace(faces.erase, normalised=True))
    assert torch.equal(network.losses(other)["identity"], losses["identity"])


def test_weights_of_zero(build: Build, faces: Batch) -> None:
    assert build("face", PLAIN | {"identity_weight": 0.0}).losses(faces).keys() == {"triplet"}
    assert build("face", PLAIN | {"identity_weight": 0.0}).classifier is None
    assert build("face", PLAIN | {"triplet_weight": 0.0}).losses(faces).keys() == {"identity"}
    with pytest.raises(pydantic.ValidationError):
        methods.options_of("face", {"identity_weight": 0.0, "triplet_weight": 0.0})
    with pytest.raises(pydantic.ValidationError, match="two branches"):
        methods.options_of("face", {"anm": {"on": False}})
    with pytest.raises(pydantic.ValidationError, match="twice"):
        methods.options_of("face", {"agp": {"after": ["stem", "stem"]}})


def test_the_centre_of_larger_images_is_embedded(build: Build, faces: Batch) -> None:
    network = build("face", PLAIN).eval()
    wide = F.pad(faces.visible, (8, 8, 8, 8), value=0.7)
    actual = network.embed(wide, Modality.VISIBLE)
    torch.testing.assert_close(actual, network.embed(faces.visible, Modality.VISIBLE), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        actual, F.normalize(by_hand(network, faces.visible, Modality.VISIBLE)), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(ValueError, match="smaller"):
        network.embed(faces.visible[..., :100], Modality.VISIBLE)


def test_dropout_acts_in_training_and_stems_can_be_shared(build: Build, faces: Batch) -> None:
    network = build("face", {"dropout": 0.5, "stem": "shared"}).train()
    assert network.losses(faces)["identity"] != network.losses(faces)["identity"]
    still = build("face", {"dropout": 0.0}).train()
    assert still.losses(faces)["identity"] == still.losses(faces)["identity"]
    network.eval()
    assert torch.equal(*(network.embed(faces.visible, modality) for modality in Modality))


def test_luminance_and_centre() -> None:
    images = torch.arange(30.0).view(1, 1, 5, 6).expand(1, 3, 5, 6)
    torch.testing.assert_close(luminance(images), images[:, :1])
    assert centre_crop(images, (3, 2))[0, 0].tolist() == [[8, 9], [14, 15], [20, 21]]


@pytest.mark.parametrize(
    ("method", "backbone", "crop", "message"),
    [
        ("face", "resnet18", "[128, 128]", "backbone.name: method face is not built on resnet18"),
        ("baseline", "lightcnn29", "[128, 128]", "backbone.name: method baseline is not built on lightcnn29"),
        ("face", "lightcnn29", "null", r"data.size: method face takes \[128, 128\]"),
    ],
)
def test_incompatible_backbones_and_sizes_are_refused(
    tmp_path: Path, method: str, backbone: str, crop: str, message: str
) -> None:
    path = tmp_path / "face.yaml"
    path.write_text(RECIPE.format(method=method, backbone=backbone, crop=crop))
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("backbone.weights=imagenet", "no imagenet weights"),
        ("backbone.last_stride=2", "last_stride applies to ResNets"),
    ],
)
def test_settings_of_a_resnet_are_refused(tmp_path: Path, setting: str, message: str) -> None:
    path = tmp_path / "face.yaml"
    path.write_text(RECIPE.format(method="face", backbone="lightcnn29", crop="[128, 128]"))
    assert load_recipe(str(path)).backbone.name == "lightcnn29"
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(path), (setting,))
