"""Every option of the recipes of baseline and SEPG-Net has its published value."""

import pytest

from vireid_cli import methods
from vireid_cli.methods.sepg.options import Options
from vireid_cli.recipe.load import load
from vireid_cli.recipe.schema import Recipe

ROWS = {
    "sepg-baseline.yaml": (69.6, 66.8),
    "sepg-se.yaml": (72.3, 69.4),
    "sepg-se-cc.yaml": (73.8, 69.7),
    "sepg-se-paba.yaml": (76.4, 71.3),
}


def recipe_and_options(name: str) -> tuple[Recipe, Options]:
    recipe = load(name, options_of=methods.options_type)
    options = methods.options_of(recipe.method.name, recipe.method.options)
    assert isinstance(options, Options)
    return recipe, options


def test_sepg_is_the_papers_setting() -> None:
    recipe, options = recipe_and_options("sepg.yaml")
    assert options == methods.options_of("sepg", {})  # the defaults are the paper's
    assert recipe.data.size == (288, 144)
    assert (recipe.data.sampler.identities, recipe.data.sampler.images) == (8, 7)
    optimizer, schedule = recipe.train.optimizer, recipe.train.schedule
    assert (optimizer.lr, optimizer.lr * optimizer.backbone_scale) == pytest.approx((0.03, 0.003))
    assert optimizer.nesterov
    assert (schedule.warmup_epochs, schedule.milestones, schedule.gamma) == (0, (30, 70), 0.1)
    assert recipe.train.epochs == 120
    reported = {(row.dataset, row.protocol): (row.rank1, row.mAP) for row in recipe.reported}
    assert reported == {
        ("sysu", "all-single"): (76.4, 71.3),
        ("sysu", "indoor-single"): (84.5, 86.2),
    }


def test_regdb_differs_in_the_dataset_only() -> None:
    recipe, options = recipe_and_options("sepg-regdb.yaml")
    parent, full = recipe_and_options("sepg.yaml")
    assert options == full
    assert recipe.data == parent.data.model_copy(update={"dataset": "regdb"})
    assert recipe.train == parent.train
    reported = {(row.dataset, row.protocol): (row.rank1, row.mAP) for row in recipe.reported}
    assert reported == {("regdb", "v2i"): (97.7, 90.8), ("regdb", "i2v"): (95.8, 90.4)}


def test_the_release_recipe_has_the_settings_of_its_code() -> None:
    recipe, options = recipe_and_options("sepg-release.yaml")
    assert (recipe.data.sampler.identities, recipe.data.sampler.images) == (7, 8)
    augment, schedule = recipe.data.augment, recipe.train.schedule
    assert (augment.pad, augment.flip, augment.linear, augment.linear_repeat) == (0, 0.5, 0.5, True)
    assert (schedule.milestones, schedule.warmup_epochs, recipe.train.epochs) == ((30, 60), 0, 101)
    assert (options.seg.mode, options.seg.at_test, options.gate) == ("released", False, True)
    assert options.chunks.metric_feature == "after_dropout"
    weights = {term: getattr(options, term).weight for term in ("paba", "cc", "hc", "aux_triplet")}
    assert weights == {"paba": 0.0, "cc": 2.5, "hc": 0.0, "aux_triplet": 1.0}
    assert (options.specific_weight, options.chunk_weight, options.cc.centre_gap) == (2.0, 1.0, 0.5)


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_table_2_differ_in_their_component_only(name: str) -> None:
    recipe, options = recipe_and_options(f"ablations/{name}")
    parent, full = recipe_and_options("sepg.yaml")
    assert [(row.dataset, row.protocol, row.rank1, row.mAP) for row in recipe.reported] == [
        ("sysu", "all-single", *ROWS[name])
    ]
    assert (recipe.data, recipe.backbone, recipe.train) == (parent.data, parent.backbone, parent.train)
    enhanced, aligned, centred = (
        name != "sepg-baseline.yaml",
        name == "sepg-se-paba.yaml",
        name == "sepg-se-cc.yaml",
    )
    assert options.seg.mode == ("paper" if enhanced else "off")
    assert options.paba.weight == (2.5 if aligned else 0.0)
    assert options.hc.weight == (0.5 if centred else 0.0)
    same = {"seg": full.seg, "paba": full.paba, "hc": full.hc}
    assert options.model_copy(update=same) == full


def test_baseline_is_the_base_variant() -> None:
    recipe = load("baseline.yaml", options_of=methods.options_type)
    assert methods.options_of("baseline", recipe.method.options) == methods.options_of("baseline", {})
    assert (recipe.data.sampler.identities, recipe.data.sampler.images) == (8, 4)
    assert (recipe.train.schedule.warmup_epochs, recipe.train.schedule.milestones) == (10, (20, 50))
