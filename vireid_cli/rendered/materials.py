"""Cloth, skin and hair as light sees them: visible albedo, near-infrared reflectance, thermal emission.

The three spectra of one material are drawn apart, as chemistry has it:

- reactive and disperse dyes absorb visible light only, so that cloth dyed with them is bright in the near
  infrared whatever its colour, black included;
- carbon black and pigment prints absorb both, and stay dark;
- vat and sulphur dyes lie between;
- skin of every tone reflects about half of the near infrared, hair a little more than in the visible;
- thermal emission follows how warm a surface is: skin most, cloth less the thicker it is.

A pattern mixes two materials. Where both are reactive dyes it vanishes in the infrared; where one holds
carbon it stays. So colour cannot be matched across modalities, while cut, borders and texture can.
The shares of the dye classes are ours; the bands follow published textile spectra only qualitatively.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from vireid_cli.rendered.draws import choose

PATTERNS = (
    "plain",
    "stripes-across",
    "stripes-along",
    "check",
    "blocks",
    "print",
    "dots",
    "blotches",
    "weave",
)
RELIEFS = ("smooth", "knit", "ribs", "quilt")
SPECTRA = ("visible", "near_infrared", "thermal")


class Slot(IntEnum):
    """Which material a piece of the body wears."""

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


@dataclass(frozen=True, slots=True)
class Dye:
    """What one colour reflects and emits.

    Attributes:
        visible: Linear RGB albedo, each in [0, 1].
        near_infrared: Reflectance at about 850 nm in [0, 1].
        thermal: Emitted radiance, 0 the surroundings, 1 the warmest skin.
    """

    visible: tuple[float, float, float]
    near_infrared: float
    thermal: float

    def radiance(self, spectrum: str) -> tuple[float, float, float]:
        """The three channels that a camera of this spectrum sees (grey but for the visible)."""
        if spectrum == "visible":
            return self.visible
        value = self.near_infrared if spectrum == "near_infrared" else self.thermal
        return (value, value, value)


@dataclass(frozen=True, slots=True)
class Material:
    """Two dyes and the pattern that mixes them.

    Attributes:
        first, second: The ground and the figure of the pattern.
        pattern: One of ``PATTERNS``.
        period: Metres of one repeat (stripes, check), or the size of the motif (print, weave).
        phase: Two offsets in [0, 1) of the pattern.
        relief: One of ``RELIEFS``: knit, ribs lengthwise, quilted tubes across; seen in every spectrum.
        depth: How much light the relief's hollows lose, 0 to 1.
        pitch: Metres from one hollow to the next.
        folds: How far folds tilt the surface's normal (about radians).
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


# Linear RGB of common clothing colours and how often they are worn.
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
_DARK = {"black", "charcoal", "navy", "wine", "olive", "brown", "denim", "grey", "green", "purple"}


def dye_cloth(rng: np.random.Generator, thermal: float, *, avoid: Dye | None = None) -> Dye:
    """A cloth's dye: a colour, and a near-infrared reflectance drawn from its dye class.

    Args:
        rng: Where the draws come from.
        thermal: Emission of this garment.
        avoid: A dye whose colour this one must differ from visibly (the ground of a pattern).
    """
    while True:
        name = choose(rng, {key: weight for key, (weight, _) in _COLOURS.items()})
        base = np.array(_COLOURS[name][1])
        shade = base * rng.uniform(0.75, 1.3) * rng.uniform(0.88, 1.12, 3)
        visible = np.clip(shade, 0.012, 0.8)
        if avoid is None or abs(np.log(visible.mean() / np.mean(avoid.visible))) > 0.8:
            break
    shares = (
        {"reactive": 0.42, "vat": 0.18, "carbon": 0.40} if name in _DARK else {"reactive": 0.7, "vat": 0.3}
    )
    bands = {"reactive": (0.5, 0.85), "vat": (0.26, 0.5), "carbon": (0.045, 0.12)}
    low, high = bands[choose(rng, shares)]
    r, g, b = (float(x) for x in visible)
    return Dye((r, g, b), float(rng.uniform(low, high)), thermal)


def _figure_reflectance(rng: np.random.Generator, ground: Dye, figure: Dye) -> float:
    """Near-infrared reflectance of a pattern's figure.

    Two colours of one kind of dye look alike in the infrared; a figure printed or woven with carbon black, or
    left undyed on a ground of carbon black, stays; else it is as its own colour's dye was drawn.
    """
    kind = choose(rng, {"alike": 0.3, "carbon": 0.5, "drawn": 0.2})
    if kind == "alike" or ground is figure:
        return float(np.clip(ground.near_infrared * rng.uniform(0.85, 1.15), 0.04, 0.88))
    if kind == "carbon":
        dark = ground.near_infrared > 0.25
        return float(rng.uniform(0.045, 0.12) if dark else rng.uniform(0.5, 0.85))
    return figure.near_infrared


def weave_cloth(
    rng: np.random.Generator,
    thermal: float,
    patterns: dict[str, float],
    reliefs: dict[str, float],
    *,
    folds: float,
) -> Material:
    """A garment's cloth: one of the weighted ``patterns`` and ``reliefs``, its dyes, its measures."""
    first = dye_cloth(rng, thermal)
    pattern = choose(rng, patterns)
    second = first if pattern in ("plain", "weave") else dye_cloth(rng, thermal, avoid=first)
    second = replace(second, near_infrared=_figure_reflectance(rng, first, second))
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
    """Skin: melanin decides the visible colour and hardly touches the near infrared."""
    melanin = float(rng.beta(1.6, 2.2))
    light, dark = np.array([0.56, 0.36, 0.27]), np.array([0.10, 0.055, 0.035])
    r, g, b = (float(x) for x in light ** (1 - melanin) * dark**melanin)
    return Dye((r, g, b), float(rng.uniform(0.46, 0.60)) - 0.06 * melanin, float(rng.uniform(0.86, 0.98)))


def hair_colour(rng: np.random.Generator) -> Dye:
    """Hair: mostly dark, sometimes brown, fair or grey."""
    kind = choose(rng, {"black": 0.5, "brown": 0.28, "fair": 0.12, "grey": 0.10})
    tones = {
        "black": ((0.013, 0.011, 0.010), (0.10, 0.17)),
        "brown": ((0.065, 0.035, 0.018), (0.18, 0.30)),
        "fair": ((0.36, 0.24, 0.11), (0.40, 0.55)),
        "grey": ((0.30, 0.30, 0.30), (0.34, 0.48)),
    }
    colour, (low, high) = tones[kind]
    scale = float(rng.uniform(0.8, 1.25))
    r, g, b = (float(x) * scale for x in colour)
    return Dye((r, g, b), float(rng.uniform(low, high)), float(rng.uniform(0.48, 0.6)))


# Columns of a material's row, as the shader reads them.
COLUMNS = (
    "red1", "green1", "blue1", "red2", "green2", "blue2",
    "frequency_u", "frequency_v", "phase_u", "phase_v", "duty", "sharpness",
    "weight_u", "weight_v", "weight_motif", "motif", "window", "bent",
    "relief", "relief_u", "relief_v", "folds",
)  # fmt: skip


def material_row(material: Material, spectrum: str) -> list[float]:
    """The numbers that the shader needs of a material in one spectrum, in the order of ``COLUMNS``."""
    p, f = material.pattern, 1.0 / material.period
    across, along = p in ("stripes-across", "check"), p in ("stripes-along", "check")
    weight_u = 0.5 if p == "check" else float(along)
    weight_v = 0.5 if p == "check" else float(across or p == "blocks")
    # A print keeps to the chest; dots and blotches run all over.
    printed, spread = float(p == "print"), float(p in ("print", "dots", "blotches"))
    ribs = 0.0 if material.relief == "quilt" else 1.0 / material.pitch
    tubes = 0.0 if material.relief == "ribs" else 1.0 / material.pitch
    # A pattern's colours are equally warm, and hollows are hardly cooler: little remains of either.
    depth = material.depth * (0.35 if spectrum == "thermal" else 1.0)
    return [
        *material.first.radiance(spectrum), *material.second.radiance(spectrum),
        f if along else 0.0, 0.5 * f if p == "blocks" else (f if across else 0.0),
        material.phase[0], 0.1 * material.phase[1] + 0.35 if p == "blocks" else material.phase[1],
        0.5, 9.0,
        weight_u, weight_v, spread, f, printed, 0.0 if p == "dots" else 1.0,
        depth, ribs, tubes, material.folds,
    ]  # fmt: skip
