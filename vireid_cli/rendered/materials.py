"""Optical properties of cloth, skin and hair: visible albedo, near-infrared reflectance, thermal emission.

The near-infrared reflectances follow the USGS spectral library splib07a at 850 nm (medians, quantiles and
shares; see ``bench.calibration``):

- cloth is bright whatever its colour: 79 % reflects more than half, and black cloth too, since dyes absorb
  visible light only; a few coated or carbon-black cloths stay dark;
- of pigment prints a third stay dark, of dark plastics (bags, shoes, straps) 71 %, for their carbon black;
- skin of every tone reflects 0.35 to 0.65, dark hair 0.15 to 0.35;
- thermal emission follows the temperature of the surface: skin is warmest, thick cloth coolest.

A pattern mixes two materials. Woven and dyed patterns mostly vanish in the infrared; prints partly remain.
Colour therefore cannot be matched across modalities, but cut, borders and texture can.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from vireid_cli.rendered.draws import choose

PATTERNS = (
    "plain", "stripes-across", "stripes-along", "check", "blocks", "print", "dots", "blotches", "weave",
)  # fmt: skip
RELIEFS = ("smooth", "knit", "ribs", "quilt")
SPECTRA = ("visible", "near_infrared", "thermal")


class Slot(IntEnum):
    """Index of the material of a body piece."""

    SKIN = 0
    HAIR = 1
    TOP = 2
    BOTTOM = 3
    SHOES = 4
    BAG = 5
    HAT = 6
    INNER = 7
    FACE = 8
    SLEEVE = 9
    SOLE = 10
    OBJECT = 11


WORN = tuple(slot for slot in Slot if slot is not Slot.OBJECT)
"""Slots of a person; the object is what stands before a person."""


@dataclass(frozen=True, slots=True)
class Dye:
    """Reflectance and emission of one colour.

    Attributes:
        visible: Linear RGB albedo, each in [0, 1].
        near_infrared: Reflectance at about 850 nm in [0, 1].
        thermal: Emitted radiance: 0 as the surroundings, 1 as the warmest skin.
    """

    visible: tuple[float, float, float]
    near_infrared: float
    thermal: float

    @property
    def luminance(self) -> float:
        """Luminous reflectance (Rec. 709 weights), in [0, 1]."""
        r, g, b = self.visible
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    def radiance(self, spectrum: str) -> tuple[float, float, float]:
        """Return the three channels of a camera of this spectrum; equal unless visible."""
        if spectrum == "visible":
            return self.visible
        value = self.near_infrared if spectrum == "near_infrared" else self.thermal
        return (value, value, value)


@dataclass(frozen=True, slots=True)
class Material:
    """Two dyes and the pattern that mixes them.

    Attributes:
        first, second: Dyes of the pattern's ground and figure.
        pattern: One of ``PATTERNS``.
        period: Metres of one repeat (stripes, check), or the size of the motif (print, weave).
        phase: Two offsets in [0, 1) of the pattern.
        relief: One of ``RELIEFS``: knit, lengthwise ribs, quilted tubes across; visible in every spectrum.
        depth: Share of light lost in the relief's hollows, 0 to 1.
        pitch: Distance between hollows, metres.
        folds: Tilt of the surface normal by folds, about radians.
    """

    first: Dye
    second: Dye
    pattern: str = "plain"
    period: float = 0.08
    phase: tuple[float, float] = (0.0, 0.0)
    relief: str = "smooth"
    depth: float = 0.0
    pitch: float = 0.04
    folds: float = 0.0


# Linear RGB of common clothing colours and their frequencies.
_COLOURS: dict[str, tuple[float, tuple[float, float, float]]] = {
    "black": (20, (0.018, 0.018, 0.020)),
    "charcoal": (8, (0.055, 0.055, 0.060)),
    "grey": (8, (0.20, 0.20, 0.21)),
    "white": (10, (0.72, 0.72, 0.70)),
    "navy": (9, (0.018, 0.028, 0.085)),
    "denim": (8, (0.07, 0.12, 0.25)),
    "sky": (4, (0.25, 0.42, 0.62)),
    "red": (5, (0.45, 0.035, 0.04)),
    "wine": (3, (0.14, 0.016, 0.03)),
    "green": (4, (0.05, 0.20, 0.08)),
    "olive": (4, (0.11, 0.12, 0.045)),
    "beige": (6, (0.47, 0.36, 0.23)),
    "brown": (4, (0.12, 0.06, 0.03)),
    "yellow": (3, (0.65, 0.45, 0.05)),
    "pink": (3, (0.60, 0.25, 0.30)),
    "purple": (2, (0.14, 0.05, 0.22)),
    "orange": (2, (0.60, 0.20, 0.03)),
    "teal": (2, (0.03, 0.22, 0.24)),
}
_PLASTIC_COLOURS = ("black", "charcoal", "brown", "navy", "grey", "white", "red", "beige", "olive", "green")
PRINTED = ("print", "dots", "blotches")
"""Patterns of pigment; the others are woven or dyed."""


def _draw_colour(
    rng: np.random.Generator, names: tuple[str, ...], avoid: Dye | None
) -> tuple[float, float, float]:
    """Draw a linear RGB albedo near one of the named colours, of visibly different brightness than a dye."""
    while True:
        name = choose(rng, {key: _COLOURS[key][0] for key in names})
        shade = np.array(_COLOURS[name][1]) * rng.uniform(0.75, 1.3) * rng.uniform(0.88, 1.12, 3)
        r, g, b = (float(x) for x in np.clip(shade, 0.012, 0.8))
        if avoid is None or abs(np.log((r + g + b) / sum(avoid.visible))) > 0.8:
            return (r, g, b)


def cloth_reflectance(rng: np.random.Generator, bright: float) -> float:
    """Draw the near-infrared reflectance of cloth.

    A share ``bright`` reflects 0.5 to 0.8, and 5 % is coated or blackened and reflects less than 0.2.
    """
    kind, at = rng.random(), rng.random()
    if kind < bright:
        return float(0.50 + 0.30 * at)
    return float(0.22 + 0.28 * at if kind < 0.95 else 0.05 + 0.15 * at)


def dye_cloth(
    rng: np.random.Generator, thermal: float, *, avoid: Dye | None = None, bright: float = 0.82
) -> Dye:
    """Draw a cloth's dye: a colour, and a near-infrared reflectance that does not depend on it.

    Args:
        rng: Source of the draws.
        thermal: Emission of this garment.
        avoid: A dye of visibly different colour (the ground of a pattern).
        bright: Share of cloth that reflects more than half of the near infrared.
    """
    visible = _draw_colour(rng, tuple(_COLOURS), avoid)
    return Dye(visible, cloth_reflectance(rng, bright), thermal)


def dye_plastic(rng: np.random.Generator, thermal: float = 0.28) -> Dye:
    """Draw plastic or leather of bags, shoes, straps and zips: 71 % of the dark ones have carbon black.

    The others reflect somewhat more of the near infrared than of the visible.
    """
    visible = _draw_colour(rng, _PLASTIC_COLOURS, None)
    kind, at = rng.random(), rng.random()
    grey = sum(visible) / 3
    if grey < 0.15:
        return Dye(visible, float(0.04 + 0.12 * at if kind < 0.71 else 0.32 + 0.33 * at), thermal)
    return Dye(visible, float(np.clip(grey * (0.9 + 0.5 * at) + 0.05, 0.2, 0.8)), thermal)


def pigment_reflectance(rng: np.random.Generator) -> float:
    """Draw the near-infrared reflectance of a pigment print: a third stays dark."""
    kind, at = rng.random(), rng.random()
    return float(0.04 + 0.12 * at if kind < 1 / 3 else 0.25 + 0.45 * at)


def dye_pigment(rng: np.random.Generator, ground: Dye) -> Dye:
    """Draw the pigment of a badge or band on a garment, of visibly different colour."""
    return Dye(_draw_colour(rng, tuple(_COLOURS), ground), pigment_reflectance(rng), ground.thermal)


def _figure_reflectance(rng: np.random.Generator, pattern: str, ground: Dye, figure: Dye) -> float:
    """Draw the near-infrared reflectance of a pattern's figure.

    Pigments follow ``pigment_reflectance``. Of woven patterns two in five are one cloth dyed in two colours,
    which look alike in the infrared; the figure of the others keeps its own reflectance.
    """
    alike, spread = rng.random() < 0.4, rng.uniform(0.92, 1.08)
    if pattern in PRINTED:
        return pigment_reflectance(rng)
    if alike or ground is figure:
        return float(np.clip(ground.near_infrared * spread, 0.04, 0.88))
    return figure.near_infrared


def weave_cloth(
    rng: np.random.Generator,
    thermal: float,
    patterns: dict[str, float],
    reliefs: dict[str, float],
    *,
    folds: float,
    bright: float = 0.82,
) -> Material:
    """Draw a garment's cloth: one of the weighted ``patterns`` and ``reliefs``, dyes and dimensions.

    ``bright`` is the share of cloth that reflects more than half of the near infrared.
    """
    first = dye_cloth(rng, thermal, bright=bright)
    pattern = choose(rng, patterns)
    second = first if pattern in ("plain", "weave") else dye_cloth(rng, thermal, avoid=first)
    second = replace(second, near_infrared=_figure_reflectance(rng, pattern, first, second))
    periods = {
        "stripes-across": (0.06, 0.17), "stripes-along": (0.05, 0.12), "check": (0.09, 0.2),
        "print": (0.08, 0.16), "blocks": (0.30, 0.42), "dots": (0.075, 0.15), "blotches": (0.12, 0.26),
    }  # fmt: skip
    pitches = {"knit": (0.04, 0.075), "ribs": (0.045, 0.09), "quilt": (0.08, 0.15), "smooth": (0.03, 0.04)}
    relief = "knit" if pattern == "weave" else choose(rng, reliefs)
    return Material(
        first,
        second,
        pattern,
        float(rng.uniform(*periods.get(pattern, (0.05, 0.1)))),
        (float(rng.random()), float(rng.random())),
        relief,
        float(rng.uniform(0.35, 0.65)) if relief != "smooth" else 0.03,
        float(rng.uniform(*pitches[relief])),
        folds * float(rng.uniform(0.7, 1.3)),
    )


def skin_tone(rng: np.random.Generator) -> Dye:
    """Draw skin: melanin determines the visible colour and affects the near infrared little."""
    melanin = float(rng.beta(1.6, 2.2))
    light, dark = np.array([0.56, 0.36, 0.27]), np.array([0.10, 0.055, 0.035])
    r, g, b = (float(x) for x in light ** (1 - melanin) * dark**melanin)
    return Dye((r, g, b), float(rng.uniform(0.52, 0.66)) - 0.16 * melanin, float(rng.uniform(0.86, 0.98)))


def hair_colour(rng: np.random.Generator) -> Dye:
    """Draw hair: mostly dark, sometimes brown, fair or grey."""
    kind = choose(rng, {"black": 0.5, "brown": 0.28, "fair": 0.12, "grey": 0.10})
    tones = {
        "black": ((0.013, 0.011, 0.010), (0.15, 0.28)),
        "brown": ((0.065, 0.035, 0.018), (0.20, 0.35)),
        "fair": ((0.36, 0.24, 0.11), (0.40, 0.55)),
        "grey": ((0.30, 0.30, 0.30), (0.34, 0.48)),
    }
    colour, (low, high) = tones[kind]
    scale = float(rng.uniform(0.8, 1.25))
    r, g, b = (float(x) * scale for x in colour)
    return Dye((r, g, b), float(rng.uniform(low, high)), float(rng.uniform(0.48, 0.6)))


# Columns of a material's row, in the shader's order.
COLUMNS = (
    "red1", "green1", "blue1", "red2", "green2", "blue2",
    "frequency_u", "frequency_v", "phase_u", "phase_v", "duty", "sharpness",
    "weight_u", "weight_v", "weight_motif", "motif", "window", "bent",
    "relief", "relief_u", "relief_v", "folds",
)  # fmt: skip


def material_row(material: Material, spectrum: str) -> list[float]:
    """Return the shader's numbers of a material in one spectrum, in the order of ``COLUMNS``."""
    p, f = material.pattern, 1.0 / material.period
    across, along = p in ("stripes-across", "check"), p in ("stripes-along", "check")
    weight_u = 0.5 if p == "check" else float(along)
    weight_v = 0.5 if p == "check" else float(across or p == "blocks")
    # A print is on the chest only; dots and blotches cover the garment.
    printed, spread = float(p == "print"), float(p in ("print", "dots", "blotches"))
    ribs = 0.0 if material.relief == "quilt" else 1.0 / material.pitch
    tubes = 0.0 if material.relief == "ribs" else 1.0 / material.pitch
    # A pattern's colours are equally warm, and hollows are hardly cooler: thermal images barely show them.
    depth = material.depth * (0.35 if spectrum == "thermal" else 1.0)
    return [
        *material.first.radiance(spectrum), *material.second.radiance(spectrum),
        f if along else 0.0, 0.5 * f if p == "blocks" else (f if across else 0.0),
        material.phase[0], 0.1 * material.phase[1] + 0.35 if p == "blocks" else material.phase[1],
        0.5, 9.0,
        weight_u, weight_v, spread, f, printed, 0.0 if p == "dots" else 1.0,
        depth, ribs, tubes, material.folds,
    ]  # fmt: skip
