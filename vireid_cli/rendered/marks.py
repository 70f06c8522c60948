"""Marks on garments: openings and zips, straps, belts, badges, bands, stripes, pockets and patches.

A mark is a strip or a rectangle in the coordinates of its garment, so that it stays in place in every pose.
Marks are where people in similar cloth differ, also in the infrared: straps and zips are plastic and mostly
dark, badges and bands are pigment prints, of which a third stay dark.

Texture heights, in shares of the stature: on the torso 0 at the hip joints, 0.08 at the waist, 0.29 at the
shoulders; on an arm 0 at the shoulder, 0.18 at the elbow, 0.32 at the wrist; on a leg 0 at the hip, 0.24 at
the knee, 0.49 at the ankle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vireid_cli.rendered.draws import choose
from vireid_cli.rendered.materials import Dye, Slot, dye_pigment, dye_plastic

Array = np.ndarray
FAR = 9.0
"""Height in metres that no garment reaches."""

COLUMNS = (
    "factor", "slope", "offset", "half", "low", "high", "folded", "side", "red", "green", "blue",
)  # fmt: skip
"""Rows of a mark in the shader's table; see ``GarmentMark``."""


@dataclass(frozen=True, slots=True)
class GarmentMark:
    """One strip on a garment: |factor·x + slope·height + offset| < half and low < height < high.

    Attributes:
        slot: The garment.
        dye: Colour of the mark.
        half: Half the strip's width, metres.
        low, high: Texture heights between which the strip lies, metres.
        factor, slope, offset: The strip's middle line; x is lateral on the torso and around other limbs.
        folded: Whether |x| replaces x, for marks on both sides.
        side: 1 front, −1 back, 0 all round.
    """

    slot: Slot
    dye: Dye
    half: float
    low: float = -FAR
    high: float = FAR
    factor: float = 1.0
    slope: float = 0.0
    offset: float = 0.0
    folded: bool = False
    side: int = 0

    def row(self, spectrum: str) -> list[float]:
        """Return the shader's numbers in one spectrum, in the order of ``COLUMNS``."""
        return [
            self.factor, self.slope, self.offset, self.half, self.low, self.high,
            float(self.folded), float(self.side), *self.dye.radiance(spectrum),
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outfit:
    """What marks depend on.

    Attributes:
        h: Stature in metres.
        top, bottom, carried: As in ``Person``.
        hem, bag_side: As in ``Person``.
        girth: Half the circumference of a trouser leg at the hip, metres.
        by_slot: Materials' ground colours.
    """

    h: float
    top: str
    bottom: str
    carried: str
    hem: float
    bag_side: float
    girth: float
    by_slot: dict[Slot, Dye]


def mark_tables(people: list[tuple[GarmentMark, ...]], spectra: list[str]) -> dict[Slot, Array]:
    """Return the marks of B people as the shader's tables, keyed by garment.

    A table is (K·11, B) with rows of ``COLUMNS`` for each mark; K is the largest number of marks of one
    person on this garment. Garments without marks have no table.
    """
    tables = {}
    for slot in sorted({mark.slot for marks in people for mark in marks}):
        of_slot = [[mark for mark in marks if mark.slot == slot] for marks in people]
        table = np.zeros((len(people), max(map(len, of_slot)), len(COLUMNS)))
        table[:, :, COLUMNS.index("half")] = -1.0  # an absent mark covers nothing
        for i, (marks, spectrum) in enumerate(zip(of_slot, spectra, strict=True)):
            if marks:
                table[i, : len(marks)] = [mark.row(spectrum) for mark in marks]
        tables[slot] = table.reshape(len(people), -1).T
    return tables


def draw_marks(rng: np.random.Generator, outfit: Outfit) -> tuple[GarmentMark, ...]:
    """Draw a person's marks; later ones cover earlier ones."""
    return (
        *_front(rng, outfit),
        *_chest(rng, outfit),
        *_waist(rng, outfit),
        *_arms(rng, outfit),
        *_legs(rng, outfit),
        *_straps(rng, outfit),
    )


def _front(rng: np.random.Generator, outfit: Outfit) -> list[GarmentMark]:
    """Opening of a jacket or coat, a zip, a placket, or nothing."""
    h, inner = outfit.h, outfit.by_slot[Slot.INNER]
    zipped, plastic = rng.random(), dye_plastic(rng)
    if outfit.top in ("jacket", "coat") and zipped > 0.35:
        return [GarmentMark(Slot.TOP, inner, (0.008 + 0.024 * outfit.hem) * h, side=1)]
    if outfit.top in ("jacket", "coat") or (outfit.top == "shirt" and zipped < 0.4):
        return [GarmentMark(Slot.TOP, plastic, 0.0055 * h, side=1)]
    return []


def _chest(rng: np.random.Generator, outfit: Outfit) -> list[GarmentMark]:
    """Badge, number on the back, bands, yoke, pocket, lanyard or reflective strips."""
    h, u = outfit.h, rng.uniform
    kind = choose(
        rng,
        {"none": 0.24, "badge": 0.17, "number": 0.15, "band": 0.14, "yoke": 0.11, "pocket": 0.08,
         "lanyard": 0.05, "reflective": 0.06},
    )  # fmt: skip
    dye, x, y = dye_pigment(rng, outfit.by_slot[Slot.TOP]), u(-0.045, 0.045) * h, u(0.14, 0.24) * h
    width, tall = u(0.014, 0.034) * h, u(0.012, 0.03) * h
    if kind == "badge":
        side = int(rng.choice([-1, 1]))
        return [GarmentMark(Slot.TOP, dye, width, y - tall, y + tall, offset=-x, side=side)]
    if kind == "number":
        return [GarmentMark(Slot.TOP, dye, 1.5 * width, 0.19 * h - 2 * tall, 0.19 * h + 2 * tall, side=-1)]
    if kind == "band":
        band = u(0.012, 0.045) * h
        low = u(0.08, 0.22) * h
        return [GarmentMark(Slot.TOP, dye, FAR, low, low + band)]
    if kind == "yoke":
        edge = u(0.2, 0.245) * h
        across = edge - 0.05 * h
        return [
            GarmentMark(Slot.TOP, dye, FAR, edge),
            GarmentMark(Slot.SLEEVE, dye, FAR, -FAR, max(0.295 * h - across, 0.04 * h)),
        ]
    if kind == "pocket":
        low = u(0.03, 0.06) * h
        return [GarmentMark(Slot.TOP, dye, 0.05 * h, low, low + 0.055 * h, side=1)]
    if kind == "lanyard":
        line = {"slope": -0.36, "offset": 0.36 * 0.16 * h}
        return [GarmentMark(Slot.TOP, dye, 0.0065 * h, 0.16 * h, folded=True, side=1, **line)]
    if kind == "reflective":
        bright = Dye((0.62, 0.63, 0.6), float(u(0.8, 0.92)), dye.thermal)
        low = u(0.08, 0.12) * h
        return [
            GarmentMark(Slot.TOP, bright, FAR, low, low + 0.026 * h),
            GarmentMark(Slot.TOP, bright, FAR, low + 0.07 * h, low + 0.096 * h),
        ]
    return []


def _waist(rng: np.random.Generator, outfit: Outfit) -> list[GarmentMark]:
    """Belt of a coat, dress or shirt, or a hem band."""
    h, u = outfit.h, rng.uniform
    chance, low, width = rng.random(), u(0.05, 0.075) * h, u(0.012, 0.028) * h
    belt, hem = dye_plastic(rng), dye_pigment(rng, outfit.by_slot[Slot.TOP])
    if chance < (0.4 if outfit.top in ("coat", "dress") else 0.12):
        return [GarmentMark(Slot.TOP, belt, FAR, low, low + width)]
    if chance > 0.86 and outfit.top in ("tee", "shirt", "jacket"):
        return [GarmentMark(Slot.TOP, hem, FAR, -FAR, u(-0.005, 0.03) * h)]
    return []


def _arms(rng: np.random.Generator, outfit: Outfit) -> list[GarmentMark]:
    """Armband, cuffs, elbow patches or a stripe along the outside of the sleeves."""
    h, u = outfit.h, rng.uniform
    kind = choose(rng, {"none": 0.5, "band": 0.15, "cuff": 0.12, "elbow": 0.08, "stripe": 0.15})
    dye, width, low = dye_pigment(rng, outfit.by_slot[Slot.SLEEVE]), u(0.014, 0.032) * h, u(0.04, 0.12) * h
    if kind == "band":
        return [GarmentMark(Slot.SLEEVE, dye, FAR, low, low + width)]
    if kind == "cuff":
        return [GarmentMark(Slot.SLEEVE, dye, FAR, 0.32 * h - 1.6 * width)]
    if kind == "elbow":
        return [GarmentMark(Slot.SLEEVE, dye, FAR, 0.155 * h, 0.205 * h, side=-1)]
    if kind == "stripe":
        middle = 0.5 * np.pi * 0.034 * h
        return [GarmentMark(Slot.SLEEVE, dye, float(u(0.008, 0.016)) * h, offset=-middle, folded=True)]
    return []


def _legs(rng: np.random.Generator, outfit: Outfit) -> list[GarmentMark]:
    """Side stripes, knee patches, a band above the hem, or thigh pockets of trousers and shorts."""
    h, u = outfit.h, rng.uniform
    kind = choose(rng, {"none": 0.44, "stripe": 0.2, "knee": 0.08, "hem": 0.19, "pocket": 0.09})
    dye, low, width = dye_pigment(rng, outfit.by_slot[Slot.BOTTOM]), u(0.3, 0.4) * h, u(0.02, 0.05) * h
    stripe = u(0.009, 0.02) * h
    if outfit.bottom == "skirt" or kind == "none":
        return []
    if kind == "stripe":
        return [GarmentMark(Slot.BOTTOM, dye, float(stripe), offset=-0.5 * outfit.girth, folded=True)]
    if kind == "knee":
        return [GarmentMark(Slot.BOTTOM, dye, 0.034 * h, 0.205 * h, 0.285 * h, side=1)]
    if kind == "hem":
        return [GarmentMark(Slot.BOTTOM, dye, FAR, low, low + width)]
    half = 0.022 * h
    return [GarmentMark(Slot.BOTTOM, dye, half, 0.12 * h, 0.2 * h, offset=-0.5 * outfit.girth, folded=True)]


def _straps(rng: np.random.Generator, outfit: Outfit) -> list[GarmentMark]:
    """Straps of the carried bag."""
    h, bag = outfit.h, outfit.by_slot[Slot.BAG]
    width, chest, clip = rng.uniform(0.008, 0.017) * h, rng.random() < 0.35, rng.uniform(0.17, 0.21) * h
    if outfit.carried == "backpack":
        straps = [
            GarmentMark(Slot.TOP, bag, width, 0.13 * h, slope=0.06, offset=-0.075 * h, folded=True, side=1)
        ]
        return (
            [*straps, GarmentMark(Slot.TOP, bag, 0.07 * h, clip, clip + 0.012 * h, side=1)]
            if chest
            else straps
        )
    if outfit.carried == "shoulder-bag":
        # From the far shoulder down to the hip on the bag's side.
        slope = outfit.bag_side * 0.62
        return [GarmentMark(Slot.TOP, bag, width, slope=slope, offset=-slope * 0.155 * h)]
    if outfit.carried == "chest-bag":
        slope = outfit.bag_side * 0.8
        return [GarmentMark(Slot.TOP, bag, width, slope=slope, offset=-slope * 0.19 * h)]
    if outfit.carried == "waist-bag":
        return [GarmentMark(Slot.TOP, bag, FAR, 0.015 * h, 0.015 * h + 1.6 * width)]
    return []
