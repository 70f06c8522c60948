"""DEEN: its total against the definition, each switch, its six cosines."""

from typing import Any

import pydantic
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.methods.conftest import Build
from vireid_cli import methods
from vireid_cli.backbones.spec import BackboneSpec, Streams
from vireid_cli.engine.network import load_recipe
from vireid_cli.errors import RecipeError, UsageError
from vireid_cli.layers.mfa import PositionFusion
from vireid_cli.losses.cpm import centre_pair_mining
from vireid_cli.losses.triplet import batch_hard_triplet
from vireid_cli.methods.deen import Deen, Options
from vireid_cli.recipe.load import load
from vireid_cli.types import Batch, Modality

PLAIN = {"dee": {"on": False}, "cpm": {"weight": 0.0}, "ort_weight": 0.0, "embed": {"branches": "original"}}


def opened(network: Deen) -> Deen:
    """Fusion a little open, not the identity: each block is of third order in its input, and grows fast.

    Eval mode: the same statistics twice.
    """
    torch.manual_seed(9)
    for block in network.mfa.values():
        for part in (block.channel, block.position):
            torch.nn.init.uniform_(part.out[1].weight, 5e-3, 1e-2)
    return network.eval()


def by_hand(network: Deen, images: Tensor, streams: Streams, last: str) -> Tensor:
    """Pooled features of the three branches, stage by stage."""
    trunk = network.trunk
    features = trunk.run("stem", images, streams)
    for stage in ("layer1", "layer2") if last == "layer3" else ("layer1", "layer2", "layer3"):
        features = network.mfa[stage](trunk.get_submodule(stage)(features), features)
    features = torch.cat([features, *(branch(features) for branch in network.dee.branches)])
    return trunk.get_submodule(last)(features).mean(dim=(2, 3))


@pytest.mark.parametrize("last", ["layer4", "layer3"])
def test_total_of_the_released_code(build: Build, batch: Batch, last: str) -> None:
    network = opened(build("deen", {"last": last}))
    masks = torch.cat([batch.erase.visible, batch.erase.infrared])
    images = network.normalise(torch.cat([batch.visible, batch.infrared]), masks, batch.erase)
    pooled = by_hand(network, images, len(batch.visible), last)  # (3·2B, D)
    labels = batch.labels.repeat(6)
    original, first, second = pooled[:16], pooled[16:32], pooled[32:]
    expected = {
        "identity": F.cross_entropy(network.classifier(network.neck(pooled)), labels),
        "triplet": batch_hard_triplet(pooled, labels, 0.3),
        "cpm": 0.8 * sum(centre_pair_mining(original, new, batch.labels, 0.2) for new in (first, second)),
        "ort": 0.01 * sum(a @ b for a, b in zip(first, second, strict=True)) / 48,
    }
    losses = network.losses(batch)
    assert losses.keys() == expected.keys()
    for term, value in expected.items():
        torch.testing.assert_close(losses[term], value, rtol=1e-4, atol=1e-5)


def test_regdb_variant_has_neither_layer4_nor_a_third_block(build: Build) -> None:
    assert list(build("deen").mfa) == ["layer1", "layer2", "layer3"]
    network = build("deen", {"last": "layer3"})
    assert list(network.mfa) == ["layer1", "layer2"]
    assert not hasattr(network.trunk, "layer4")
    assert network.dee.branches[0].expand.out_channels == network.trunk.channels["layer2"]


def test_product_of_embeddings_is_the_mean_of_six_cosines(build: Build, batch: Batch) -> None:
    network = opened(build("deen"))
    similarity, embedded = torch.zeros(8, 8), []
    blocks = []
    for modality, images in ((Modality.VISIBLE, batch.visible), (Modality.INFRARED, batch.infrared)):
        pooled = by_hand(network, network.normalise(images), modality, "layer4")
        blocks.append([*pooled.chunk(3), *network.neck(pooled).chunk(3)])
        embedded.append(network.embed(images, modality))
    for a, b in zip(*blocks, strict=True):
        similarity += F.cosine_similarity(a[:, None], b[None], dim=-1) / 6
    torch.testing.assert_close(embedded[0] @ embedded[1].T, similarity)


@pytest.mark.parametrize(("branches", "count"), [("all", 3), ("original", 1)])
@pytest.mark.parametrize(("level", "levels"), [("pooled+neck", 2), ("pooled", 1), ("neck", 1)])
def test_blocks_of_the_embedding(
    build: Build, batch: Batch, branches: str, count: int, level: str, levels: int
) -> None:
    network = opened(build("deen", {"embed": {"branches": branches, "level": level}}))
    width = network.trunk.channels["layer4"]
    embeddings = network.embed(batch.visible, Modality.VISIBLE)
    assert embeddings.shape == (8, count * levels * width)
    pooled = by_hand(network, network.normalise(batch.visible), Modality.VISIBLE, "layer4")[: 8 * count]
    levels_of = {
        "pooled": [pooled],
        "neck": [network.neck(pooled)],
        "pooled+neck": [pooled, network.neck(pooled)],
    }
    blocks = [F.normalize(part) for rows in levels_of[level] for part in rows.chunk(count)]
    torch.testing.assert_close(embeddings, torch.cat(blocks, 1) / (count * levels) ** 0.5)


@pytest.mark.parametrize("branches", ["all", "original"])
def test_the_second_score_weighs_pooled_features_and_those_after_the_neck(
    build: Build, batch: Batch, branches: str
) -> None:
    network = opened(build("deen", {"embed": {"branches": branches, "score": "mixed"}}))
    count = 3 if branches == "all" else 1
    score, embedded, blocks = torch.zeros(8, 8), [], []
    for modality, images in ((Modality.VISIBLE, batch.visible), (Modality.INFRARED, batch.infrared)):
        pooled = by_hand(network, network.normalise(images), modality, "layer4")[: 8 * count]
        blocks.append((pooled.chunk(count), network.neck(pooled).chunk(count)))
        embedded.append(network.embed(images, modality))
    for weight, first, second in zip((0.1, 0.9), *blocks, strict=True):
        for a, b in zip(first, second, strict=True):
            score += weight * F.cosine_similarity(a[:, None], b[None], dim=-1) / count
    torch.testing.assert_close(embedded[0] @ embedded[1].T, score)
    torch.testing.assert_close(embedded[0].norm(dim=1), torch.ones(8))


def options(changes: dict[str, object]) -> Options:
    checked = methods.options_of("deen", changes)
    assert isinstance(checked, Options)
    return checked


def test_short_forms_and_switches_of_earlier_versions() -> None:
    assert options({"embed": "mixed"}).embed.score == "mixed"
    assert [options({"mfa": was}).mfa for was in (True, False)] == ["plain", "off"]
    with pytest.raises(pydantic.ValidationError, match="one kind of cosine"):
        methods.options_of("deen", {"embed": {"level": "neck", "score": "mixed"}})


@pytest.mark.parametrize(
    ("size", "last", "odd"),
    [
        ([384, 144], "layer4", ""),
        ([72, 36], "layer4", "9x5 after layer2, 5x3 after layer3"),
        ([72, 36], "layer3", "9x5 after layer2"),
        ([100, 60], "layer3", "25x15 after stem, 25x15 after layer1"),
    ],
)
def test_sizes_that_the_released_fusion_can_not_halve_are_refused(
    size: list[int], last: str, odd: str
) -> None:
    settings = (f"data.size={size}", f"method.options.last={last}")
    if not odd:
        load_recipe("deen", settings)
        return
    with pytest.raises(RecipeError, match=odd):
        load_recipe("deen", settings)
    load_recipe("deen", (*settings, "method.options.mfa=plain"))


def test_the_form_of_the_fusion_changes_the_embedding(build: Build, batch: Batch) -> None:
    """With open fusion. tests/releases compares the released form with its code."""
    embeddings = []
    for form in ("plain", "released"):
        network = opened(build("deen", {"mfa": form}))
        for block in network.mfa.values():
            block.position.out[1].weight.data.fill_(1.0)
        embeddings.append(network.embed(batch.visible, Modality.VISIBLE))
    assert (embeddings[0] - embeddings[1]).norm() > 1e-3 * embeddings[0].norm()


def test_an_odd_map_is_refused_by_the_layer_too() -> None:
    fusion = PositionFusion(6, 4, "released")
    with pytest.raises(UsageError, match="3x5 is an odd number of positions"):
        fusion(torch.zeros(1, 6, 4, 5), torch.zeros(1, 4, 3, 5))


@pytest.mark.parametrize(
    ("options", "term"),
    [
        ({"margin": 1.0}, "triplet"),
        ({"cpm": {"margin": 0.9}}, "cpm"),
        ({"mfa": "off"}, "identity"),
    ],
)
def test_options_change_their_term(build: Build, batch: Batch, options: dict[str, Any], term: str) -> None:
    plain, changed = (opened(build("deen", switches)).losses(batch) for switches in ({}, options))
    assert (plain[term] - changed[term]).abs() > 1e-6


def test_weights_scale_their_terms_and_zero_omits_them(build: Build, batch: Batch) -> None:
    options = {"identity_weight": 0.5, "triplet_weight": 2.0, "cpm": {"weight": 1.6}, "ort_weight": 0.03}
    plain, scaled = (opened(build("deen", switches)).losses(batch) for switches in ({}, options))
    for term, factor in (("identity", 0.5), ("triplet", 2.0), ("cpm", 2.0), ("ort", 3.0)):
        torch.testing.assert_close(scaled[term], factor * plain[term])
    none = {"triplet_weight": 0.0, "cpm": {"weight": 0.0}, "ort_weight": 0.0}
    assert build("deen", none).losses(batch).keys() == {"identity"}
    network = build("deen", PLAIN)
    assert network.losses(batch).keys() == {"identity", "triplet"}
    assert network.dee is None


def test_dropout_acts_on_the_tripled_batch(build: Build, batch: Batch) -> None:
    network = build("deen", {"dee": {"dropout": 0.9}}).train()
    assert network.dee.dropout.p == 0.9
    first, second = (network.losses(batch)["triplet"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    "options",
    [{"dee": {"on": False}}, {"dee": {"on": False}, "cpm": {"weight": 0.0}, "ort_weight": 0.0}],
)
def test_switches_without_effect_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError, match="dee is off"):
        methods.options_of("deen", options)


@pytest.mark.parametrize("spec", [BackboneSpec("resnet34", width=16), BackboneSpec("resnet50", width=8)])
def test_narrow_networks_of_both_blocks(batch: Batch, spec: BackboneSpec) -> None:
    network = methods.build("deen", methods.options_of("deen", {}), 5, spec)
    sum(network.losses(batch).values()).backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_regdb_and_llcm_differ_in_network_and_erasing_only() -> None:
    full, regdb, llcm = (
        load(f"{n}.yaml", options_of=methods.options_type) for n in ("deen", "deen-regdb", "deen-llcm")
    )
    assert llcm.method == full.method
    assert regdb.method.options == full.method.options | {"last": "layer3"}
    for recipe in (regdb, llcm):
        assert recipe.data.augment.erase.area == (0.02, 0.4)
        assert (recipe.train, recipe.backbone, recipe.data.size) == (
            full.train,
            full.backbone,
            full.data.size,
        )


def test_recipe_is_the_released_setting() -> None:
    recipe = load("deen.yaml", options_of=methods.options_type)
    assert recipe.method.options == methods.options_of("deen", {"mfa": "released"}).model_dump()
    assert (recipe.data.size, recipe.data.sampler.identities, recipe.data.sampler.images) == (
        (384, 144),
        6,
        4,
    )
    assert (recipe.train.epochs, recipe.train.schedule.milestones) == (151, (20, 80, 120))
    assert (recipe.data.augment.visible_grey, recipe.data.augment.erase.area) == (0.5, (0.2, 0.8))
