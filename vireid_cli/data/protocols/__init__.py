"""The field's protocols as evaluation plans, one file a family.

Each file draws the galleries exactly as the field's code does, quirks included; what is ours stands in
the plan's fingerprint. Its public names: ``RULE`` (camera rule), ``MERGED`` (whether the CMC counts
identities) and ``plans(store, request)``.
"""

from __future__ import annotations

import difflib
import importlib
from typing import Protocol, cast

from vireid_cli.data.plan import EvaluationPlan
from vireid_cli.data.protocols.request import Request
from vireid_cli.data.store import Store
from vireid_cli.errors import UsageError
from vireid_cli.metrics.camera_rules import CameraRule

FAMILIES = {
    "sysu": "sysu",
    "regdb": "regdb",
    "llcm": "llcm",
    "oulu": "faces",
    "buaa": "faces",
    "folder": "folder",
}
"""Dataset → file of this folder."""


class Family(Protocol):
    """The public names of ``data/protocols/<family>.py``."""

    RULE: CameraRule
    MERGED: bool

    def plans(self, store: Store, request: Request) -> list[EvaluationPlan]:
        """Every evaluation that the request asks for on a dataset of this family."""
        ...


def family_of(dataset: str) -> Family:
    """The protocol family of a dataset.

    Raises:
        UsageError: The dataset has no protocol here.
    """
    if dataset not in FAMILIES:
        near = difflib.get_close_matches(dataset, FAMILIES, 1)
        raise UsageError(
            f"no protocol is known for dataset '{dataset}'; known: {', '.join(FAMILIES)}.",
            f"Did you mean '{near[0]}'?" if near else "",
        )
    return cast(Family, importlib.import_module(f"{__name__}.{FAMILIES[dataset]}"))


def rule_of(dataset: str) -> tuple[CameraRule, bool]:
    """Look up a dataset's camera rule, and whether its CMC counts identities.

    Raises:
        UsageError: No source of that name.
    """
    family = family_of(dataset)
    return family.RULE, family.MERGED


def plans_for(store: Store, request: Request) -> list[EvaluationPlan]:
    """Plan every evaluation that a request asks for, by the rules of the store's dataset.

    Raises:
        UsageError: A setting that the dataset's protocol does not know, or settings that contradict.
        DataError: The data can't serve the protocol.
    """
    return family_of(store.info.dataset).plans(store, request)


def fars_of(dataset: str) -> tuple[float, ...]:
    """False acceptance rates at which a dataset's verification rate is reported; none for people.

    Raises:
        UsageError: No source of that name.
    """
    return tuple(getattr(family_of(dataset), "FARS", ()))
