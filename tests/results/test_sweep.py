"""Sweeps over made-up recipes: the varied key, the fixed keys, means over seeds by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from vireid_cli.errors import UsageError
from vireid_cli.recipe.schema import Recipe
from vireid_cli.results.settings import ABSENT, format_value, settings_of
from vireid_cli.results.sweep import Member, sweep_of, varying

METRICS = ("mAP",)


def member(
    name: str,
    mAP: float = 0.5,
    seed: int = 0,
    data: str = "a",
    recipe: str = "fdnm",
    settings: Mapping[str, object] = {},
    **more: object,
) -> Member:
    """One run of a sweep; ``settings`` and ``more`` are keys of its recipe."""
    usual = {"name": recipe, "data.size": [96, 48], "margin": 0.2, "weight": 0.5}
    return Member(name, seed, {**usual, **settings, **more}, data, {"mAP": mAP})


def values(members: list[Member], key: str | None = None, **options: Any) -> list[object]:
    return [point.value for point in sweep_of(members, key, METRICS, **options).points]


def test_settings_are_the_resolved_recipe_without_names_and_seed() -> None:
    content = Recipe(name="a", paper="b").model_dump(mode="json")
    content["method"]["options"] = {"cnm": {"margin": 0.2}}
    content["train"]["seed"] = 7
    settings, seed = settings_of(content)
    assert seed == 7
    assert settings["method.options.cnm.margin"] == 0.2
    assert settings["data.size"] == content["data"]["size"]
    assert settings["train.optimizer.lr"] == 0.1
    assert not {"paper", "train.seed", "reported"} & set(settings)


def test_the_one_key_that_varies_is_found_and_seeds_are_averaged() -> None:
    members = [
        member("a", 0.2, 0, margin=0.1),
        member("b", 0.4, 1, margin=0.1),
        member("c", 0.3, 0, margin=0),
        member("d", 0.9, 2, margin=0.1),
    ]
    result = sweep_of(members, None, METRICS)
    assert result.key == "margin"
    assert [point.value for point in result.points] == [0, 0.1]
    first, second = result.points
    assert first.metrics["mAP"].mean == 0.3
    assert first.metrics["mAP"].std is None
    assert second.seeds == (0, 1, 2)
    assert second.metrics["mAP"].mean == pytest.approx(0.5)
    assert second.metrics["mAP"].std == pytest.approx(math.sqrt((0.09 + 0.01 + 0.16) / 2))
    assert result.numeric
    assert (result.fixed, result.confounded, result.omitted) == ({}, (), 0)


def test_several_keys_are_listed_and_one_thing_at_a_time_is_held() -> None:
    members = [member(f"w{w}", weight=w) for w in (0.1, 0.5, 2.0)]
    members += [member(f"m{m}", margin=m) for m in (0.0, 0.3)]
    with pytest.raises(
        UsageError, match=r"2 keys vary: name one with --key.\n  margin: 0, 0.2, 0.3\n  weight: 0.1, 0.5, 2"
    ):
        sweep_of(members, None, METRICS)
    result = sweep_of(members, "weight", METRICS)
    assert [point.value for point in result.points] == [0.1, 0.5, 2.0]
    assert (result.fixed, result.omitted) == ({"margin": 0.2}, 2)
    assert values(members, "margin") == [0.0, 0.2, 0.3]


def test_a_grid_has_to_be_cut_by_hand() -> None:
    grid = [member(f"{w}{m}", weight=w, margin=m) for w in (0.1, 1.0) for m in (0.0, 0.2)]
    with pytest.raises(
        UsageError, match=r"same weight differ in other keys(.|\n)*margin: 0, 0.2(.|\n)*--where margin=0"
    ):
        sweep_of(grid, "weight", METRICS)
    assert values(grid, "weight", conditions=["margin=0.20"]) == [0.1, 1.0]
    assert values(grid, conditions=["weight = 1e0"]) == [0.0, 0.2]
    for wrong, result in (
        ("margin=0.7", "No run has margin = 0.7(.|\n)*Existing values: 0, 0.2"),
        ("margin", "KEY=VALUE"),
        ("margn=1", "no recipe|No recipe(.|\n)*margin"),
    ):
        with pytest.raises(UsageError, match=result):
            sweep_of(grid, "weight", METRICS, [wrong])


def test_options_that_vary_with_the_method_are_listed() -> None:
    members = [
        member("a", settings={"method.name": "agw", "method.options.wrt": True}),
        member("b", settings={"method.name": "fdnm", "method.options.cnm.margin": 0.1}),
    ]
    result = sweep_of(members, "method.name", METRICS)
    assert [point.value for point in result.points] == ["agw", "fdnm"]
    assert not result.numeric
    assert result.confounded == ("method.options.wrt", "method.options.cnm.margin")
    assert varying(members)["method.options.wrt"] == [ABSENT, True]


def test_most_values_are_held_even_where_each_has_one_run() -> None:
    members = [member(f"w{w}", weight=w) for w in (0.1, 0.5, 2.0)] + [member("m", weight=4.0, margin=0.3)]
    result = sweep_of(members, "weight", METRICS)
    assert [point.value for point in result.points] == [0.1, 0.5, 2.0]
    assert (result.fixed, result.confounded) == ({"margin": 0.2}, ())


def test_recipes_by_name() -> None:
    members = [member(n, margin=m, recipe=n) for n, m in (("no-cnm", 0.0), ("fdnm", 0.2))]
    assert sweep_of(members, None, METRICS).key == "margin"
    result = sweep_of(members, "name", METRICS)
    assert [point.value for point in result.points] == ["fdnm", "no-cnm"]
    assert result.confounded == ("margin",)
    with pytest.raises(UsageError, match=r"name is fdnm in all(.|\n)*margin: 0, 0.2"):
        sweep_of([member("a", margin=0.0), member("b")], "name", METRICS)


def test_runs_on_different_images_are_refused_together() -> None:
    members = [
        member(f"{m}{d}", data=d, settings={"margin": m, "data.dataset": d}) for m in (0, 1) for d in "ab"
    ]
    with pytest.raises(UsageError, match="differ in other keys"):
        sweep_of(members, "margin", METRICS)
    assert values(members, "margin", conditions=["data.dataset=b"]) == [0, 1]
    with pytest.raises(UsageError, match=r"different images, such as 0a and 0b(.|\n)*--dataset"):
        sweep_of(members, "data.dataset", METRICS, ["margin=0"])


def test_one_run_is_no_sweep() -> None:
    with pytest.raises(UsageError, match="a is the only run") as error:
        sweep_of([member("a")], None, METRICS)
    assert "vireid train --set" in error.value.hint


def test_a_key_by_its_end_and_wrong_keys() -> None:
    members = [
        member(str(m), settings={"method.options.cnm.margin": m, "data.margin": 1}) for m in (0.0, 0.1)
    ]
    assert sweep_of(members, "cnm.margin", METRICS).key == "method.options.cnm.margin"
    assert sweep_of(members, None, METRICS).key == "method.options.cnm.margin"
    with pytest.raises(UsageError, match=r"key 'cnm.margn'(.|\n)*method.options.cnm.margin"):
        sweep_of(members, "cnm.margn", METRICS)
    with pytest.raises(
        UsageError, match=r"weight is 0.5 in all of the 2 runs(.|\n)*method.options.cnm.margin: 0, 0.1"
    ):
        sweep_of(members, "weight", METRICS)
    with pytest.raises(UsageError, match=r"have the metric 'rank-1'(.|\n)*Common metrics: mAP"):
        sweep_of(members, None, ("mAP", "rank-1"))
    with pytest.raises(UsageError, match="no key varies"):
        sweep_of([member("a"), member("b", seed=1)], None, METRICS)


def test_a_run_trained_twice_counts_once_and_values_of_kinds_stay_apart() -> None:
    twice = [member("a", 0.1, margin=0.1), member("b", 0.3, margin=0.1), member("c", 0.5, margin=0.2)]
    result = sweep_of(twice, None, METRICS)
    assert [point.metrics["mAP"].mean for point in result.points] == [0.3, 0.5]
    assert result.omitted == 1
    kinds = [member(str(i), margin=m) for i, m in enumerate((False, 0.0, None, "mean", [1, 2]))]
    assert len(values(kinds)) == 5
    assert [format_value(value) for value in values(kinds)] == ["0", "mean", "[1, 2]", "false", "null"]


def test_suggested_conditions_select_runs() -> None:
    rates = (0.0012345678, 0.00987654321)
    members = [member(f"{lr}{k}", lr=lr, margin=k) for lr in rates for k in (1, 2)]
    with pytest.raises(UsageError, match="select runs with --where") as caught:
        sweep_of(members, "margin", METRICS)
    suggested = caught.value.hint.split("--where ")[1]
    assert suggested == "lr=0.0012345678"
    for text in (suggested, "lr=0.00123457"):
        assert len(sweep_of(members, "margin", METRICS, [text]).points) == 2
    with pytest.raises(UsageError, match=r"(?s)No run has lr = 0.5.*Existing values: 0.0012345678, 0.0098"):
        sweep_of(members, "margin", METRICS, ["lr=0.5"])
    close = [member(f"{lr}{k}", lr=lr, margin=k) for lr in (0.00123457, rates[0]) for k in (1, 2)]
    assert sweep_of(close, "margin", METRICS, ["lr=0.00123457"]).omitted == 2, "the exact value comes first"


@pytest.mark.parametrize("name", ["train.seed", "seed"])
def test_seeds_are_averaged_over_and_are_no_key(name: str) -> None:
    members = [member("a", margin=0.1), member("b", seed=1, margin=0.3)]
    for key, where in ((name, ()), (None, (f"{name}=1",))):
        with pytest.raises(UsageError, match="a sweep averages over seeds"):
            sweep_of(members, key, METRICS, where)
