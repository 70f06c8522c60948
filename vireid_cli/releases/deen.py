"""Checkpoints of DEEN (ZYK100/LLCM)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vireid_cli.releases.rules import SPARE, Rule, trunk_rules

TITLE = "DEEN (ZYK100/LLCM)"
RECIPES = {"": "deen", "regdb": "deen-regdb", "llcm": "deen-llcm"}
CLASSIFIER = "classifier.weight"
MARK = "MFA1."
FLIP = "sum"
UNUSED = (*SPARE, r"base_resnet\.base\.layer4\..*")  # layer 4 is unused if the trunk ends with layer 3


def rules(state: Mapping[str, Tensor]) -> list[Rule]:
    """Rules for the keys of ``methods.deen``."""
    rules = [
        *trunk_rules(),
        Rule(r"mfa\.layer(\d)\.channel\.out\.(.*)", (r"MFA\1.CNL.W.\2",)),
        Rule(r"mfa\.layer(\d)\.channel\.(.*)", (r"MFA\1.CNL.\2",)),
        Rule(r"mfa\.layer(\d)\.position\.out\.(.*)", (r"MFA\1.PNL.W.\2",)),
        Rule(r"mfa\.layer(\d)\.position\.(.*)", (r"MFA\1.PNL.\2",)),
    ]
    for branch in (0, 1):
        ours, theirs = rf"dee\.branches\.{branch}", f"DEE.FC{branch + 1}"
        rules += [Rule(rf"{ours}\.dilated\.{i}\.weight", (f"{theirs}{i + 1}.weight",)) for i in range(3)]
        rules.append(Rule(rf"{ours}\.expand\.(.*)", (rf"{theirs}.\1",)))
    return rules


def settings(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The last stage: layer 3 without a third MFA block, as for RegDB, otherwise layer 4."""
    short = not any(key.startswith("MFA3.") for key in state)
    return (f"method.options.last={'layer3' if short else 'layer4'}",)
