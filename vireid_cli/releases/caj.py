"""Checkpoints of CAJ and CAJ+, which have the keys of AGW."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vireid_cli.releases.rules import SPARE, Rule, nonlocal_rules, trunk_rules

TITLE = "CAJ (mangye16/Cross-Modal-Re-ID-baseline, ICCV 2021)"
RECIPES = {"": "caj", "regdb": "caj-regdb"}
CLASSIFIER = "classifier.weight"
MARK = "NL_2."
FLIP = "mean_renorm"
UNUSED = SPARE


def rules(state: Mapping[str, Tensor]) -> list[Rule]:
    """Rules for the keys of ``methods.caj``."""
    return [*nonlocal_rules(), *trunk_rules()]


def settings(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """No settings: the recipe defines the network completely."""
    return ()
