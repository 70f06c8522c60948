"""A key of the recipe that another one leaves without effect is refused, both named, with exit 2."""

from __future__ import annotations

import pytest

from vireid_cli.engine.network import load_recipe
from vireid_cli.errors import RecipeError, UsageError

IDLE = [
    (("train.schedule={kind: cosine, milestones: [5]}",), "train.schedule", "'cosine': milestones has"),
    (("train.schedule={kind: cosine, gamma: 0.5}",), "train.schedule", "kind is 'cosine': gamma has"),
    (("train.schedule={milestones: [], gamma: 0.5}",), "train.schedule", "milestones is empty: gamma has"),
    (("train.schedule={warmup_epochs: 0, warmup_start: 0.1}",), "train.schedule", "0: warmup_start has"),
    (("train.schedule={warmup_epochs: 1, warmup_start: 0.1}",), "train.schedule", "1: warmup_start has"),
    (("train.optimizer={name: adam, momentum: 0.5}",), "train.optimizer", "name is 'adam': momentum has"),
    (("train.optimizer={name: adamw, nesterov: false}",), "train.optimizer", "'adamw': nesterov has"),
    (("data.augment={pad: 0, pad_value: 127}",), "data.augment", "pad is 0: pad_value has"),
    (("data.augment={linear_area: [0.1, 0.2]}",), "data.augment", "linear is 0: linear_area has"),
    (("data.augment={visible_grey: 1.0, channel_exchange: 0.5}",), "data.augment", "channel_exchange has"),
    (("data.augment.erase={area: [0.1, 0.2], normalised: true}",), "erase", "is 0: area, normalised have"),
    (("data.augment.erase={aspect_law: log_uniform}",), "erase", "probability is 0: aspect_law has"),
    (("data.augment.exchange={infrared: 1.0, infrared_grey: 0.5}",), "exchange", "1: infrared_grey has"),
]


@pytest.mark.parametrize(("settings", "section", "message"), IDLE)
def test_keys_without_effect_are_refused(settings: tuple[str, ...], section: str, message: str) -> None:
    with pytest.raises(RecipeError) as refused:
        load_recipe("baseline", settings)
    assert refused.value.exit_code == UsageError.exit_code == 2
    (line,) = str(refused.value).splitlines()[1:]
    assert f"{section}: " in line
    assert message in line


@pytest.mark.parametrize(
    ("recipe", "settings", "ends"),
    [
        ("dselacfp-regdb", (), "method.options.last layer3"),
        ("deen-regdb", (), "method.options.last layer3"),
        (
            "sepg",
            ("method.options.gate=false", "method.options.specific_weight=0.0"),
            "method.options.gate False and method.options.specific_weight 0.0",
        ),
    ],
)
def test_the_stride_of_a_stage_that_is_not_built(recipe: str, settings: tuple[str, ...], ends: str) -> None:
    assert load_recipe(recipe, settings).backbone.last_stride == 1
    with pytest.raises(RecipeError, match=f"backbone.last_stride: method .* {ends}") as refused:
        load_recipe(recipe, (*settings, "backbone.last_stride=2"))
    assert len(str(refused.value).splitlines()) == 2
    load_recipe(recipe.removesuffix("-regdb"), ("backbone.last_stride=1",))


def test_a_second_view_goes_with_the_option_that_takes_it() -> None:
    views = "method.options.caj_views=2"
    with pytest.raises(RecipeError, match=r"sfcl needs a second view .*caj_views 2: set true"):
        load_recipe("sfcl", (views,))
    with pytest.raises(RecipeError, match=r"sfcl uses no second view .*caj_views 1: set false"):
        load_recipe("sfcl", ("data.augment.second_view=true",))
    both = (views, "data.augment.second_view=true")
    with pytest.raises(
        RecipeError, match=r"exchange\.visible: method sfcl keeps the colours .*caj_views 2: set 0"
    ):
        load_recipe("sfcl", both)
    assert load_recipe("sfcl", (*both, "data.augment.exchange.visible=0")).data.augment.second_view
    with pytest.raises(
        RecipeError, match=r"exchange\.visible: method caj keeps the colours of the first view: set 0"
    ):
        load_recipe("caj", ("data.augment.exchange.visible=0.5",))
    with pytest.raises(RecipeError, match="method agw exchanges no channels after normalising"):
        load_recipe("agw", ("data.augment.exchange.visible=0.5",))


@pytest.mark.parametrize(
    "settings",
    [
        ("train.schedule.kind=cosine", "train.schedule.milestones=[]"),
        ("train.schedule.kind=cosine", "train.schedule.milestones=[20, 50]"),
        ("train.optimizer={name: adamw, momentum: 0.9, nesterov: true}",),
        ("data.augment.erase.probability=0.0",),
    ],
)
def test_defaults_and_no_milestones_are_accepted(settings: tuple[str, ...]) -> None:
    load_recipe("fdnm" if "cosine" in settings[0] else "baseline", settings)


def test_every_accepted_schedule_key_has_an_effect() -> None:
    """The rules against the formula: each key that a kind takes changes some epoch's factor."""
    from vireid_cli.engine.train.optimizer import factor
    from vireid_cli.recipe.schema import Schedule

    def factors(**keys: object) -> list[float]:
        return [factor(Schedule.model_validate(keys), epoch, 30) for epoch in range(30)]

    step, cosine = {"milestones": (12, 20)}, {"kind": "cosine"}
    cases: list[tuple[dict[str, object], list[dict[str, object]]]] = [
        (dict(step), [{"milestones": (15,)}, {"gamma": 0.5}, {"warmup_epochs": 3}, {"warmup_start": 0.5}]),
        (dict(cosine), [{"warmup_epochs": 3}, {"warmup_start": 0.5}, {"kind": "step"}]),
    ]
    for base, changes in cases:
        for change in changes:
            assert factors(**{**base, **change}) != factors(**base), change
