"""D-SELACFP: its total against the definition, each switch, and its recipes."""

import pydantic
import pytest
import torch
import torch.nn.functional as F

from vireid_cli import methods
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.errors import UsageError
from vireid_cli.frequency.lam import SpectrumMask
from vireid_cli.layers.pooling import generalised_mean
from vireid_cli.losses.center import hetero_center_triplet
from vireid_cli.losses.orthogonal import cosine_orthogonality, inner_products, weight_orthogonality
from vireid_cli.recipe.load import load, shipped
from vireid_cli.types import Modality

TERMS = {"identity_shared", "identity_specific", "hctri_shared", "hctri_specific", "ort"}


def inputs_of(batch, network):
    masks = torch.cat([batch.erase.visible, batch.erase.infrared])
    return network.normalise(torch.cat([batch.visible, batch.infrared]), masks, batch.erase)


def opened(network):
    """Weights that start at 0, as after some training: switches behind them then show."""
    torch.manual_seed(9)
    for name, parameter in network.named_parameters():
        if name.endswith(("gamma", "logits")) or "fusion.out.1" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.0)
    return network.eval()  # eval mode: the same statistics twice


def by_hand(network, batch):
    """Shared and specific pooled features, stage by stage."""
    trunk, count = network.trunk, len(batch.visible)
    features = inputs_of(batch, network)
    features = torch.cat([trunk.stem.visible(features[:count]), trunk.stem.infrared(features[count:])])
    low = trunk.layer2(network.lam["layer2"](trunk.layer1(features)))
    before = network.lam["layer3"](low)
    high = network.imfpe(low, trunk.layer3(before))
    if network.options.last == "layer3":
        maps = high, network.specific_stage(before)
    else:
        maps = trunk.layer4(high), network.specific_stage(high)
    branches = (network.shared, network.specific)
    return [generalised_mean(m, b.gem.power) for m, b in zip(maps, branches, strict=True)]


@pytest.mark.parametrize("last", ["layer4", "layer3"])
def test_total_of_the_reading(build, batch, last):
    network = opened(build("dselacfp", {"last": last}))
    shared, specific = by_hand(network, batch)
    labels = batch.labels.repeat(2)
    expected = {"ort": 0.1 * cosine_orthogonality(shared, specific)}
    for name, feature in (("shared", shared), ("specific", specific)):
        branch = network.get_submodule(name)
        expected[f"identity_{name}"] = F.cross_entropy(branch.classifier(branch.neck(feature)), labels)
        expected[f"hctri_{name}"] = hetero_center_triplet(feature, batch.labels, 0.3)
    losses = network.losses(batch)
    assert losses.keys() == expected.keys() == TERMS
    for term, value in expected.items():
        torch.testing.assert_close(losses[term], value, rtol=1e-4, atol=1e-5)


def test_regdb_variant_has_no_layer4(build):
    network = build("dselacfp", {"last": "layer3"})
    assert not hasattr(network.trunk, "layer4")
    assert network.shared.neck.num_features == network.trunk.channels["layer3"]


def test_specific_branch_starts_as_a_copy_and_is_its_own(build):
    network = build("dselacfp")
    pairs = zip(network.trunk.layer4.parameters(), network.specific_stage.parameters(), strict=True)
    assert all(torch.equal(a, b) and a is not b for a, b in pairs)
    assert hasattr(network.trunk.stem, "infrared")
    assert network.shared.gem.power is not network.specific.gem.power


def test_embedding_is_the_shared_branch(build, batch):
    for level in ("neck", "pooled"):
        network = opened(build("dselacfp", {"embed": level}))
        before = network.embed(batch.visible, Modality.VISIBLE)
        pooled = network.shared.gem(network._maps(network.normalise(batch.visible), Modality.VISIBLE)[0])
        expected = F.normalize(network.shared.neck(pooled) if level == "neck" else pooled)
        torch.testing.assert_close(before, expected)
        for parameter in [*network.specific_stage.parameters(), *network.specific.parameters()]:
            torch.nn.init.zeros_(parameter)
        torch.testing.assert_close(network.embed(batch.visible, Modality.VISIBLE), before)


@pytest.mark.parametrize(
    "options",
    [
        {"lam": {"before": []}},
        {"lam": {"before": ["layer1"]}},
        {"lam": {"parts": 2}},
        {"lam": {"freq": "low16"}},
        {"lam": {"freq": "top1"}},
        {"lam": {"dc_norm": False}},
        {"lam": {"residual": True}},
        {"lam": {"kind": "idct"}},
        {"imfpe": {"on": False}},
        {"imfpe": {"low": "layer1"}},
        {"imfpe": {"high": "layer4"}},
        {"imfpe": {"align": "pool"}},
        {"imfpe": {"residual": False}},
        {"imfpe": {"nl": "after_imfpe"}},
        {"gem_power": 1.5},
        {"last": "layer3"},
    ],
    ids=str,
)
def test_switches_change_what_is_embedded(build, batch, options):
    plain, changed = opened(build("dselacfp")), opened(build("dselacfp", options))
    # Parts that both have hold the same values, so that only the switch differs.
    own, other = plain.state_dict(), changed.state_dict()
    same = {key: own[key] for key in other if key in own and own[key].shape == other[key].shape}
    changed.load_state_dict(
        same | ({"shared.gem.power": torch.tensor(1.5)} if "gem_power" in options else {}), strict=False
    )
    found = changed.embed(batch.infrared, Modality.INFRARED)
    expected = plain.embed(batch.infrared, Modality.INFRARED)
    assert found.shape != expected.shape or (found - expected).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("kind", "loss"), [("cosine", cosine_orthogonality), ("deen", inner_products), ("weights", None)]
)
def test_three_readings_of_the_orthogonal_loss(build, batch, kind, loss):
    network = opened(build("dselacfp", {"ort": {"kind": kind, "weight": 0.7}}))
    if loss is None:
        rows = network.shared.classifier.weight, network.specific.classifier.weight
        expected = 0.7 * weight_orthogonality(*rows)
    else:
        expected = 0.7 * loss(*by_hand(network, batch))
    torch.testing.assert_close(network.losses(batch)["ort"], expected, rtol=1e-4, atol=1e-6)


def test_weights_scale_their_terms_and_zero_leaves_them_out(build, batch):
    plain = opened(build("dselacfp")).losses(batch)
    options = {"identity_weight": 0.5, "hctri": {"weight": 3.0}, "ort": {"weight": 0.2}}
    scaled = opened(build("dselacfp", options)).losses(batch)
    for term, factor in (("identity", 0.5), ("hctri", 3.0)):
        for branch in ("shared", "specific"):
            name = f"{term}_{branch}"
            torch.testing.assert_close(scaled[name], factor * plain[name])
    torch.testing.assert_close(scaled["ort"], 2.0 * plain["ort"])
    wide = opened(build("dselacfp", {"hctri": {"margin": 2.0}})).losses(batch)
    assert (wide["hctri_shared"] - plain["hctri_shared"]).abs() > 0.1
    without = build("dselacfp", {"hctri": {"weight": 0.0}, "ort": {"weight": 0.0}}).losses(batch)
    assert without.keys() == {"identity_shared", "identity_specific"}
    alone = build("dselacfp", {"specific": False, "ort": {"weight": 0.0}})
    assert alone.losses(batch).keys() == {"identity_shared", "hctri_shared"}
    assert not hasattr(alone, "specific_stage")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"specific": False}, "needs the specific branch"),
        ({"last": "layer3", "lam": {"before": ["layer4"]}}, "after layer3"),
        ({"last": "layer3", "imfpe": {"high": "layer4"}}, "after layer3"),
        ({"imfpe": {"low": "layer3", "high": "layer3"}}, "before high"),
        ({"imfpe": {"on": False, "align": "pool"}}, "while it is off"),
        ({"lam": {"kind": "idct", "freq": "top1"}}, "weighs all frequencies"),
        ({"lam": {"before": ["layer2", "layer2"]}}, "twice"),
    ],
)
def test_switches_that_would_do_nothing_are_refused(options, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        methods.options_of("dselacfp", options)


def test_more_parts_than_rows_are_the_users_turn(build, batch):
    network = build("dselacfp", {"lam": {"parts": 9}})  # layer3 gets 8 rows of a 64×32 image
    with pytest.raises(UsageError, match="9 parts, but layer3 gets a map of 8 rows"):
        network.losses(batch)


def test_a_bare_off_is_the_word():
    assert methods.options_of("dselacfp", {"imfpe": {"nl": False}}).imfpe.nl == "off"


@pytest.mark.parametrize("spec", [BackboneSpec("resnet34", width=16), BackboneSpec("resnet50", width=8)])
def test_narrow_networks_of_both_blocks(batch, spec):
    options = methods.options_of("dselacfp", {"lam": {"kind": "idct"}})
    network = methods.build("dselacfp", options, 5, spec)
    assert all(isinstance(layer, SpectrumMask) for layer in network.lam.values())
    sum(network.losses(batch).values()).backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_the_papers_sizes():
    with torch.device("meta"):
        network = methods.build("dselacfp", methods.options_of("dselacfp", {}), 395, BackboneSpec())
    assert network.lam["layer2"].squeeze.weight.shape == (16, 256)
    assert network.lam["layer3"].squeeze.weight.shape == (32, 512)
    extract = network.imfpe.extract
    assert extract.reduce_low[0].weight.shape == (64, 512, 1, 1)
    assert extract.reduce_high[0].weight.shape == (256, 1024, 1, 1)
    assert extract.join[0][0].weight.shape == (256, 320, 3, 3)
    assert network.imfpe.guide.gate.kernel_size == (5,)
    assert network.shared.neck.num_features == 2048


def test_recipe_is_the_papers_setting():
    recipe = load("dselacfp.yaml", options_of=methods.options_type)
    assert methods.options_of("dselacfp", recipe.method.options) == methods.options_of("dselacfp", {})
    assert (recipe.data.size, recipe.data.sampler.identities, recipe.data.sampler.images) == (
        (384, 128),
        12,
        5,
    )
    train = recipe.train
    assert (train.epochs, train.schedule.milestones, train.schedule.warmup_epochs) == (150, (60, 100), 0)
    assert (train.optimizer.name, train.optimizer.lr, train.optimizer.backbone_scale) == ("adam", 3.5e-4, 1.0)
    assert [(r.rank1, r.mAP) for r in recipe.reported] == [(82.77, 79.91), (88.40, 90.61)]


def test_regdb_recipe_ends_at_layer3():
    recipe, full = (load(name, options_of=methods.options_type) for name in ("dselacfp-regdb", "dselacfp"))
    assert recipe.method.options == full.method.options | {"last": "layer3"}
    assert (recipe.train, recipe.data.size) == (full.train, full.data.size)
    assert [(r.protocol, r.rank1, r.mAP) for r in recipe.reported] == [
        ("v2i", 95.54, 92.10),
        ("i2v", 95.95, 92.79),
    ]


ROWS = [path for path in shipped() if path.stem.startswith("dselacfp-") and path.parent.name == "ablations"]


@pytest.mark.parametrize("path", ROWS, ids=lambda path: path.stem)
def test_rows_of_the_ablation_change_options_only(path):
    row, full = (load(str(name), options_of=methods.options_type) for name in (path, "dselacfp.yaml"))
    assert row.method.options != full.method.options
    assert (row.data, row.backbone, row.train) == (full.data, full.backbone, full.train)
    assert row.reported == ()
