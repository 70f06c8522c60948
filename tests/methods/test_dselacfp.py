"""D-SELACFP: its total against the definition, each switch, and its recipes."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydantic
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.methods.conftest import Build
from tests.tensors import Loss
from vireid_cli import methods
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.errors import UsageError
from vireid_cli.frequency.lam import SpectrumMask
from vireid_cli.layers.pooling import generalised_mean
from vireid_cli.layers.purifier import Purifier
from vireid_cli.losses.center import hetero_center_triplet
from vireid_cli.losses.orthogonal import cosine_orthogonality, inner_products, weight_orthogonality
from vireid_cli.methods.dselacfp.network import Dselacfp
from vireid_cli.methods.dselacfp.options import Options
from vireid_cli.recipe.load import load, shipped
from vireid_cli.types import Batch, Modality

BRANCHES = ("shared", "specific")
TERMS = {f"{term}_{branch}" for term in ("identity", "hctri", "modality") for branch in BRANCHES} | {
    *(f"{kind}_{side}" for kind in ("graph", "logit", "slot") for side in ("intra", "inter")),
    *("purity_entropy", "purity_centroid", "ort"),
}
NO_PURITY = {"entropy": 0.0, "centroid": 0.0}
NO_MODALITY = {"specific": 0.0, "shared": 0.0}
NO_CONSISTENCY = {kind: {"intra": 0.0, "inter": 0.0} for kind in ("graph", "logit", "slot")}
PLAIN = {
    "imfpe": {"nl": "off"},
    "specific": {"first": "layer4", "purify": "none"},
    "purity": NO_PURITY,
    "modality": NO_MODALITY,
    "consistency": NO_CONSISTENCY,
}
ALONE = {
    "specific": {"on": False},
    "purity": NO_PURITY,
    "modality": {"specific": 0.0},
    "consistency": {kind: {"inter": 0.0} for kind in ("graph", "logit", "slot")},
    "ort": {"weight": 0.0},
}


def inputs_of(batch: Batch, network: Dselacfp) -> Tensor:
    masks = torch.cat([batch.erase.visible, batch.erase.infrared])
    return network.normalise(torch.cat([batch.visible, batch.infrared]), masks, batch.erase)


def opened(network: Dselacfp) -> Dselacfp:
    """Weights that start at 0, as after some training: switches behind them then show."""
    torch.manual_seed(9)
    for name, parameter in network.named_parameters():
        if name.endswith(("gamma", "logits")) or "fusion.out.1" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.0)
        elif name.endswith("classifier.weight"):
            torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()  # eval mode: the same statistics twice


def by_hand(network: Dselacfp, batch: Batch) -> tuple[Tensor, Tensor]:
    """Shared and specific maps, stage by stage; the specific one before it is purified."""
    trunk, count = network.trunk, len(batch.visible)
    features = inputs_of(batch, network)
    features = torch.cat([trunk.stem.visible(features[:count]), trunk.stem.infrared(features[count:])])
    low = trunk.layer2(network.lam["layer2"](trunk.layer1(features)))
    split = network.lam["layer3"](low)
    assert network.imfpe is not None
    shared = network.imfpe(low, trunk.layer3(split))
    if network.fusion is not None:
        shared = network.fusion(shared)
    if network.options.specific.first == "layer4":
        split = shared
    if network.options.last == "layer4":
        shared = trunk.layer4(shared)
    for stage in network.specific_stages.values():
        split = stage(split)
    return shared, split


def pooled_by_hand(network: Dselacfp, batch: Batch) -> list[Tensor]:
    """Pooled features of both branches, the specific map purified by IDKL's formula."""
    shared, specific = by_hand(network, batch)
    if network.purifier is not None:
        specific, *_ = purified_by_hand(network.purifier, specific)
    maps = zip((shared, specific), (network.shared, network.specific), strict=True)
    return [generalised_mean(features, branch.gem.power) for features, branch in maps]


def purified_by_hand(purifier: Purifier, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """m_X m_F (F + X), X, m_X X and m_F F."""
    mean, variance = features.mean((2, 3), keepdim=True), features.var((2, 3), keepdim=True, correction=0)
    normalized = (features - mean) / (variance + 1e-5).sqrt()
    masks = [
        torch.sigmoid(mlp[2](F.relu(mlp[0](value))))
        for mlp, value in ((purifier.normalized_mask, normalized), (purifier.mask, features))
    ]
    whole = masks[0] * masks[1] * (features + normalized)
    return whole, normalized, masks[0] * normalized, masks[1] * features


def jeffreys(first: Tensor, second: Tensor) -> Tensor:
    p, q = first.double().softmax(1), second.double().softmax(1)
    return ((p - q) * (p / q).log()).sum() / len(p)


def graph(features: Tensor) -> Tensor:
    rows = [
        [(features[i] - features[j]).detach().double().norm() for j in range(len(features)) if j != i]
        for i in range(len(features))
    ]
    return torch.tensor(rows, dtype=torch.float64)


def slots(logits: Tensor, labels: Tensor) -> Tensor:
    """Slot s: the logits of the s-th row of every identity, side by side."""
    names = labels.unique()
    return torch.stack([torch.cat([logits[labels == name][s] for name in names]) for s in range(2)])


@pytest.mark.parametrize("changes", [{}, {"last": "layer3"}], ids=str)
def test_total_of_the_reading(build: Build, batch: Batch, changes: dict[str, Any]) -> None:
    network = opened(build("dselacfp", changes))
    pooled = pooled_by_hand(network, batch)
    labels, count = batch.labels.repeat(2), len(batch.labels)
    expected, necks, logits = {"ort": 0.1 * cosine_orthogonality(*pooled)}, [], []
    for name, feature in zip(BRANCHES, pooled, strict=True):
        branch = network.get_submodule(name)
        necks.append(branch.neck(feature))
        logits.append(branch.classifier(necks[-1]))
        expected[f"identity_{name}"] = F.cross_entropy(logits[-1], labels)
        expected[f"hctri_{name}"] = hetero_center_triplet(feature, batch.labels, 0.3)
    modality = {"shared": [0, 1] * 4 + [1, 0] * 4, "specific": [0] * 8 + [1] * 8}
    for neck, (name, target) in zip(necks, modality.items(), strict=True):
        loss = F.cross_entropy(network.modality_heads[name](neck), torch.tensor(target))
        expected[f"modality_{name}"] = loss
    parts = {"graph": [graph(p[i : i + count]) for p in pooled for i in (0, count)]}
    parts["logit"] = [part for rows in logits for part in rows.chunk(2)]
    parts["slot"] = [slots(rows, batch.labels) for rows in parts["logit"]]
    for kind, (shared_v, shared_i, specific_v, specific_i) in parts.items():
        between = jeffreys(shared_v, specific_v) + jeffreys(shared_i, specific_i)
        expected[f"{kind}_intra"] = jeffreys(shared_v, shared_i)
        expected[f"{kind}_inter"] = (0.6 if kind == "graph" else 0.8) * between
    before = by_hand(network, batch)[1]
    assert network.purifier is not None
    assert network.purity_classifier is not None
    _, normalized, masked_normalized, masked = purified_by_hand(network.purifier, before)
    entropies = []
    for features in (masked, before):
        posterior = network.purity_classifier(network.specific.gem(features)).softmax(1)
        entropies.append(-(posterior * posterior.log()).sum(1))
    gain = torch.exp(F.relu(entropies[0] - entropies[1])) - 1
    expected["purity_entropy"] = 0.1 * gain.mean()
    gaps = []
    for features in (masked_normalized, normalized):
        rows = F.normalize(network.specific.gem(features))
        sides = rows.unflatten(0, (2, 4, 2)).mean(2)  # modality, identity
        gaps.append((sides[0] - sides[1]).norm(dim=1))
    expected["purity_centroid"] = 0.1 * F.relu(gaps[0] / gaps[1] - 0.9).mean()
    losses = network.losses(batch)
    assert losses.keys() == expected.keys() == TERMS
    for term, value in expected.items():
        torch.testing.assert_close(losses[term].double(), value.double(), rtol=1e-4, atol=1e-5)


def test_regdb_variant_has_no_layer4(build: Build) -> None:
    network = build("dselacfp", {"last": "layer3"})
    assert not hasattr(network.trunk, "layer4")
    assert list(network.specific_stages) == ["layer3"]
    assert network.shared.neck.num_features == network.trunk.channels["layer3"]


def test_specific_branch_starts_as_a_copy_and_is_its_own(build: Build) -> None:
    network = build("dselacfp")
    assert list(network.specific_stages) == ["layer3", "layer4"]
    for name, stage in network.specific_stages.items():
        pairs = zip(network.trunk.get_submodule(name).parameters(), stage.parameters(), strict=True)
        assert all(torch.equal(a, b) and a is not b for a, b in pairs)
    assert hasattr(network.trunk.stem, "infrared")
    assert network.shared.gem.power is not network.specific.gem.power


def gradient(loss: Tensor, parameters: Iterable[nn.Parameter]) -> float:
    learned = [p for p in parameters if p.requires_grad]
    gradients = torch.autograd.grad(loss, learned, retain_graph=True, allow_unused=True)
    return sum(float(g.square().sum()) for g in gradients if g is not None) ** 0.5


def test_every_term_acts_from_the_first_step(build: Build, batch: Batch) -> None:
    network = build("dselacfp").train()
    parameters = list(network.parameters())
    for term, loss in network.losses(batch).items():
        assert gradient(loss, parameters) > 1e-5, term


def test_an_exact_copy_would_leave_the_orthogonal_loss_stationary(build: Build, batch: Batch) -> None:
    network = build("dselacfp", PLAIN).train()
    parameters = list(network.parameters())
    assert gradient(network.losses(batch)["ort"], parameters) > 1e-4
    stage = network.specific_stages["layer4"]
    stage.load_state_dict(network.trunk.layer4.state_dict())
    losses = network.losses(batch)
    torch.testing.assert_close(losses["ort"], torch.tensor(0.1))
    assert gradient(losses["ort"], parameters) < 1e-6
    # A purifier or a loss that does not compare features needs no restart.
    for options in ({}, {**PLAIN, "ort": {"kind": "weights"}}, {**PLAIN, "ort": {"weight": 0.0}}):
        other = build("dselacfp", options)
        copies = zip(
            other.trunk.layer4.parameters(), other.specific_stages["layer4"].parameters(), strict=True
        )
        assert all(torch.equal(a, b) for a, b in copies)


def test_the_plain_recipe_has_the_plain_terms(build: Build, batch: Batch) -> None:
    recipe = load("dselacfp-plain.yaml", options_of=methods.options_type)
    assert methods.options_of("dselacfp", recipe.method.options) == methods.options_of("dselacfp", PLAIN)
    network = opened(build("dselacfp", PLAIN))
    absent = (network.fusion, network.purifier, network.restitution, network.purity_classifier)
    assert absent == (None, None, None, None)
    losses = network.losses(batch)
    assert losses.keys() == {"ort", *(f"{t}_{b}" for t in ("identity", "hctri") for b in BRANCHES)}
    shared, specific = pooled_by_hand(network, batch)
    torch.testing.assert_close(losses["ort"], 0.1 * cosine_orthogonality(shared, specific))


def test_embedding_is_the_shared_branch(build: Build, batch: Batch) -> None:
    for level in ("neck", "pooled"):
        network = opened(build("dselacfp", {"embed": level}))
        before = network.embed(batch.visible, Modality.VISIBLE)
        pooled = network.shared.gem(network.maps(network.normalise(batch.visible), Modality.VISIBLE)[0])
        expected = F.normalize(network.shared.neck(pooled) if level == "neck" else pooled)
        torch.testing.assert_close(before, expected)
        del network.specific_stages, network.specific, network.purifier, network.modality_heads
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
        {"imfpe": {"nl": "off"}},
        {"imfpe": {"low": "layer1", "high": "layer2"}},
        {"gem_power": 1.5},
        {"last": "layer3"},
    ],
    ids=str,
)
def test_switches_change_the_embedding(build: Build, batch: Batch, options: dict[str, Any]) -> None:
    plain, changed = opened(build("dselacfp")), opened(build("dselacfp", options))
    # Parts that both have hold the same values, so that only the switch differs.
    own, other = plain.state_dict(), changed.state_dict()
    same = {key: own[key] for key in other if key in own and own[key].shape == other[key].shape}
    changed.load_state_dict(
        same | ({"shared.gem.power": torch.tensor(1.5)} if "gem_power" in options else {}), strict=False
    )
    actual = changed.embed(batch.infrared, Modality.INFRARED)
    expected = plain.embed(batch.infrared, Modality.INFRARED)
    assert actual.shape != expected.shape or (actual - expected).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("kind", "loss"), [("cosine", cosine_orthogonality), ("deen", inner_products), ("weights", None)]
)
def test_three_readings_of_the_orthogonal_loss(
    build: Build, batch: Batch, kind: str, loss: Loss | None
) -> None:
    network = opened(build("dselacfp", {"ort": {"kind": kind, "weight": 0.7}}))
    if loss is None:
        rows = network.shared.classifier.weight, network.specific.classifier.weight
        expected = 0.7 * weight_orthogonality(*rows)
    else:
        expected = 0.7 * loss(*pooled_by_hand(network, batch))
    torch.testing.assert_close(network.losses(batch)["ort"], expected, rtol=1e-4, atol=1e-6)


def test_orthogonal_loss_after_the_necks(build: Build, batch: Batch) -> None:
    network = opened(build("dselacfp", {"ort": {"on": "neck"}}))
    rows = [
        net.neck(f)
        for net, f in zip((network.shared, network.specific), pooled_by_hand(network, batch), strict=True)
    ]
    torch.testing.assert_close(network.losses(batch)["ort"], 0.1 * cosine_orthogonality(*rows))


def test_restitution_by_hand(build: Build, batch: Batch) -> None:
    options = {"specific": {"purify": "restitute"}, "purity": NO_PURITY, "last": "layer3"}
    network = opened(build("dselacfp", options))
    features = by_hand(network, batch)[1]
    normalized = F.instance_norm(features)
    residual = features - normalized
    described = residual.clamp_min(1e-6).pow(3).mean((2, 3), keepdim=True).pow(1 / 3)
    mlp = network.restitution.mask
    expected = normalized + torch.sigmoid(mlp[2](F.relu(mlp[0](described)))) * residual
    assert network.restitution is not None
    torch.testing.assert_close(network.restitution(features), expected, rtol=1e-4, atol=1e-5)
    actual = network.losses(batch)["identity_specific"]
    logits = network.specific(network.specific.gem(expected)).logits
    torch.testing.assert_close(actual, F.cross_entropy(logits, batch.labels.repeat(2)), rtol=1e-4, atol=1e-5)


def test_weights_scale_their_terms(build: Build, batch: Batch) -> None:
    plain = opened(build("dselacfp")).losses(batch)
    options = {
        "identity_weight": 0.5,
        "hctri": {"weight": 3.0},
        "ort": {"weight": 0.2},
        "purity": {"entropy": 0.3, "centroid": 0.4},
        "modality": {"specific": 2.0, "shared": 0.25},
        "consistency": {
            "graph": {"intra": 0.5, "inter": 0.3},
            "logit": {"intra": 0.3, "inter": 1.6},
            "slot": {"intra": 5.0, "inter": 0.1},
        },
    }
    factors = {"identity": 0.5, "hctri": 3.0, "ort": 2.0, "purity_entropy": 3.0, "purity_centroid": 4.0}
    factors |= {"modality_specific": 2.0, "modality_shared": 0.25, "graph": 0.5, "logit_intra": 0.3}
    factors |= {"logit_inter": 2.0, "slot_intra": 5.0, "slot_inter": 0.125}
    scaled = opened(build("dselacfp", options)).losses(batch)
    for term, value in scaled.items():
        (factor,) = (f for name, f in factors.items() if term.startswith(name))
        torch.testing.assert_close(value, factor * plain[term], rtol=1e-4, atol=1e-6)


def test_weight_0_omits_a_term_and_its_modules(build: Build, batch: Batch) -> None:
    network = build("dselacfp", {"modality": {"shared": 0.0}, "purity": {"entropy": 0.0}})
    assert network.losses(batch).keys() == TERMS - {"modality_shared", "purity_entropy"}
    assert list(network.modality_heads) == ["specific"]
    assert network.purity_classifier is None
    for term in ("hctri", "ort"):
        losses = build("dselacfp", {term: {"weight": 0.0}}).losses(batch)
        assert losses.keys() == {name for name in TERMS if not name.startswith(term)}
    for kind in ("graph", "logit", "slot"):
        losses = build("dselacfp", {"consistency": {kind: {"intra": 0.0, "inter": 0.0}}}).losses(batch)
        assert losses.keys() == {name for name in TERMS if not name.startswith(kind)}
    alone = build("dselacfp", ALONE)
    intra = {"graph_intra", "logit_intra", "slot_intra"}
    assert alone.losses(batch).keys() == {"identity_shared", "hctri_shared", "modality_shared"} | intra
    assert not alone.specific_stages
    assert not hasattr(alone, "specific")


@pytest.mark.parametrize(
    ("options", "terms"),
    [
        ({"hctri": {"margin": 2.0}}, {"hctri_shared", "hctri_specific"}),
        ({"purity": {"form": "literal"}}, {"purity_centroid"}),
        ({"modality": {"target": "even"}}, {"modality_shared"}),
        ({"consistency": {"graph": {"sign": "near"}}}, {"graph_intra", "graph_inter"}),
        ({"consistency": {"graph": {"normalize": True}}}, {"graph_intra", "graph_inter"}),
        ({"consistency": {"graph": {"cross": "idkl"}}}, {"graph_intra"}),
        ({"ort": {"on": "neck"}}, {"ort"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_switches_change_their_terms_alone(
    build: Build, batch: Batch, options: dict[str, Any], terms: set[str]
) -> None:
    plain, changed = (opened(build("dselacfp", chosen)).losses(batch) for chosen in ({}, options))
    for term, value in plain.items():
        differs = abs(changed[term].item() - value.item()) > 1e-5 * max(1.0, abs(value.item()))
        assert differs == (term in terms), term


def test_order_of_an_identitys_images_matters_to_half_flips_and_slots_only(
    build: Build, batch: Batch
) -> None:
    order = torch.tensor([1, 0, 2, 3, 5, 4, 6, 7])
    moved = dataclasses.replace(
        batch,
        visible=batch.visible[order],
        infrared=batch.infrared[order],
        labels=batch.labels[order],
        erase=None,
    )
    network = opened(build("dselacfp"))
    plain, other = network.losses(dataclasses.replace(batch, erase=None)), network.losses(moved)
    changed = {t for t in plain if abs(plain[t].item() - other[t].item()) > 1e-4 * abs(plain[t].item())}
    assert changed == {"modality_shared", "slot_intra", "slot_inter"}


def test_detached_inter_terms_do_not_train_the_specific_branch(build: Build, batch: Batch) -> None:
    for detach, trained in (("none", True), ("specific", False)):
        network = build("dselacfp", {"consistency": {"detach": detach}}).train()
        losses = network.losses(batch)
        for term in ("graph_inter", "logit_inter", "slot_inter"):
            assert (gradient(losses[term], network.specific.parameters()) > 0.0) == trained
            assert gradient(losses[term], network.shared.parameters()) > 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"specific": {"on": False}}, "need the specific branch, but specific.on is false"),
        ({"specific": {"purify": "none"}}, "purity.entropy, purity.centroid act on the masks"),
        ({"last": "layer3", "specific": {"first": "layer4"}}, "after layer3"),
        ({"last": "layer3", "lam": {"before": ["layer4"]}}, "after layer3"),
        ({"last": "layer3", "imfpe": {"high": "layer4"}}, "after layer3"),
        ({"imfpe": {"low": "layer3", "high": "layer3"}}, "before high"),
        ({"imfpe": {"on": False, "align": "pool"}}, "while it is off"),
        ({"lam": {"kind": "idct", "freq": "top1"}}, "weighs all frequencies"),
        ({"lam": {"before": ["layer2", "layer2"]}}, "twice"),
    ],
)
def test_switches_without_effect_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        methods.options_of("dselacfp", options)


def test_more_parts_than_rows_are_a_usage_error(build: Build, batch: Batch) -> None:
    network = build("dselacfp", {"lam": {"parts": 9}})  # layer3 gets 8 rows of a 64x32 image
    with pytest.raises(UsageError, match="9 parts, but the input of layer3 has 8 rows"):
        network.losses(batch)


def test_a_yaml_off_is_read_as_the_word_off() -> None:
    options = methods.options_of("dselacfp", {"imfpe": {"nl": False}})
    assert isinstance(options, Options)
    assert options.imfpe.nl == "off"


@pytest.mark.parametrize("spec", [BackboneSpec("resnet34", width=16), BackboneSpec("resnet50", width=8)])
def test_narrow_networks_of_both_blocks(batch: Batch, spec: BackboneSpec) -> None:
    options = methods.options_of("dselacfp", {"lam": {"kind": "idct"}})
    network = methods.build("dselacfp", options, 5, spec)
    assert all(isinstance(layer, SpectrumMask) for layer in network.lam.values())
    sum(network.losses(batch).values()).backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_the_papers_sizes() -> None:
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


def test_recipe_is_the_papers_setting() -> None:
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


def test_regdb_recipe_ends_at_layer3() -> None:
    recipe, full = (load(name, options_of=methods.options_type) for name in ("dselacfp-regdb", "dselacfp"))
    weights = {"graph": {"intra": 0.0, "inter": 0.0}, "logit": {"inter": 0.3}, "slot": {"inter": 0.3}}
    changes = {"last": "layer3", "consistency": weights}
    expected = methods.options_of("dselacfp", changes)
    assert methods.options_of("dselacfp", recipe.method.options) == expected
    assert (recipe.train, recipe.data.size) == (full.train, full.data.size)
    assert [(r.protocol, r.rank1, r.mAP) for r in recipe.reported] == [
        ("v2i", 95.54, 92.10),
        ("i2v", 95.95, 92.79),
    ]


ROWS = [path for path in shipped() if path.stem.startswith("dselacfp-") and path.parent.name == "ablations"]


@pytest.mark.parametrize("path", ROWS, ids=lambda path: path.stem)
def test_rows_of_the_ablation_change_options_only(path: Path) -> None:
    row, full = (load(str(name), options_of=methods.options_type) for name in (path, "dselacfp.yaml"))
    assert row.method.options != full.method.options
    assert (row.data, row.backbone, row.train) == (full.data, full.backbone, full.train)
    assert row.reported == ()
