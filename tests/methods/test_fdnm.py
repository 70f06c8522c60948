"""FDNM: its total against the definition, and each switch."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.methods.conftest import Build
from vireid_cli import methods
from vireid_cli.losses.nuances import nuances_mining
from vireid_cli.losses.triplet import batch_hard_triplet
from vireid_cli.methods.fdnm.network import Fdnm
from vireid_cli.methods.fdnm.options import Options
from vireid_cli.recipe.load import load
from vireid_cli.types import Batch, Modality

Pool = Callable[[Tensor], Tensor]
Pooled = dict[tuple[int, int], Tensor]
"""Features by branch and part."""

PLAIN = {"anm": {"on": False}, "cnm": {"on": False}}


def pooled_by_hand(network: Fdnm, batch: Batch, pool: Pool | None = None) -> Pooled:
    """Features of the branches, the global one and four parts each: {(branch, part): (2B, D)}."""
    pixels = torch.cat([batch.visible, batch.infrared])
    masks = torch.cat([batch.erase.visible, batch.erase.infrared])
    features, count = network.normalise(pixels, masks, batch.erase), len(batch.visible)
    for stage in ("stem", "layer1", "layer2", "layer3", "layer4"):
        features = network.trunk.run(stage, features, count)
        if stage in network.options.agp.after:
            features = network.agp[stage](features)
    branches = network.anm(features).chunk(2) if network.options.anm.on else [features]
    pool = pool or (lambda x: x.mean(dim=(2, 3)))
    pooled: Pooled = {}
    for b, maps in enumerate(branches):
        rows = maps.shape[2] // 4
        parts = [maps] + [maps[:, :, i * rows : (i + 1) * rows] for i in range(4)]
        pooled |= {(b, p): pool(part) for p, part in enumerate(parts)}
    return pooled


def test_total_of_the_paper(build: Build, batch: Batch) -> None:
    network = build("fdnm").eval()  # eval mode: the same statistics twice
    features, both = pooled_by_hand(network, batch), batch.labels.repeat(2)
    identity, triplet, cnm = ([torch.zeros(())] * 5 for _ in range(3))
    norms = network.heads.necks
    for p in range(5):
        width = features[0, p].shape[1]
        columns = slice(p * width, (p + 1) * width)
        for b in range(2):
            necked = F.batch_norm(
                features[b, p],
                norms.running_mean[columns],
                norms.running_var[columns],
                norms.weight[columns],
                norms.bias[columns],
            )
            identity[p] = identity[p] + F.cross_entropy(necked @ network.heads.classifiers[p], both) / 2
            triplet[p] = triplet[p] + batch_hard_triplet(features[b, p], both, 0.3) / 2
        cnm[p] = nuances_mining(torch.stack([features[0, p], features[1, p]]), batch.labels, 0.2)
    losses = network.losses(batch)
    assert losses.keys() == {"identity", "triplet", "cnm"}
    for term, values, weight in (("identity", identity, 1), ("triplet", triplet, 1), ("cnm", cnm, 0.5)):
        expected = weight * (values[0] + sum(values[1:]) / 4)
        torch.testing.assert_close(losses[term], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"head": "global"},
        {"head": "local"},
        {"agp": {"after": ["stem", "layer4"]}},
        {"agp": {"after": []}},
        {"agp": {"init": "open"}},
        {"agp": {"init": "paper"}},
        {"agp": {"repr": "phasor"}},
        {"agp": {"pool": "hermitian", "init": "paper"}},
        {"anm": {"norm": "joint"}},
        {"anm": {"norm": "pooled"}},
        {"anm": {"norm": "pooled", "pool": "gem"}},
        {"anm": {"residual": False}},
        {"anm": {"positivity_on": "sum"}},
        {"anm": {"positivity": "softplus"}},
        {"anm": {"positivity": "abs", "residual": False}},
        {"anm": {"pool": "gem"}},
        PLAIN,
        {"cnm": {"reduction": "mean_pairs"}},
        {"cnm": {"reduction": "hardest_mean"}},
        {"cnm": {"normalize": True}},
        {"cnm": {"margin": 3.0}},
        {"cnm": {"weight": 2.0}},
        {"parts": {"reduce": "sum"}},
        {"parts": {"n": 2}},
        {"triplet_weight": 2.0},
        {"identity_weight": 0.5},
        {"margin": 1.3},
    ],
)
def test_every_switch_changes_the_losses_and_trains_every_parameter(
    build: Build, batch: Batch, options: dict[str, Any]
) -> None:
    plain, changed = build("fdnm").train(), build("fdnm", options).train()
    state, shapes = plain.state_dict(), {key: value.shape for key, value in changed.state_dict().items()}
    if "init" not in options.get("agp", {}):  # else the start is what differs
        state = {key: value for key, value in state.items() if shapes.get(key) == value.shape}
        changed.load_state_dict(state, strict=False)
    before, after = plain.losses(batch), changed.losses(batch)
    sum(after.values()).backward()
    assert [k for k, p in changed.named_parameters() if p.requires_grad and p.grad is None] == []
    assert before.keys() != after.keys() or max(abs(before[k] - after[k]) for k in before) > 1e-6


def test_zero_weights_are_not_computed(build: Build, batch: Batch) -> None:
    assert build("fdnm", {"cnm": {"weight": 0.0}}).losses(batch).keys() == {"identity", "triplet"}
    assert build("fdnm", {"triplet_weight": 0.0}).losses(batch).keys() == {"identity", "cnm"}
    network = build("fdnm", {"identity_weight": 0.0, "embed": {"level": "pool"}})
    assert network.losses(batch).keys() == {"triplet", "cnm"}
    assert not hasattr(network, "heads")


@pytest.mark.parametrize("backend", ["fft", "matmul"])
def test_backend_reaches_every_transform_and_changes_no_number(
    build: Build, batch: Batch, backend: str
) -> None:
    # Not with the angle: small maps have bins at ±π, and rounding decides the sign.
    gain = {"agp": {"repr": "phasor"}}
    network = build("fdnm", {"backend": backend, **gain}).eval().double()
    auto = build("fdnm", gain).eval().double()
    assert {module.kind for module in (*network.agp.values(), network.anm)} == {backend}
    images = batch.visible.double()
    torch.testing.assert_close(
        network.embed(images, Modality.VISIBLE), auto.embed(images, Modality.VISIBLE), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("parts", ["all", "global", "local"])
@pytest.mark.parametrize("branches", ["both", "first", "mean"])
@pytest.mark.parametrize("level", ["bn", "pool", "pool+bn"])
@pytest.mark.parametrize("norm", ["block", "whole"])
def test_embedding(build: Build, batch: Batch, parts: str, branches: str, level: str, norm: str) -> None:
    choice = {"parts": parts, "branches": branches, "level": level, "norm": norm}
    network = build("fdnm", {"embed": choice}).eval()
    pooled = network.pool(network.normalise(batch.infrared), Modality.INFRARED)  # (2, 5, N, D)
    chosen = {"all": range(5), "global": [0], "local": range(1, 5)}[parts]
    blocks = []
    for values in [pooled] * ("pool" in level) + [network.apply_necks(pooled)] * ("bn" in level):
        rows = {"both": list(values), "first": [values[0]], "mean": [(values[0] + values[1]) / 2]}[branches]
        blocks += [row[p] for row in rows for p in chosen]
    if norm == "block":
        blocks = [F.normalize(block) for block in blocks]
    expected = F.normalize(torch.cat(blocks, dim=1))
    torch.testing.assert_close(
        network.embed(batch.infrared, Modality.INFRARED), expected, atol=1e-6, rtol=1e-4
    )


@pytest.mark.parametrize(
    "options",
    [
        {"anm": {"on": False}},
        {"head": "global", "embed": {"parts": "local"}},
        {"agp": {"after": ["layer1", "layer1"]}},
        {"anm": {"residual": False, "positivity_on": "sum"}},
        {"agp": {"after": [], "rate": "backbone"}},
        {"anm": {"on": False, "norm": "joint"}, "cnm": {"on": False}},
        {"identity_weight": 0.0},
        {"identity_weight": 0.0, "triplet_weight": 0.0, "cnm": {"on": False}, "embed": {"level": "pool"}},
    ],
)
def test_incompatible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        methods.options_of("fdnm", options)


def test_branches_share_scale_and_shift_and_keep_statistics_of_their_own(build: Build, batch: Batch) -> None:
    network = build("fdnm").train()
    width = network.trunk.channels["layer4"]
    network.losses(batch)
    norm = network.anm.norm
    assert {name: tuple(p.shape) for name, p in norm.named_parameters()} == {
        "weight": (width,),
        "bias": (width,),
    }
    assert norm.running_mean.shape == (2, width)
    assert (norm.running_mean[0] - norm.running_mean[1]).abs().max() > 1e-4
    assert network.heads.necks.num_batches_tracked == 1
    joint = build("fdnm", {"anm": {"norm": "joint"}})
    assert joint.anm.norm.running_mean.shape == (1, width)
    pooled = build("fdnm", {"anm": {"norm": "pooled"}}).train()
    assert pooled.anm.norm is None
    pooled.losses(batch)
    assert pooled.pooled_norm.running_mean.shape == (10, width)


def test_the_norm_after_pooling_normalises_every_branch_and_part(build: Build, batch: Batch) -> None:
    network = build("fdnm", {"anm": {"norm": "pooled"}}).train()
    features = network.pool(network.normalise(torch.cat([batch.visible, batch.infrared])), 8)
    means, spread = features.mean(2), features.var(2, unbiased=False)  # (branches, parts, D)
    torch.testing.assert_close(means, torch.zeros_like(means), rtol=0, atol=1e-4)
    assert (spread - 1).abs().median() < 1e-2


def test_the_nuances_mining_loss_is_above_0_and_reaches_the_branches_over_training(
    build: Build, batch: Batch
) -> None:
    visible, infrared = (0.5 + 0.03 * (part - 0.5) for part in (batch.visible, batch.infrared))
    alike = dataclasses.replace(
        batch, visible=visible, infrared=infrared, erase=None
    )  # people who look alike
    network = build("fdnm").train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    for _ in range(12):
        losses = network.losses(alike)
        optimizer.zero_grad()
        losses["cnm"].backward(retain_graph=True)
        assert losses["cnm"].item() > 0.0
        assert network.anm.mix.weight.grad.norm() > 0.0
        assert network.anm.norm.weight.grad.norm() > 0.0
        (losses["identity"] + losses["triplet"]).backward()
        optimizer.step()


def test_the_gate_of_agp_moves_at_the_rate_of_the_heads(build: Build, batch: Batch) -> None:
    moves = {}
    for rate in ("heads", "backbone"):
        network = build("fdnm", {"agp": {"rate": rate}}).train()
        groups = [
            {"params": group.parameters, "lr": 0.1 if group.name == "heads" else 0.01}
            for group in network.parameter_groups()
        ]
        optimizer = torch.optim.SGD(groups, momentum=0.9, nesterov=True)
        assert network.monitors() == {}
        shares = []
        for _ in range(15):
            optimizer.zero_grad()
            sum(network.losses(batch).values()).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            optimizer.step()
            shares.append({name: value.item() for name, value in network.monitors().items()})
        assert shares[0].keys() == {f"agp.{s}.{k}" for s in ("layer1", "layer2") for k in ("mean", "std")}
        moves[rate] = max(abs(shares[-1][name] - shares[0][name]) for name in shares[0])
    assert moves["heads"] > 3 * moves["backbone"]


def test_a_short_training_lowers_the_loss(build: Build, batch: Batch) -> None:
    network = build("fdnm").train()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    totals = []
    for _ in range(25):
        losses = network.losses(batch)
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.6 * totals[0]


ROWS = {
    "fdnm-global": ("global", (), False, False),
    "fdnm-local": ("local", (), False, False),
    "fdnm-global-local": ("global+local", (), False, False),
    "fdnm-agp": ("global+local", ("layer1", "layer2"), False, False),
    "fdnm-anm": ("global+local", (), True, False),
    "fdnm-anm-cnm": ("global+local", (), True, True),
    "fdnm-agp-anm": ("global+local", ("layer1", "layer2"), True, False),
    "fdnm-full": ("global+local", ("layer1", "layer2"), True, True),
    **{
        f"fdnm-agp-{stage}": ("global+local", (stage,), False, False)
        for stage in ("stem", "layer1", "layer2", "layer3", "layer4")
    },
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_the_tables_switch_their_components_only(name: str) -> None:
    recipe, parent = (load(n, options_of=methods.options_type) for n in (f"{name}.yaml", "fdnm.yaml"))
    options = methods.options_of("fdnm", recipe.method.options)
    assert isinstance(options, Options)
    assert (options.head, options.agp.after, options.anm.on, options.cnm.on) == ROWS[name]
    assert (recipe.data, recipe.backbone, recipe.train) == (parent.data, parent.backbone, parent.train)
    assert len(recipe.reported) == 2


def test_the_recipe_is_the_papers_setting() -> None:
    recipe = load("fdnm.yaml", options_of=methods.options_type)
    assert methods.options_of("fdnm", recipe.method.options) == methods.options_of("fdnm", {})
    assert (recipe.data.size, recipe.data.sampler.identities, recipe.data.sampler.images) == (
        (384, 192),
        6,
        4,
    )
    schedule = recipe.train.schedule
    assert (schedule.warmup_epochs, schedule.milestones, recipe.train.epochs) == (10, (20, 80, 120), 150)
