"""Checkpoints of HcTri (hijune6/Hetero-center-triplet-loss)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vireid_cli.releases.rules import Rule, count, head_rules, stem_rules

TITLE = "HcTri (hijune6/Hetero-center-triplet-loss)"
RECIPES = {"": "hctri", "regdb": "hctri-regdb"}
CLASSIFIER = "fc_list.0.weight"
MARK = "fc_list."
FLIP = "off"
UNUSED: tuple[str, ...] = ()


def rules(state: Mapping[str, Tensor]) -> list[Rule]:
    """Rules for the keys of ``methods.hctri``."""
    parts = range(max(count(state, r"local_conv_list\.\d+\.0\.weight"), 1))
    heads = head_rules(
        r"heads\.",
        [f"local_conv_list.{i}.0" for i in parts],
        [f"local_conv_list.{i}.1" for i in parts],
        [f"fc_list.{i}" for i in parts],
    )
    return [
        *stem_rules(),
        Rule(r"trunk\.(layer\d)\.visible\.(.*)", (r"visible_module.visible.\1.\2",)),
        Rule(r"trunk\.(layer\d)\.infrared\.(.*)", (r"thermal_module.thermal.\1.\2",)),
        Rule(r"trunk\.(layer\d\..*)", (r"base_resnet.base.\1",)),
        *heads,
    ]


def settings(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The number of stripes and the width of their features; nothing if the file has no stripes."""
    parts = count(state, r"local_conv_list\.\d+\.0\.weight")
    layer = state.get("local_conv_list.0.0.weight")
    if layer is None:
        return ()
    return (f"method.options.parts={parts}", f"method.options.features={len(layer)}")
