"""SEPG-Net: its total against the definition, each switch, and the cost of its losses."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pydantic
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.methods.conftest import Build
from vireid_cli import methods
from vireid_cli.backbones.spec import BackboneSpec, Streams
from vireid_cli.errors import UsageError
from vireid_cli.frequency.seg import grey_image, released_image, seg_image
from vireid_cli.layers.pooling import stripes
from vireid_cli.losses.center import cross_center, hetero_center
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.paba import paba
from vireid_cli.losses.triplet import batch_hard_triplet
from vireid_cli.methods.sepg.network import SepgNet
from vireid_cli.methods.sepg.options import Feature, Options
from vireid_cli.types import Batch, Modality

RELEASED = {"seg": {"mode": "released", "at_test": False}}


def inputs_of(network: SepgNet, batch: Batch) -> Tensor:
    """Input of the trunk in a training step."""
    captured = []
    network.trunk.stem.register_forward_pre_hook(lambda module, inputs: captured.append(inputs[0]))
    network.losses(batch)
    return captured[0]


def input_at_test(network: SepgNet, images: Tensor, modality: Modality) -> Tensor:
    captured = []
    network.trunk.stem.register_forward_pre_hook(lambda module, inputs: captured.append(inputs[0]))
    network.embed(images, modality)
    return captured[0]


def maps_of(network: SepgNet, images: Tensor, streams: Streams) -> tuple[Tensor, Tensor | None]:
    """Shared and specific map."""
    return network.maps(images, streams, specific=True)


def metric_of(network: SepgNet, batch: Batch, feature: Feature = "embedding") -> Tensor:
    """Unit features of a step, (n, 2B, D): chunk embeddings before dropout, or pooled chunks."""
    shared, _ = maps_of(network, network.inputs(batch), len(batch.visible))
    pooled = stripes(shared, network.options.chunks.n)
    features = network.chunk_heads.embed(pooled) if feature == "embedding" else pooled.permute(2, 0, 1)
    return F.normalize(features, dim=-1)


def test_total_of_the_paper(build: Build, batch: Batch) -> None:
    network = build("sepg").eval()  # eval mode: no dropout, the same statistics twice
    count, labels = len(batch.visible), batch.labels.repeat(2)
    images = torch.cat([seg_image(batch.visible), batch.infrared])
    masks = torch.cat([batch.erase.visible, batch.erase.infrared])
    features = network.normalise(images, masks, batch.erase)
    for stage in ("stem", "layer1", "layer2", "layer3"):
        features = network.trunk.get_submodule(stage)(features)
    layer4, heads = network.trunk.layer4, network.specific_heads
    own = [layer4.visible(features[:count]), layer4.infrared(features[count:])]
    logits = []
    for specific, head in zip(own, (heads.visible, heads.infrared), strict=True):
        embedding = head.embed(specific.mean(dim=(2, 3)).unsqueeze(-1))
        logits.append(head.classify(embedding)[0])
    pooled = F.adaptive_avg_pool2d(features, (12, 1)).squeeze(-1)
    chunks = network.chunk_heads.embed(pooled)
    expected = {
        "specific": F.cross_entropy(torch.cat(logits), labels),
        "paba": 2.5 * paba(F.normalize(pooled.permute(2, 0, 1), dim=-1), batch.labels, margin=0.5),
        "chunk": sum(F.cross_entropy(part, labels) for part in network.chunk_heads.classify(chunks)),
    }
    losses = network.losses(batch)
    assert losses.keys() == expected.keys()
    for term, value in expected.items():
        torch.testing.assert_close(losses[term], value, rtol=1e-4, atol=1e-5)


def test_stages_that_are_shared(build: Build) -> None:
    trunk = build("sepg").trunk
    assert hasattr(trunk.layer4, "infrared")
    for stage in ("stem", "layer1", "layer2", "layer3"):
        assert not hasattr(trunk.get_submodule(stage), "infrared")


@pytest.mark.parametrize(
    ("mode", "image"),
    [
        ("paper", seg_image),
        ("gray_only", grey_image),
        ("off", lambda pixels: pixels),
        (False, lambda pixels: pixels),
    ],
)
def test_seg_mode_before_erasing_and_normalising(
    build: Build, batch: Batch, mode: str | bool, image: Callable[[Tensor], Tensor]
) -> None:
    network = build("sepg", {"seg": {"mode": mode}})
    masks = torch.cat([batch.erase.visible, batch.erase.infrared])
    images = torch.cat([image(batch.visible), batch.infrared])
    expected = network.normalise(images, masks, batch.erase)
    torch.testing.assert_close(inputs_of(network, batch), expected)


def test_seg_mode_released_after_erasing_and_normalising(build: Build, batch: Batch) -> None:
    network = build("sepg", RELEASED)
    masks = torch.cat([batch.erase.visible, batch.erase.infrared])
    expected = network.normalise(torch.cat([batch.visible, batch.infrared]), masks, batch.erase)
    expected = torch.cat([released_image(expected[:8]), expected[8:]])
    torch.testing.assert_close(inputs_of(network, batch), expected)


@pytest.mark.parametrize(
    "switch",
    [
        {"amplitude": "unit"},
        {"amplitude": "one_over_rms"},
        {"phase_source": "gray"},
        {"abs": True},
        {"weight": 0.5},
        {"clip": False},
    ],
)
def test_seg_switches_reach_the_image(build: Build, batch: Batch, switch: dict[str, Any]) -> None:
    network = build("sepg", {"seg": switch}).eval()
    expected = network.normalise(seg_image(batch.visible, **switch))
    actual = input_at_test(network, batch.visible, Modality.VISIBLE)
    torch.testing.assert_close(actual, expected)
    assert (actual - network.normalise(seg_image(batch.visible))).abs().max() > 1e-3


def test_seg_at_test(build: Build, batch: Batch) -> None:
    for at_test, image in ((True, seg_image(batch.visible)), (False, batch.visible)):
        network = build("sepg", {"seg": {"at_test": at_test}}).eval()
        expected = network.normalise(image)
        torch.testing.assert_close(input_at_test(network, batch.visible, Modality.VISIBLE), expected)
    network = build("sepg").eval()
    expected = network.normalise(batch.infrared)
    torch.testing.assert_close(input_at_test(network, batch.infrared, Modality.INFRARED), expected)


def test_released_at_test_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="at_test: false"):
        methods.options_of("sepg", {"seg": {"mode": "released"}})


def test_gate_multiplies_the_shared_map(build: Build, batch: Batch) -> None:
    open_, gated = build("sepg"), build("sepg", {"gate": True})
    images = torch.randn(2, 3, 64, 32)
    plain, specific = maps_of(open_.eval(), images, Modality.INFRARED)
    shared, _ = maps_of(gated.eval(), images, Modality.INFRARED)
    torch.testing.assert_close(shared, plain * specific.mean(1, keepdim=True).sigmoid())


@pytest.mark.parametrize(
    ("options", "runs"),
    [({}, False), ({"gate": True}, True), ({"embed": {"parts": "chunks+specific"}}, True)],
)
def test_layer_4_runs_at_test_only_if_it_changes_the_embedding(
    build: Build, batch: Batch, options: dict[str, Any], runs: bool
) -> None:
    network, calls = build("sepg", options).eval(), []
    network.trunk.layer4.infrared.register_forward_hook(lambda *_: calls.append(1))
    network.embed(batch.infrared, Modality.INFRARED)
    assert bool(calls) is runs


def test_modules_without_a_loss_are_not_built(build: Build, batch: Batch) -> None:
    network = build("sepg", {"specific_weight": 0.0})
    assert not hasattr(network.trunk, "layer4")
    assert network.losses(batch).keys() == {"chunk", "paba"}
    alone = {"chunk_weight": 0.0, "paba": {"weight": 0.0}, "embed": {"parts": "specific"}}
    network = build("sepg", alone)
    assert not hasattr(network, "chunk_heads")
    losses = network.losses(batch)
    assert losses.keys() == {"specific"}
    for options in (
        {"chunk_weight": 0.0, "paba": {"weight": 0.0}},
        {"specific_weight": 0.0, "embed": {"parts": "specific"}},
    ):
        with pytest.raises(pydantic.ValidationError, match=r"embed\.parts"):
            methods.options_of("sepg", options)


@pytest.mark.parametrize(
    "options",
    [
        {"gate": True},
        {"specific_weight": 0.0},
        {"chunk_weight": 0.0, "paba": {"feature": "embedding"}},
        {"paba": {"feature": "embedding"}},
        {"embed": {"parts": "chunks+specific"}},
        RELEASED,
    ],
)
def test_every_parameter_learns_under_every_switch(
    build: Build, batch: Batch, options: dict[str, Any]
) -> None:
    network = build("sepg", options)
    sum(network.losses(batch).values()).backward()
    assert [key for key, parameter in network.named_parameters() if parameter.grad is None] == []


def test_weights_scale_their_terms(build: Build, batch: Batch) -> None:
    plain = build("sepg").eval().losses(batch)
    scaled = (
        build("sepg", {"specific_weight": 2.0, "chunk_weight": 0.5, "paba": {"weight": 5.0}})
        .eval()
        .losses(batch)
    )
    for term, factor in (("specific", 2.0), ("chunk", 0.5), ("paba", 2.0)):
        torch.testing.assert_close(scaled[term], factor * plain[term])


@pytest.mark.parametrize(
    "switch", [{"margin": 0.9}, {"dist": "l2sq"}, {"dist": "cos"}, {"negative": "centre"}]
)
def test_paba_switches_reach_the_loss(build: Build, batch: Batch, switch: dict[str, Any]) -> None:
    network = build("sepg", {"paba": switch}).eval()
    expected = 2.5 * paba(metric_of(network, batch, "pooled"), batch.labels, **{"margin": 0.5, **switch})
    actual = network.losses(batch)["paba"]
    torch.testing.assert_close(actual, expected)
    assert (actual - build("sepg").eval().losses(batch)["paba"]).abs() > 1e-4


def test_paba_anchor_gradient(build: Build, batch: Batch) -> None:
    gradients = []
    for anchor_grad in (True, False):
        network = build("sepg", {"paba": {"anchor_grad": anchor_grad}}).eval()
        network.losses(batch)["paba"].backward()
        gradients.append(network.trunk.stem[0].weight.grad)
    assert (gradients[0] - gradients[1]).abs().max() > 1e-6


@pytest.mark.parametrize("feature", ["pooled", "embedding"])
def test_paba_s_feature(build: Build, batch: Batch, feature: Feature) -> None:
    network = build("sepg", {"paba": {"feature": feature}}).eval()
    expected = 2.5 * paba(metric_of(network, batch, feature), batch.labels)
    torch.testing.assert_close(network.losses(batch)["paba"], expected)


def test_paba_acts_on_the_trunk_and_draws_the_modalities_together(build: Build, batch: Batch) -> None:
    network = build("sepg").train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02)
    assert network.monitors() == {}
    aligned, cosines, gradients = [], [], []
    for _ in range(4):
        losses = network.losses(batch)
        optimizer.zero_grad()
        losses["paba"].backward()
        gradients.append(network.trunk.stem[0].weight.grad.norm().item())
        optimizer.step()
        aligned.append(losses["paba"].item())
        cosines.append(network.monitors()["paba.cosine"].item())
    assert gradients[0] > 1e-6
    assert aligned[-1] < 0.95 * aligned[0]
    assert min(cosines) > 0.0, "features after a relu cannot be antipodal"


def test_modalities_at_opposite_poles_are_a_degenerate_minimum_of_paba_on_signed_features() -> None:
    """The loss is then the margin per direction for any labels, and its gradient is 0."""
    pole = F.normalize(torch.randn(1, 1, 32, dtype=torch.float64), dim=-1)
    features = torch.cat([pole.expand(3, 8, 32), -pole.expand(3, 8, 32)], dim=1).clone().requires_grad_()
    labels = torch.arange(4).repeat_interleave(2)
    loss = paba(F.normalize(features, dim=-1), labels, margin=0.5)
    torch.testing.assert_close(loss, torch.tensor(3 * 2 * 0.5, dtype=torch.float64))
    loss.backward()
    assert features.grad.abs().max() < 1e-9


def test_monitored_cosine_is_the_mean_over_all_pairs_of_the_two_modalities(
    build: Build, batch: Batch
) -> None:
    network = build("sepg", {"chunks": {"dropout": 0.0}}).train()
    metric = metric_of(network, batch, network.options.paba.feature)
    network.losses(batch)
    visible, infrared = metric.split(len(batch.visible), dim=1)  # (n, B, D)
    expected = torch.stack([a @ b.T for a, b in zip(visible, infrared, strict=True)]).mean()
    torch.testing.assert_close(network.monitors()["paba.cosine"], expected)


def test_other_metric_losses(build: Build, batch: Batch) -> None:
    options = {
        "cc": {"weight": 2.5},
        "hc": {"weight": 0.5, "margin": 0.1, "feature": "embedding"},
        "aux_triplet": {"weight": 2.0, "margin": 0.4},
    }
    network = build("sepg", options).eval()
    metric, losses = metric_of(network, batch), network.losses(batch)
    torch.testing.assert_close(losses["cc"], 2.5 * cross_center(metric, batch.labels, 0.0, 0.5))
    torch.testing.assert_close(losses["hc"], 0.5 * hetero_center(metric, batch.labels, 0.1))
    expected = 2.0 * batch_hard_triplet(metric, batch.labels.repeat(2), 0.4)
    torch.testing.assert_close(losses["aux_triplet"], expected)
    centred = build("sepg", {"hc": {"weight": 0.5, "margin": 0.01}}).eval()
    expected = 0.5 * hetero_center(metric_of(centred, batch, "pooled"), batch.labels, 0.01)
    torch.testing.assert_close(centred.losses(batch)["hc"], expected)
    changed = build("sepg", {"cc": {"weight": 2.5, "margin": 0.2, "centre_gap": 0.0}}).eval().losses(batch)
    torch.testing.assert_close(changed["cc"], 2.5 * cross_center(metric, batch.labels, 0.2, 0.0))


def test_metric_feature_before_or_after_dropout(build: Build, batch: Batch) -> None:
    for when, random in (("before_dropout", False), ("after_dropout", True)):
        chunks = {"metric_feature": when, "dropout": 0.7}
        network = build("sepg", {"chunks": chunks, "paba": {"feature": "embedding"}}).train()
        first, second = (network.losses(batch) for _ in range(2))
        assert (abs(first["paba"].item() - second["paba"].item()) > 1e-5) is random
        assert abs(first["chunk"].item() - second["chunk"].item()) > 1e-6


def test_chunks(build: Build, batch: Batch) -> None:
    network = build("sepg", {"chunks": {"n": 5, "features": 32}}).eval()
    assert network.embed(batch.visible, Modality.VISIBLE).shape == (8, 5 * 32)


@pytest.mark.parametrize(
    ("parts", "norm"),
    [
        ("chunks", "block"),
        ("chunks", "whole"),
        ("specific", "block"),
        ("chunks+specific", "block"),
        ("chunks+specific", "whole"),
    ],
)
def test_embedding(build: Build, batch: Batch, parts: str, norm: str) -> None:
    network = build("sepg", {"embed": {"parts": parts, "norm": norm}}).eval()
    shared, specific = maps_of(network, network.normalise(batch.infrared), Modality.INFRARED)
    blocks = list(network.chunk_heads.embed(stripes(shared, 12))) if "chunks" in parts else []
    if "specific" in parts:
        blocks.append(network.specific_heads.infrared.embed(specific.mean(dim=(2, 3)).unsqueeze(-1))[0])
    if norm == "block":
        blocks = [F.normalize(block) / math.sqrt(len(blocks)) for block in blocks]
    expected = F.normalize(torch.cat(blocks, dim=1))
    torch.testing.assert_close(
        network.embed(batch.infrared, Modality.INFRARED), expected, rtol=1e-4, atol=1e-6
    )


def test_similarity_is_the_mean_of_the_chunks_cosines(build: Build, batch: Batch) -> None:
    network = build("sepg").eval()
    first, second = network.embed(batch.infrared[:2], Modality.INFRARED).unflatten(1, (12, 512))
    cosines = F.cosine_similarity(first, second)
    torch.testing.assert_close((first * second).sum(), cosines.mean())


def test_gate_needs_stride_1(build: Build, batch: Batch) -> None:
    with pytest.raises(UsageError, match="gate"):
        build("sepg", {"gate": True}, last_stride=2)
    network = build("sepg", last_stride=2)
    assert network.embed(batch.visible, Modality.VISIBLE).shape == (8, 12 * 512)


class Counting(TorchDispatchMode):
    """Counts the operations of the dispatcher, views included, and those that wait for the device."""

    WAITS = (
        "_local_scalar_dense",
        "nonzero",
        "item",
        "unique",
        "is_nonzero",
        "masked_select",
        "equal.default",
    )

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.waits: list[str] = []

    def __torch_dispatch__(
        self,
        function: Callable[..., object],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        self.operations += 1
        if any(wait in str(function) for wait in self.WAITS):
            self.waits.append(str(function))
        # A mask as an index is counted by the device before anything is read.
        indices = args[1] if "index.Tensor" in str(function) else []
        if any(index is not None and index.dtype == torch.bool for index in indices):
            self.waits.append(str(function))
        return function(*args, **(kwargs or {}))


def counted(loss: Callable[[], Tensor]) -> Counting:
    with Counting() as counting:
        loss().backward()
    return counting


def test_losses_on_12_parts_of_112_images_take_few_operations_and_no_host_synchronisation() -> None:
    labels = torch.arange(8).repeat_interleave(7)
    features = torch.randn(12, 112, 512, requires_grad=True)
    logits = torch.randn(12, 112, 395, requires_grad=True)

    def paper() -> Tensor:
        metric = F.normalize(features, dim=-1)
        return identity_loss(logits, labels.repeat(2)) + 2.5 * paba(metric, labels)

    def released() -> Tensor:
        metric, both = F.normalize(features, dim=-1), labels.repeat(2)
        aligned = batch_hard_triplet(metric, both) + 2.5 * cross_center(metric, labels, 0.0, 0.5)
        return identity_loss(logits, both) + aligned

    for loss in (paper, released):
        count = counted(loss)
        assert count.operations <= 200
        assert count.waits == []


def test_the_profiler_counts_the_same(batch: Batch) -> None:
    """The profiler's events that no other operation called, and none of those that wait for a device."""
    labels = torch.arange(8).repeat_interleave(7)
    features = torch.randn(12, 112, 512, requires_grad=True)
    logits = torch.randn(12, 112, 395, requires_grad=True)

    def step() -> None:
        metric = F.normalize(features, dim=-1)
        (identity_loss(logits, labels.repeat(2)) + 2.5 * paba(metric, labels)).backward()

    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        step()
    events = [event for event in profiler.events() if event.name.startswith("aten::")]
    outer = [e for e in events if e.cpu_parent is None or not e.cpu_parent.name.startswith("aten::")]
    waiting = [
        e.name for e in events if e.name in ("aten::item", "aten::_local_scalar_dense", "aten::nonzero")
    ]
    assert 50 < len(outer) <= 300
    assert len(waiting) <= 1


def test_a_whole_step_after_the_trunk_takes_at_most_300_operations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pooling, heads and all losses of the paper at 112 images × 12 chunks, forward and backward."""
    torch.manual_seed(0)
    network = SepgNet(Options(), 395, BackboneSpec("resnet18")).train()
    labels = torch.arange(8).repeat_interleave(7)
    shared = torch.randn(112, network.trunk.channels["layer3"], 18, 9, requires_grad=True)
    specific = torch.randn(112, network.trunk.channels["layer4"], 18, 9, requires_grad=True)
    monkeypatch.setattr(network, "inputs", lambda batch: shared)
    monkeypatch.setattr(network, "maps", lambda images, streams, **_: (shared, specific))
    images = torch.zeros(56, 3, 1, 1)
    step = Batch(images, images, labels)
    count = counted(lambda: torch.stack(list(network.losses(step).values())).sum())
    assert count.operations <= 300
    assert count.waits == []


@pytest.mark.parametrize("mode", ["off", "gray_only", "released"])
@pytest.mark.parametrize(
    "options",
    [{"amplitude": "unit"}, {"phase_source": "gray"}, {"abs": True}, {"weight": 0.5}, {"clip": False}],
)
def test_options_of_an_absent_phase_image_are_refused(mode: str | bool, options: dict[str, Any]) -> None:
    seg = {"mode": mode} if mode == "off" else {"mode": mode, "at_test": False}
    allowed = methods.options_of("sepg", {"seg": seg})
    assert isinstance(allowed, Options)
    assert allowed.seg.mode == mode
    with pytest.raises(
        pydantic.ValidationError, match=f"has no phase image: {next(iter(options))} has no effect"
    ):
        methods.options_of("sepg", {"seg": seg | options})
