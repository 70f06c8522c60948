"""An option that the others leave without effect is refused by its name, at its default let through."""

import pydantic
import pytest

from vireid_cli import methods

FDNM_PLAIN = {"anm": {"on": False}, "cnm": {"on": False}}

IDLE = [
    ("fdnm", {"agp": {"after": [], "init": "paper", "repr": "phasor"}}, ["agp.init", "agp.repr"]),
    ("fdnm", {"agp": {"after": [], "pool": "hermitian"}}, ["agp.pool"]),
    ("fdnm", {**FDNM_PLAIN, "anm": {"on": False, "pool": "gem"}}, ["anm.pool"]),
    ("fdnm", {**FDNM_PLAIN, "anm": {"on": False, "residual": False}}, ["anm.residual"]),
    ("fdnm", {**FDNM_PLAIN, "anm": {"on": False, "positivity": "abs"}}, ["anm.positivity"]),
    ("fdnm", {**FDNM_PLAIN, "embed": {"branches": "first"}}, ["embed.branches"]),
    ("fdnm", {"cnm": {"on": False, "weight": 1.0}}, ["cnm.weight"]),
    ("fdnm", {"cnm": {"on": False, "margin": 0.5}}, ["cnm.margin"]),
    ("fdnm", {"cnm": {"weight": 0.0, "reduction": "sum_pairs"}}, ["cnm.reduction"]),
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
]


@pytest.mark.parametrize(("method", "options", "idle"), IDLE)
def test_idle_options_are_refused_by_name(method, options, idle):
    with pytest.raises(pydantic.ValidationError) as refused:
        methods.options_of(method, options)
    (error,) = refused.value.errors()
    assert f": {', '.join(idle)} would change nothing" in error["msg"]


def test_all_of_them_are_named_at_once():
    with pytest.raises(pydantic.ValidationError) as refused:
        methods.options_of("baseline", {"gem_power": 10.0, "center_margin": 0.5})
    (error,) = refused.value.errors()
    assert "pool is 'gap': gem_power" in error["msg"]
    assert "no loss on centres: center_margin" in error["msg"]


def test_dropout_of_branches_that_are_not_made():
    options = {"dee": {"on": False, "dropout": 0.3}, "cpm": {"weight": 0.0}, "ort_weight": 0.0}
    with pytest.raises(pydantic.ValidationError, match=r"dee\.dropout would change nothing"):
        methods.options_of("deen", {**options, "embed": {"branches": "original"}})


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("fdnm", {"agp": {"after": [], "init": "identity"}, "head": "global", "parts": {"n": 4}}),
        ("baseline", {"pool": "gap", "gem_power": 3.0}),
        ("dselacfp", {"lam": {"before": [], "parts": 4}}),
    ],
)
def test_defaults_may_be_written_out(method, options):
    methods.options_of(method, options)
