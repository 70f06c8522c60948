"""The field's protocols as evaluation plans, one file a family.

Each file draws the galleries exactly as the field's code does, quirks included; what is ours stands in
the plan's fingerprint. Its public names: ``RULE`` (camera rule), ``MERGED`` (whether the CMC counts
identities), ``plans(store, request)``, ``check(request)`` and ``published(plan)``.
"""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from vireid_cli.data.plan import EvaluationPlan
from vireid_cli.data.protocols.request import Request
from vireid_cli.data.sources import load_source
from vireid_cli.data.store import Store
from vireid_cli.metrics.camera_rules import CameraRule


class Family(Protocol):
    """The public names of ``data/protocols/<family>.py``."""

    RULE: CameraRule
    MERGED: bool

    def plans(self, store: Store, request: Request) -> list[EvaluationPlan]:
        """Every evaluation that the request asks for on a dataset of this family."""
        ...

    def check(self, request: Request) -> None:
        """Refuse settings that the protocol does not know, or that contradict each other."""
        ...

    def published(self, plan: EvaluationPlan) -> str | None:
        """The protocol whose metrics papers print, if the plan is that one: ``all-single``, ``v2i``."""
        ...


def family_of(dataset: str) -> Family:
    """The protocol family that a source names.

    Raises:
        UsageError: No source of that name.
    """
    return cast(Family, importlib.import_module(f"{__name__}.{load_source(dataset).PROTOCOL}"))


def rule_of(dataset: str) -> tuple[CameraRule, bool]:
    """Look up a dataset's camera rule, and whether its CMC counts identities.

    Raises:
        UsageError: No source of that name.
    """
    family = family_of(dataset)
    return family.RULE, family.MERGED


def check(dataset: str, request: Request) -> None:
    """Refuse settings that a dataset's protocol does not know, without its data.

    Raises:
        UsageError: There is one, or no source of that name.
    """
    family_of(dataset).check(request)


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


def published_name(dataset: str, plan: EvaluationPlan) -> str | None:
    """Name the protocol of papers that a plan is, as recipes call it in ``reported``.

    Returns:
        None where papers report something else: another number of trials, validation identities.

    Raises:
        UsageError: No source of that name.
    """
    return family_of(dataset).published(plan)
