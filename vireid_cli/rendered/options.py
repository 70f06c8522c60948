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


@dataclass(frozen=True)
class RenderOptions:
    """Parameters of a rendered benchmark.

    Attributes:
        ids: Number of people.
        images: Images of each person from each camera that sees this person; cameras 1 and 2 of SYSU-MM01's
            layout have a third more, rounded up.
        seed: Seed of all random draws.
        size: Nominal (height, width) of a crop in pixels; sizes vary around it.
        layout: Dataset layout: ``sysu``, ``regdb`` or ``llcm``.
        gap, occlusion, pose, noise: See ``Dials``.

    Raises:
        UsageError: A number is out of range.
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

    def __post_init__(self) -> None:
        limits = {"ids": (3, MOST_PEOPLE), "images": (1, 9999), "seed": (0, 2**31 - 1)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(
                    f"rendered benchmark: {name} is {getattr(self, name)}; it must be from {low} to {high}."
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
        return {"ids": self.ids, "images": self.images, "seed": self.seed, "size": list(self.size), **dials}
