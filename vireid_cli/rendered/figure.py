"""What the sculpting functions share: the sculptor, the joints, and the traits as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vireid_cli.rendered.population import Person
from vireid_cli.rendered.primitives import Sculptor
from vireid_cli.rendered.skeleton import column

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Figure:
    """B people who are being sculpted.

    Attributes:
        sculptor: Collects the solids.
        joints: (B, 3) by name, from ``pose_joints``.
        people: Who they are.
        h, build, loose: Stature (m), build and cut of the clothes, (B,).
        left: (B, 3) the person's left.
        hang: (B,) how far below the hip joints the top garment falls, metres; negative where it is tucked
            in, very large where it does not end (coats, dresses).
    """

    sculptor: Sculptor
    joints: dict[str, Array]
    people: list[Person]
    h: Array
    build: Array
    loose: Array
    left: Array
    hang: Array

    def trait(self, name: str) -> Array:
        """A numeric trait, (B,)."""
        return column(self.people, name)

    def is_any(self, name: str, *values: str) -> Array:
        """(B,) bool: the named trait is one of ``values``."""
        return np.array([getattr(person, name) in values for person in self.people])
