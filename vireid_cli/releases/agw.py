"""Checkpoints of AGW."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vireid_cli.releases.rules import SPARE, Rule, nonlocal_rules, trunk_rules

TITLE = "AGW (mangye16/Cross-Modal-Re-ID-baseline)"
RECIPES = {"": "agw", "regdb": "agw-regdb", "llcm": "agw-llcm"}
CLASSIFIER = "classifier.weight"
MARK = "NL_2."
FLIP = "off"
UNUSED = SPARE


def rules(state: Mapping[str, Tensor]) -> list[Rule]:
    """Rules for the keys of ``methods.agw``."""
    return [*nonlocal_rules(), *trunk_rules()]


def settings(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """No settings: the recipe defines the network completely."""
    return ()
