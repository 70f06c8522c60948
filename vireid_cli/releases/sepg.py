"""Checkpoints of SEPG-Net (1024AILab/ReID-SEPG), saved with ``nn.DataParallel``."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vireid_cli.releases.rules import Rule, count, head_rules

TITLE = "SEPG-Net (1024AILab/ReID-SEPG)"
RECIPES = {"": "sepg-release"}
CLASSIFIER = "classifier.classifier_0.classifier.0.weight"
MARK = "att_v."
FLIP = "sum"
UNUSED = (
    r"base_resnet\.base\.(layer4|fc)\..*",
    r"att_[vn]\.base\.(conv1|bn1|layer[123]|fc)\..*",
    r"att_[vn]\.SA\..*",
)


def rules(state: Mapping[str, Tensor]) -> list[Rule]:
    """Rules for the keys of ``methods.sepg``."""
    parts = range(max(count(state, r"classifier\.classifier_\d+\.add_block\.0\.weight"), 1))
    chunks = [f"classifier.classifier_{i}" for i in parts]
    heads = _head(r"chunk_heads\.", chunks)
    heads += _head(r"specific_heads\.visible\.", ["att_v.classifier"])
    heads += _head(r"specific_heads\.infrared\.", ["att_n.classifier"])
    return [
        Rule(r"trunk\.stem\.(.*)", (r"base_resnet.base.\1",)),
        Rule(r"trunk\.layer4\.visible\.(.*)", (r"att_v.base.layer4.\1",)),
        Rule(r"trunk\.layer4\.infrared\.(.*)", (r"att_n.base.layer4.\1",)),
        Rule(r"trunk\.(layer[123]\..*)", (r"base_resnet.base.\1",)),
        *heads,
    ]


def _head(ours: str, modules: list[str]) -> list[Rule]:
    return head_rules(
        ours,
        [f"{module}.add_block.0" for module in modules],
        [f"{module}.add_block.1" for module in modules],
        [f"{module}.classifier.0" for module in modules],
    )


def settings(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The number of chunks; nothing if the file has no chunks."""
    chunks = count(state, r"classifier\.classifier_\d+\.add_block\.0\.weight")
    return (f"method.options.chunks.n={chunks}",) if chunks else ()
