"""Dials of the renderer: width of the modality gap, occlusion, variation of posture, sensor noise.

All random draws are the same at every setting, so that the same people in the same places are compared. At
the defaults the dials change no bit of an image.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from vireid_cli.dial_defaults import DIALS
from vireid_cli.errors import UsageError
from vireid_cli.rendered.materials import Dye, Material

if TYPE_CHECKING:
    from vireid_cli.rendered.population import Person


@dataclass(frozen=True, slots=True)
class Dials:
    """Settings of the dials, each from 0 to 1.

    Attributes:
        gap: 1: near-infrared reflectance of people as measured; 0: it equals their visible luminance. Objects
            and background keep the measured one, and thermal images do not depend on it.
        occlusion: Probability that an object stands before a person.
        pose: Variation of direction, gait phase and posture: 0 none, 0.5 usual, 1 twice the usual.
        noise: Sensor noise: 0 none, 0.5 usual, 1 twice the usual.

    Raises:
        UsageError: A value is not from 0 to 1.
    """

    gap: float = DIALS["gap"]
    occlusion: float = DIALS["occlusion"]
    pose: float = DIALS["pose"]
    noise: float = DIALS["noise"]

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0.0 <= value <= 1.0:
                raise UsageError(f"rendered benchmark: {name} is {value:g}; it must be from 0 to 1.")

    @property
    def spread(self) -> float:
        """Factor on the variation of posture; 1 by default."""
        return 2.0 * self.pose

    @property
    def noise_factor(self) -> float:
        """Factor on the sensor noise; 1 by default."""
        return 2.0 * self.noise

    def dress(self, person: Person) -> Person:
        """Return the person in materials with a near-infrared reflectance that follows ``gap``."""
        if self.gap == 1.0:
            return person
        materials = tuple(self.tie(material) for material in person.materials)
        marks = tuple(replace(mark, dye=self.tie_dye(mark.dye)) for mark in person.marks)
        return replace(person, materials=materials, marks=marks)

    def tie(self, material: Material) -> Material:
        """Return a material with both dyes as ``tie_dye`` returns them."""
        return replace(material, first=self.tie_dye(material.first), second=self.tie_dye(material.second))

    def tie_dye(self, dye: Dye) -> Dye:
        """Blend the reflectance as measured with the luminance, by ``gap``."""
        value = self.gap * dye.near_infrared + (1.0 - self.gap) * dye.luminance
        return replace(dye, near_infrared=value)


USUAL = Dials()
"""The defaults."""
