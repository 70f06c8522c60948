"""Evaluation protocols as plans, one file per family of datasets.

Each file draws the galleries exactly as published code does, including its quirks. The fingerprint of a plan
lists the choices of this package. Public names of a file: ``RULE`` (camera rule), ``MERGED`` (whether the CMC
counts identities), ``plans(store, request)``, ``check(request)`` and ``published(fingerprint)``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol, cast

from vireid_cli.data.plan import EvaluationPlan
from vireid_cli.data.protocols.request import Request
from vireid_cli.data.sources import load_source
from vireid_cli.data.store import Store
from vireid_cli.errors import UsageError
from vireid_cli.metrics.camera_rules import CameraRule


class Family(Protocol):
    """The public names of ``data/protocols/<family>.py``."""

    RULE: CameraRule
    MERGED: bool

    def plans(self, store: Store, request: Request) -> list[EvaluationPlan]:
        """Plan all evaluations of a request on a dataset of this family."""
        ...

    def check(self, request: Request) -> None:
        """Refuse unknown or contradictory settings."""
        ...

    def published(self, fingerprint: Mapping[str, Any]) -> str | None:
        """Name of the protocol in papers, such as ``all-single``; None if papers do not report it."""
        ...


def family_of(dataset: str) -> Family:
    """Load the protocol family of a dataset.

    Raises:
        UsageError: No source has this name.
    """
    return cast(Family, importlib.import_module(f"{__name__}.{load_source(dataset).PROTOCOL}"))


def rule_of(dataset: str) -> tuple[CameraRule, bool]:
    """Return the camera rule of a dataset, and whether its CMC counts identities.

    Raises:
        UsageError: No source has this name.
    """
    family = family_of(dataset)
    return family.RULE, family.MERGED


def check(dataset: str, request: Request) -> None:
    """Refuse settings that the protocol of a dataset does not have; needs no data.

    Raises:
        UsageError: A setting is unknown, or no source has this name.
    """
    family_of(dataset).check(request)


def plans_for(store: Store, request: Request) -> list[EvaluationPlan]:
    """Plan all evaluations of a request by the rules of the store's dataset.

    Raises:
        UsageError: Settings are unknown to the dataset's protocol or contradict each other.
        DataError: The data do not fit the protocol.
    """
    return family_of(store.info.dataset).plans(store, request)


def draws_galleries(dataset: str) -> bool:
    """Whether the protocol of a dataset draws its galleries, so that it needs the paths of the images.

    Raises:
        UsageError: No source has this name.
    """
    return bool(getattr(family_of(dataset), "DRAWS", False))


def has_directions(dataset: str) -> bool:
    """Whether the protocol of a dataset accepts the direction as a setting.

    Raises:
        UsageError: No source has this name.
    """
    try:
        check(dataset, Request(directions=("i2v",)))
    except UsageError:
        load_source(dataset)  # raises for an unknown name
        return False
    return True


def fars_of(dataset: str) -> tuple[float, ...]:
    """False acceptance rates of a dataset's verification rates; empty for datasets without verification.

    Raises:
        UsageError: No source has this name.
    """
    return tuple(getattr(family_of(dataset), "FARS", ()))


def published_name(dataset: str, fingerprint: Mapping[str, Any]) -> str | None:
    """Name of an evaluation's protocol in papers, a key of ``reported`` in recipes.

    Args:
        dataset: Dataset that defines the protocol.
        fingerprint: Fingerprint of a plan, or of a stored evaluation.

    Returns:
        None if papers do not report it, for example with another number of trials.

    Raises:
        UsageError: No source has this name.
    """
    return family_of(dataset).published(fingerprint)
