"""SFCL: its base, its start, its paths, and every switch."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.methods.conftest import Build
from tests.tensors import parameter_count
from vireid_cli import methods
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.errors import UsageError
from vireid_cli.exporters.onnx import export_onnx
from vireid_cli.layers.cfam import Spectral
from vireid_cli.layers.pooling import generalised_mean
from vireid_cli.losses.fad import frequency_contrast, semantic_consistency
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.triplet import weighted_regularised_triplet
from vireid_cli.methods import TrainingImages
from vireid_cli.methods.sfcl.network import Sfcl
from vireid_cli.types import Batch, Exchange, Modality

Trained = Callable[..., Sfcl]

SMALL = {"cfam": {"dim": 16}, "tm": {"state": 2}, "sfim": {"rank": 4, "hidden": 16}}
OFF = {"cfam": {"on": False}, "sfim": {"on": False}, "cfc": {"on": False}, "csc": {"on": False}}


def small(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    options = {key: dict(value) for key, value in SMALL.items()}
    for key, value in (changes or {}).items():
        options[key] = options.get(key, {}) | value if isinstance(value, dict) else value
    return options


def plain(batch: Batch, modality: Modality) -> Tensor:
    return batch.visible if modality is Modality.VISIBLE else batch.infrared


def training_images(batch: Batch) -> TrainingImages:
    """The batch as the training set, in batches of 3."""
    return lambda modality: iter(plain(batch, modality).split(3))


@pytest.fixture
def trained(build: Build) -> Trained:
    """A function from changed options to a network in eval mode with all parameters moved off their start."""

    def make(changes: dict[str, Any] | None = None) -> Sfcl:
        network = build("sfcl", small(changes))
        generator = torch.Generator().manual_seed(1)
        for name, parameter in network.named_parameters():
            if not name.startswith("trunk"):
                parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
        torch.nn.init.normal_(network.classifier.weight, generator=generator)
        return network.eval()

    return make


def test_the_base_is_agw_to_the_parameter() -> None:
    spec = BackboneSpec("resnet50")
    with torch.device("meta"):
        base = methods.build("sfcl", methods.options_of("sfcl", OFF), 395, spec)
        full = methods.build("sfcl", methods.options_of("sfcl", {}), 395, spec)
    assert parameter_count(base) - parameter_count(base.get_submodule("classifier")) == 23_550_351
    # Reported: 23.55, 60.85 and 70.50 M.
    assert (
        round(
            (parameter_count(full.get_submodule("cfam")) - full.get_parameter("cfam.positions").numel())
            / 1e6,
            2,
        )
        == 38.12
    )
    assert (
        round(
            (parameter_count(full.get_submodule("sfim")) + parameter_count(full.get_submodule("gabor")))
            / 1e6,
            2,
        )
        == 9.71
    )


@pytest.mark.parametrize(
    "changes", [{}, {"sfim": {"on": False}}, {"inference": "none"}, {"inference": "prototype"}]
)
def test_it_starts_from_the_base_s_embedding(build: Build, batch: Batch, changes: dict[str, Any]) -> None:
    network, base = build("sfcl", small(changes)).eval(), build("sfcl", OFF).eval()
    with torch.no_grad():
        network.calibrate(training_images(batch))
    base.load_state_dict(network.state_dict(), strict=False)
    agw = build("agw").eval()
    agw.load_state_dict(network.state_dict(), strict=False)
    for modality in Modality:
        expected = agw.embed(batch.visible, modality)
        torch.testing.assert_close(base.embed(batch.visible, modality), expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(network.embed(batch.visible, modality), expected, rtol=0, atol=2e-4)


def inputs(network: Sfcl, batch: Batch) -> Tensor:
    return network.trunk(network.inputs(batch), 8)


def test_losses_of_both_paths(trained: Trained, batch: Batch) -> None:
    network = trained({"triplet_weight": 0.5, "cfc": {"tau": 0.3}, "csc": {"k": 2}})
    features = inputs(network, batch)
    visible, infrared = network.encode(features[:8]), network.encode(features[8:])
    cfam, size = network.cfam, (features.shape[2], features.shape[3])
    aligned = cfam.align(visible, infrared)
    alone = cfam.alone(visible, Modality.VISIBLE), cfam.alone(infrared, Modality.INFRARED)
    cross, own = (torch.cat([network.rebuild(side, size) for side in path]) for path in (aligned, alone))
    assert network.sfim is not None
    assert network.gabor is not None
    pooled = [network.sfim(features, maps, network.gabor(maps)) for maps in (cross, own)]
    logits = [network.classifier(network.neck(feature)) for feature in pooled]
    labels = batch.labels.repeat(2)
    rows = F.normalize(network.contrast(generalised_mean(cross.relu(), 3.0)))
    expected = {
        "identity": sum(identity_loss(x, labels) for x in logits) / 2,
        "wrt": 0.5 * sum(weighted_regularised_triplet(x, labels) for x in pooled) / 2,
        "cfc": frequency_contrast(rows[:8], rows[8:], batch.labels, 0.3),
        "csc": 0.8 * semantic_consistency(pooled[0], logits[0], 8, 2),
    }
    losses = network.losses(batch)
    assert losses.keys() == expected.keys()
    for term, value in expected.items():
        torch.testing.assert_close(losses[term], value, rtol=1e-4, atol=1e-5)
    assert (cross - own).abs().max() > 1e-3


def test_one_image_alone_is_one_of_its_own_path(trained: Trained, batch: Batch) -> None:
    """The path `self` computes the same features as the embedding."""
    network = trained()
    features = inputs(network, dataclasses.replace(batch, erase=None, exchange=None))
    own = network.paths(features[:8], features[8:], batch.labels)[1]
    pooled = network.fuse(own.spatial, own.frequency)
    for rows, images, modality in (
        (slice(0, 8), batch.visible, Modality.VISIBLE),
        (slice(8, 16), batch.infrared, Modality.INFRARED),
    ):
        expected = F.normalize(network.neck(pooled[rows]))
        torch.testing.assert_close(network.embed(images, modality), expected, rtol=1e-4, atol=1e-5)


def test_channels_of_the_visible_view_are_exchanged_after_normalising(trained: Trained, batch: Batch) -> None:
    """As in CAJ, the channels of such an image are equal for the network, although their means differ."""
    weights = torch.zeros(len(batch.labels), 3)
    weights[::2, 1] = 1.0
    exchange = Exchange(torch.zeros_like(weights), visible=weights)
    images = trained().inputs(dataclasses.replace(batch, erase=None, exchange=exchange))
    plain = trained().inputs(dataclasses.replace(batch, erase=None, exchange=None))
    for channel in range(3):
        torch.testing.assert_close(images[: len(weights)][::2, channel], plain[: len(weights)][::2, 1])
    assert torch.equal(images[: len(weights)][1::2], plain[: len(weights)][1::2])
    assert torch.equal(images[len(weights) :], plain[len(weights) :]), "infrared"


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        (OFF, {"identity", "wrt"}),
        ({"sfim": {"on": False}, "cfc": {"on": False}, "csc": {"on": False}}, {"identity", "wrt"}),
        ({"cfam": {"on": False}, "cfc": {"on": False}}, {"identity", "wrt", "csc"}),
        ({"cfc": {"weight": 0.0}}, {"identity", "wrt", "csc"}),
        ({"csc": {"weight": 0.0}, "triplet_weight": 0.0}, {"identity", "cfc"}),
        ({"train_paths": ["cross"]}, {"identity", "wrt", "cfc", "csc"}),
        ({"train_paths": ["self"]}, {"identity", "wrt", "cfc", "csc"}),
        ({"sfim": {"residual": False}}, {"identity", "wrt", "cfc", "csc"}),
        ({"ot": {"on": False}}, {"identity", "wrt", "cfc", "csc"}),
        ({"cfam": {"phase_repr": "angle"}, "tm": {"depth": 2}}, {"identity", "wrt", "cfc", "csc"}),
    ],
)
def test_modules_that_are_on_are_computed_and_learn(
    build: Build, batch: Batch, changes: dict[str, Any], terms: set[str]
) -> None:
    network = build("sfcl", small(changes))
    losses = network.losses(batch)
    assert losses.keys() == terms
    sum(losses.values()).backward()
    idle = {name for name, p in network.named_parameters() if p.requires_grad and p.grad is None}
    bypassed = {"cfam.fusion", "cfam.gamma"} if changes.get("train_paths") == ["self"] else set()
    assert idle == bypassed


@pytest.mark.parametrize(
    "changes",
    [
        {"cfam": {"phase_repr": "angle"}},
        {"tm": {"depth": 2}},
        {"ot": {"on": False}},
        {"ot": {"eps": 0.5}},
        {"ot": {"iters": 1, "eps": 0.01}},
        {"ot": {"marginals": "energy"}},
        {"ot": {"space": "amplitude"}},
        {"ot": {"direction": "both"}},
        {"sfim": {"residual": False}},
        {"gabor": {"domain": "rows"}},
        {"gabor": {"keep_dc": True}},
        {"attn": "softmax_gate"},
        {"cfc": {"positives": "diag"}},
        {"cfc": {"tau": 0.2}},
        {"cfc": {"norm": "none"}},
        {"csc": {"k": 1}},
        {"train_paths": ["cross"]},
        {"pair": "same_id_shuffled"},
        {"caj_views": 2},
        {"gem_power": 2.0},
    ],
)
def test_switches_reach_the_losses(trained: Trained, batch: Batch, changes: dict[str, Any]) -> None:
    torch.manual_seed(3)
    plain, changed = trained().losses(batch), trained(changes).losses(batch)
    assert max(abs(plain[term].item() - changed[term].item()) for term in plain) > 1e-6


@pytest.mark.parametrize(("switch", "option"), [("ot", {"grad": "detach_plan"}), ("csc", {"detach": False})])
def test_switches_reach_the_gradient(
    trained: Trained, batch: Batch, switch: str, option: dict[str, Any]
) -> None:
    gradients = []
    for changes in ({}, {switch: option}):
        network = trained({"ot": {"eps": 0.05}, **changes})
        sum(network.losses(batch).values()).backward()
        gradients.append(network.cfam.amplitude_in.weight.grad)
    assert (gradients[0] - gradients[1]).abs().max() > 1e-7


def test_without_its_norm_the_contrast_is_flat(build: Build, batch: Batch) -> None:
    """Pooled maps of random weights share one direction: L_cfc is the ln 8 of equal similarities."""
    for norm, flat in (("none", True), ("batch", False)):
        network = build("sfcl", small({"cfc": {"norm": norm, "positives": "diag"}}))
        loss = network.losses(batch)["cfc"]
        assert (abs(loss.item() - math.log(8)) < 0.1) == flat


def test_gabor_that_does_not_learn(build: Build) -> None:
    assert not any(
        p.requires_grad for p in build("sfcl", small({"gabor": {"learn": False}})).gabor.parameters()
    )


def test_partners_at_test(trained: Trained, batch: Batch) -> None:
    embeddings = {}
    for pair in ("self", "prototype", "none"):
        network = trained({"inference": pair})
        with torch.no_grad():
            network.calibrate(training_images(batch))
        embeddings[pair] = network.embed(batch.infrared, Modality.INFRARED)
        alone = network.embed(batch.infrared[2:3], Modality.INFRARED)
        torch.testing.assert_close(alone, embeddings[pair][2:3], rtol=0, atol=1e-5)
    for first, second in (("self", "prototype"), ("self", "none"), ("prototype", "none")):
        assert (embeddings[first] - embeddings[second]).abs().max() > 1e-4


def test_a_saved_prototype_is_loaded(trained: Trained, batch: Batch, build: Build) -> None:
    network = trained({"inference": "prototype"})
    with torch.no_grad():
        network.calibrate(training_images(batch))
    fresh = build("sfcl", small({"inference": "prototype"})).eval()
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(
        fresh.embed(batch.visible, Modality.VISIBLE), network.embed(batch.visible, Modality.VISIBLE)
    )


def test_prototype_by_hand(trained: Trained, batch: Batch) -> None:
    """Attention to the other modality's mean tokens and transport of them; the phase is the image's own."""
    network = trained({"inference": "prototype"})
    with torch.no_grad():
        network.calibrate(training_images(batch))
        spatial = {m: network.trunk(network.normalise(plain(batch, m)), m) for m in Modality}
        encoded = {m: network.encode(maps) for m, maps in spatial.items()}
        means = {
            m: Spectral(*(part.mean(0, keepdim=True).expand_as(part) for part in dataclasses.astuple(side)))
            for m, side in encoded.items()
        }
        for m in Modality:
            cfam = network.cfam
            attended = cfam.attend(encoded[m], means[m.other], m)
            if m is Modality.VISIBLE:
                partner = cfam.attend(means[m.other], encoded[m], m.other)
                attended = cfam.move(attended, partner)[0]
            size = (spatial[m].shape[2], spatial[m].shape[3])
            maps = network.rebuild(cfam.decode(attended, cfam.phasor(attended)), size)
            expected = F.normalize(network.neck(network.fuse(spatial[m], maps)))
            torch.testing.assert_close(network.embed(plain(batch, m), m), expected, rtol=1e-4, atol=1e-5)


def test_missing_prototypes_are_refused(trained: Trained, batch: Batch) -> None:
    network = trained({"inference": "prototype"})
    with pytest.raises(UsageError, match="no mean tokens of the training images"):
        network.embed(batch.visible, Modality.VISIBLE)


def test_monitors(trained: Trained, build: Build, batch: Batch) -> None:
    network = build("sfcl", small())
    assert network.monitors().keys() == {"cfam.omega", "cfam.gamma", "sfim.beta"}
    network.losses(batch)
    start = {name: value.item() for name, value in network.monitors().items()}
    assert start.pop("cfam.change") < 1e-3  # CFAM starts as the identity
    assert set(start.values()) == {0.0}
    changed = trained()
    changed.losses(batch)
    values = changed.monitors()
    assert not any(value.requires_grad for value in values.values())
    assert values["cfam.change"] > 0.01
    features = inputs(changed, batch)
    paths = changed.paths(features[:8], features[8:], batch.labels)
    expected = (paths[0].frequency - paths[0].spatial).norm() / paths[0].spatial.norm()
    torch.testing.assert_close(values["cfam.change"], expected)
    assert build("sfcl", OFF).monitors() == {}


def test_two_visible_views(trained: Trained, batch: Batch) -> None:
    network = trained({"caj_views": 2})
    images = network.inputs(batch)
    assert images.shape[0] == 24
    features = network.trunk(images, 16)
    path = network.paths(features[:16], features[16:], batch.labels)[0]
    torch.testing.assert_close(path.spatial[16:24], path.spatial[24:])  # each infrared image is paired twice
    torch.testing.assert_close(path.spatial[8:16], features[8:16])
    with pytest.raises(ValueError, match="second_view"):
        network.losses(dataclasses.replace(batch, second=None))


def test_decay_spares_scalars_norms_positions_and_the_scan(build: Build) -> None:
    network = build("sfcl", small())
    groups = {group.name: group for group in network.parameter_groups()}
    names = {id(p): name for name, p in network.named_parameters()}
    spared = {names[id(p)] for p in groups["undecayed"].parameters}
    assert not groups["undecayed"].weight_decay
    scan = "cfam.blocks.0.scan."
    for name in (
        *("cfam.gamma", "cfam.fusion", "cfam.positions", "sfim.beta", "sfim.threshold", "gabor.center"),
        *(scan + "decay_log", scan + "skip", scan + "step_bias", scan + "norm.weight"),
        "cfam.blocks.0.scan_norm.bias",
    ):
        assert name in spared
    assert not any(name.startswith(("trunk", "neck", "classifier", "sfim.mlp")) for name in spared)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cfam": {"on": False}}, "cfc"),
        ({"train_paths": []}, "train_paths"),
        ({"train_paths": ["self", "self"]}, "train_paths"),
        ({"train_paths": ["self"], "inference": "prototype"}, "prototype"),
        ({"cfam": {"dim": 100}}, "multiple of 8"),
    ],
)
def test_options_that_contradict(options: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        methods.options_of("sfcl", options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inference", "modality"), [("self", Modality.INFRARED), ("prototype", Modality.VISIBLE)]
)
@pytest.mark.long
def test_onnx_of_the_whole_method(
    trained: Trained, batch: Batch, tmp_path: Path, inference: str, modality: Modality
) -> None:
    pytest.importorskip("onnxscript")
    network = trained({"inference": inference})
    with torch.no_grad():
        network.calibrate(training_images(batch))
    report = export_onnx(network, tmp_path, {modality: plain(batch, modality)})
    assert report.largest_difference < 1e-4
    assert report.nodes["Scan"] == 1
    assert sum(report.nodes.values()) < 700
