"""Shared input of the sculpting functions: the sculptor, the joints, and the traits as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vireid_cli.rendered.population import Person
from vireid_cli.rendered.primitives import Sculptor
from vireid_cli.rendered.skeleton import column

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Figure:
    """State of sculpting B people.

    Attributes:
        sculptor: Collects the solids.
        joints: Joint positions (B, 3), keyed by name, from ``pose_joints``.
        people: The B people.
        h, build, loose: Stature (m), build and cut of the clothes, (B,).
        left: Unit vectors to the person's left, (B, 3).
        hang: Length of the top garment below the hip joints, metres, (B,): negative for tops tucked in, very
            large for coats and dresses.
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
        """Return a numeric trait, (B,)."""
        return column(self.people, name)

    def is_any(self, name: str, *values: str) -> Array:
        """Whether the named trait is one of ``values``, (B,) bool."""
        return np.array([getattr(person, name) in values for person in self.people])
