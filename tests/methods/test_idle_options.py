"""Options that have no effect beside the others are refused by name, and accepted at their default."""

from typing import Any

import pydantic
import pytest

from vireid_cli import methods
from vireid_cli.methods.sfcl.options import Options as SfclOptions

FDNM_PLAIN = {"anm": {"on": False}, "cnm": {"on": False}}
SFCL_PLAIN = {"cfam": {"on": False}, "cfc": {"on": False}}

IDLE = [
    ("fdnm", {"agp": {"after": [], "init": "paper", "repr": "phasor"}}, ["agp.init", "agp.repr"]),
    ("fdnm", {"agp": {"after": [], "pool": "hermitian"}}, ["agp.pool"]),
    ("fdnm", {**FDNM_PLAIN, "anm": {"on": False, "pool": "gem"}}, ["anm.pool"]),
    ("fdnm", {**FDNM_PLAIN, "anm": {"on": False, "residual": False}}, ["anm.residual"]),
    ("fdnm", {**FDNM_PLAIN, "anm": {"on": False, "positivity": "abs"}}, ["anm.positivity"]),
    ("fdnm", {**FDNM_PLAIN, "embed": {"branches": "first"}}, ["embed.branches"]),
    ("fdnm", {"cnm": {"on": False, "weight": 1.0}}, ["cnm.weight"]),
    ("fdnm", {"cnm": {"on": False, "margin": 0.5}}, ["cnm.margin"]),
    ("fdnm", {"cnm": {"weight": 0.0, "reduction": "mean_pairs"}}, ["cnm.reduction"]),
    ("fdnm", {"cnm": {"weight": 0.0, "normalize": True}}, ["cnm.normalize"]),
    ("fdnm", {"head": "global", "parts": {"n": 6, "reduce": "sum"}}, ["parts.n", "parts.reduce"]),
    ("fdnm", {"triplet_weight": 0.0, "margin": 0.5}, ["margin"]),
    ("face", {"agp": {"after": [], "init": "paper"}}, ["agp.init"]),
    ("face", {"anm": {"on": False, "residual": False}, "cnm": {"weight": 0.0}}, ["anm.residual"]),
    ("face", {"cnm": {"weight": 0.0, "margin": 0.5}}, ["cnm.margin"]),
    ("face", {"identity_weight": 0.0, "dropout": 0.3}, ["dropout"]),
    ("face", {"triplet_weight": 0.0, "margin": 0.5}, ["margin"]),
    ("baseline", {"gem_power": 10.0, "gem_learned": True}, ["gem_power", "gem_learned"]),
    ("baseline", {"identity_weight": 0.0, "label_smoothing": 0.1, "embed": "pooled"}, ["label_smoothing"]),
    ("baseline", {"triplet_weight": 0.0, "triplet": "wrt"}, ["triplet"]),
    ("baseline", {"triplet": "wrt", "margin": 0.5}, ["margin"]),
    ("baseline", {"center_weight": 1.0}, ["center_weight"]),
    ("baseline", {"center_margin": 0.5}, ["center_margin"]),
    ("baseline", {"center": "hc", "center_weight": 0.0, "center_margin": 0.5}, ["center_margin"]),
    ("agw", {"nl": {"layer2": 0, "layer3": 0, "inter": "C/2"}}, ["inter"]),
    ("caj", {"nl": {"layer2": 0, "layer3": 0, "inter": "C/2"}}, ["inter"]),
    ("hctri", {"joined_weight": 0.0, "stripe_weight": 0.0, "margin": 0.5}, ["margin"]),
    ("deen", {"cpm": {"weight": 0.0, "margin": 0.5}}, ["cpm.margin"]),
    ("deen", {"triplet_weight": 0.0, "margin": 0.5}, ["margin"]),
    ("dselacfp", {"lam": {"before": [], "parts": 6, "residual": True}}, ["parts", "residual"]),
    ("dselacfp", {"hctri": {"weight": 0.0, "margin": 0.5}}, ["hctri.margin"]),
    ("dselacfp", {"ort": {"weight": 0.0, "kind": "weights"}}, ["ort.kind"]),
    ("dselacfp", {"ort": {"kind": "weights", "on": "neck"}}, ["ort.on"]),
    ("dselacfp", {"purity": {"centroid": 0.0, "form": "literal"}}, ["purity.form"]),
    ("dselacfp", {"modality": {"shared": 0.0, "target": "even"}}, ["modality.target"]),
    (
        "dselacfp",
        {"consistency": {"graph": {"intra": 0.0, "cross": "idkl"}}},
        ["consistency.graph.cross"],
    ),
    (
        "dselacfp",
        {"consistency": {"graph": {"intra": 0.0, "inter": 0.0, "sign": "near", "normalize": True}}},
        ["consistency.graph.sign", "consistency.graph.normalize"],
    ),
    ("sepg", {"seg": {"mode": "off", "at_test": False}}, ["at_test"]),
    ("sepg", {"seg": {"weight": 0.0, "amplitude": "unit", "clip": False}}, ["amplitude", "clip"]),
    ("sepg", {"paba": {"weight": 0.0, "margin": 0.3}}, ["paba.margin"]),
    ("sepg", {"paba": {"weight": 0.0, "dist": "cos", "negative": "centre"}}, ["paba.dist", "paba.negative"]),
    ("sepg", {"paba": {"weight": 0.0, "anchor_grad": False}}, ["paba.anchor_grad"]),
    ("sepg", {"paba": {"weight": 0.0, "feature": "embedding"}}, ["paba.feature"]),
    ("sepg", {"cc": {"margin": 0.1, "centre_gap": 1.0}}, ["cc.margin", "cc.centre_gap"]),
    ("sepg", {"hc": {"margin": 0.1, "feature": "embedding"}}, ["hc.margin", "hc.feature"]),
    ("sepg", {"aux_triplet": {"margin": 0.1}}, ["aux_triplet.margin"]),
    (
        "sepg",
        {"chunks": {"metric_feature": "after_dropout"}},
        ["chunks.metric_feature"],
    ),
    (
        "sepg",
        {"paba": {"feature": "embedding"}, "chunks": {"dropout": 0.0, "metric_feature": "after_dropout"}},
        ["chunks.metric_feature"],
    ),
    (
        "sepg",
        {
            "chunk_weight": 0.0,
            "specific_weight": 0.0,
            "paba": {"feature": "embedding"},
            "chunks": {"dropout": 0.2},
        },
        ["chunks.dropout"],
    ),
    ("sepg", {"embed": {"parts": "specific", "norm": "whole"}}, ["embed.norm"]),
    ("sfcl", {**SFCL_PLAIN, "cfam": {"on": False, "phase_repr": "angle"}}, ["cfam.phase_repr"]),
    ("sfcl", {**SFCL_PLAIN, "inference": "none"}, ["inference"]),
    ("sfcl", {**SFCL_PLAIN, "train_paths": ["self"], "ot": {"on": False}}, ["train_paths"]),
    ("sfcl", {"train_paths": ["self"], "ot": {"on": False}}, ["ot.on"]),
    ("sfcl", {"train_paths": ["self"], "ot": {"eps": 0.1, "space": "amplitude"}}, ["ot.eps", "ot.space"]),
    ("sfcl", {"ot": {"on": False, "iters": 5, "marginals": "energy"}}, ["ot.iters", "ot.marginals"]),
    ("sfcl", {"ot": {"on": False, "direction": "both"}}, ["ot.direction"]),
    ("sfcl", {"sfim": {"on": False, "residual": False, "norm": "batch"}}, ["sfim.residual", "sfim.norm"]),
    ("sfcl", {"sfim": {"on": False}, "gabor": {"domain": "rows"}}, ["gabor.domain"]),
    ("sfcl", {"sfim": {"on": False}, "attn": "softmax_gate"}, ["attn"]),
    ("sfcl", {"cfc": {"on": False, "weight": 0.5}}, ["cfc.weight"]),
    ("sfcl", {"cfc": {"weight": 0.0, "tau": 0.2, "norm": "none"}}, ["cfc.tau", "cfc.norm"]),
    ("sfcl", {"csc": {"on": False, "weight": 0.5}}, ["csc.weight"]),
    ("sfcl", {"csc": {"weight": 0.0, "k": 2, "detach": False}}, ["csc.k", "csc.detach"]),
    (
        "sepg",
        {"paba": {"weight": 0.0}, "chunk_weight": 0.0, "embed": {"parts": "specific"}, "gate": True},
        ["gate"],
    ),
]


@pytest.mark.parametrize(("method", "options", "idle"), IDLE)
def test_idle_options_are_refused_by_name(method: str, options: dict[str, Any], idle: str) -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        methods.options_of(method, options)
    (error,) = refused.value.errors()
    assert f": {', '.join(idle)} {'has' if len(idle) == 1 else 'have'} no effect" in error["msg"]


def test_the_message_names_the_default_that_resets_a_value() -> None:
    with pytest.raises(pydantic.ValidationError, match=r"remove it or set margin: 0\.3"):
        methods.options_of("deen", {"triplet_weight": 0.0, "margin": 0.5})


def test_keys_of_cost_are_accepted_while_their_module_is_off() -> None:
    light = {"cfam": {"on": False, "dim": 256}, "tm": {"state": 1}, "ot": {"grad": "detach_plan"}}
    options = methods.options_of("sfcl", {**SFCL_PLAIN, **light, "sfim": {"on": False, "hidden": 768}})
    assert isinstance(options, SfclOptions)
    assert options.cfam.dim == 256


def test_all_idle_options_are_named_at_once() -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        methods.options_of("baseline", {"gem_power": 10.0, "center_margin": 0.5})
    (error,) = refused.value.errors()
    assert "pool is 'gap': gem_power" in error["msg"]
    assert "the centre loss is off: center_margin" in error["msg"]


def test_dropout_without_generated_branches_is_refused() -> None:
    options = {"dee": {"on": False, "dropout": 0.3}, "cpm": {"weight": 0.0}, "ort_weight": 0.0}
    with pytest.raises(pydantic.ValidationError, match=r"dee\.dropout has no effect"):
        methods.options_of("deen", {**options, "embed": {"branches": "original"}})


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("fdnm", {"agp": {"after": [], "init": "identity"}, "head": "global", "parts": {"n": 4}}),
        ("baseline", {"pool": "gap", "gem_power": 3.0}),
        ("dselacfp", {"lam": {"before": [], "parts": 4}}),
    ],
)
def test_defaults_may_be_written_out(method: str, options: dict[str, Any]) -> None:
    methods.options_of(method, options)
