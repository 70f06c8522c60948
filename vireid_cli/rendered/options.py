"""The parameters of a rendered benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vireid_cli.counts import size_name
from vireid_cli.dial_defaults import DIALS
from vireid_cli.errors import UsageError
from vireid_cli.rendered.dials import Dials
from vireid_cli.types import Size

MOST_PEOPLE = 99_999
"""Largest number of people of a rendered benchmark."""

ADDED = {"more_test_ids": 0}
"""Parameters that manifests of older trees do not record, with their values there."""


@dataclass(frozen=True)
class RenderOptions:
    """Parameters of a rendered benchmark.

    Attributes:
        ids: Number of people of all splits.
        images: Images of each person from each camera that sees this person; cameras 1 and 2 of SYSU-MM01's
            layout have a third more, rounded up.
        seed: Seed of all random draws.
        size: Nominal (height, width) of a crop in pixels; sizes vary around it.
        layout: Dataset layout: ``sysu``, ``regdb`` or ``llcm``.
        gap, occlusion, pose, noise: See ``Dials``.
        more_test_ids: Test people in addition to those of ``ids``, numbered after them. Images of the others
            stay the same, so that more test people narrow the intervals of a study without other changes.

    Raises:
        UsageError: A number is out of range, or a parameter has no effect on the layout.
    """

    ids: int = 400
    images: int = 3
    seed: int = 0
    size: Size = (160, 80)
    layout: str = "sysu"
    gap: float = DIALS["gap"]
    occlusion: float = DIALS["occlusion"]
    pose: float = DIALS["pose"]
    noise: float = DIALS["noise"]
    more_test_ids: int = 0

    def __post_init__(self) -> None:
        limits = {
            "ids": (3, MOST_PEOPLE),
            "more_test_ids": (0, MOST_PEOPLE - self.ids),
            "images": (1, 9999),
            "seed": (0, 2**31 - 1),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(
                    f"rendered benchmark: {name} is {getattr(self, name)}; it must be from {low} to {high}."
                )
        if self.more_test_ids and self.layout == "regdb":
            raise UsageError(
                "rendered benchmark: the layout regdb has no additional test people, because each of its ten "
                "trials has its own.",
                "Give --ids, or the layout sysu or llcm.",
            )
        if self.layout == "regdb" and self.gap != DIALS["gap"]:
            raise UsageError(
                f"rendered benchmark: gap {self.gap:g} has no effect on the layout regdb: its infrared "
                "images are thermal, and gap changes near-infrared reflectance.",
                "Remove --gap, or choose the layout sysu or llcm.",
            )
        if not (32 <= self.size[0] <= 1024 and 16 <= self.size[1] <= 1024):
            raise UsageError(
                f"rendered benchmark: size is {size_name(self.size)}; it must be from 32x16 to 1024x1024."
            )
        self.dials  # noqa: B018  (checks the dials)

    @property
    def dials(self) -> Dials:
        """The dials."""
        return Dials(**{name: getattr(self, name) for name in DIALS})

    def as_parameters(self) -> dict[str, Any]:
        """Return the parameters in the form that the manifest records."""
        dials = {name: getattr(self, name) for name in DIALS}
        numbers = {name: getattr(self, name) for name in ("ids", *ADDED, "images", "seed")}
        return {**numbers, "size": list(self.size), **dials}
