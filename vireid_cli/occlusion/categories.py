"""Categories of occluders: scene, placement, size and tilt of each (docs/methods.md#occluder-library).

The sizes' ranges, and which placement gets which share, are our reading: the paper names them only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scene = Literal["indoor", "outdoor", "both"]
Placement = Literal["bottom", "left", "right", "top", "float"]
SizeClass = Literal["S", "M", "L"]

SIZE_RANGE: dict[str, tuple[float, float]] = {"S": (0.1, 0.5), "M": (0.3, 1.15), "L": (0.55, 2.2)}
"""Longer side of an occluder's box over the image's height, which a person fills."""


@dataclass(frozen=True, slots=True)
class Category:
    """How the things of one category are placed.

    Attributes:
        scene: Where they are met.
        placements: Where in the image they may be anchored.
        size: Linear size against a person's height.
        tilt: Largest rotation either way, in degrees.
        height: Range of its box's height over the image's: what stands before a person is nearer to the
            camera, so nothing looks smaller than it is beside the person (a bus no lower than a child).
        mirrored: Whether half of them are flipped; not what bears writing.
    """

    scene: Scene
    placements: tuple[Placement, ...]
    size: SizeClass
    tilt: float
    height: tuple[float, float] = (0.0, 2.2)
    mirrored: bool = True


_SIDES: tuple[Placement, ...] = ("left", "right")
CATEGORIES: dict[str, Category] = {
    "person": Category("both", _SIDES, "L", 5, (0.75, 1.6)),
    "car": Category("outdoor", ("bottom",), "L", 3, (0.45, 2.2)),
    "bus": Category("outdoor", ("bottom",), "L", 3, (0.75, 2.2)),
    "truck": Category("outdoor", ("bottom",), "L", 3, (0.75, 2.2)),
    "bicycle": Category("outdoor", ("bottom", *_SIDES), "M", 8, (0.35, 1.2)),
    "motorcycle": Category("outdoor", ("bottom", *_SIDES), "M", 8, (0.35, 1.2)),
    "bench": Category("both", ("bottom",), "M", 5, (0.25, 0.8)),
    "chair": Category("both", ("bottom",), "M", 5, (0.35, 0.9)),
    "potted plant": Category("both", ("bottom",), "M", 5),
    "fire hydrant": Category("outdoor", ("bottom",), "S", 5),
    "bin": Category("both", ("bottom",), "M", 5, (0.35, 1.0)),
    "fence": Category("outdoor", ("bottom",), "L", 5, (0.25, 1.2)),
    "stop sign": Category("outdoor", _SIDES, "M", 5, (0.85, 2.2), mirrored=False),
    "traffic light": Category("outdoor", _SIDES, "M", 5, (0.85, 2.2)),
    "parking meter": Category("outdoor", _SIDES, "M", 5, (0.6, 1.2)),
    "pole": Category("outdoor", _SIDES, "M", 5, (0.85, 2.2)),
    "umbrella": Category("outdoor", ("top",), "M", 25),
    "backpack": Category("both", ("bottom", "float"), "S", 30),
    "handbag": Category("both", ("bottom", "float"), "S", 30),
    "suitcase": Category("both", ("bottom", "float"), "S", 30),
    "dog": Category("both", ("bottom",), "S", 5),
}
"""Section 5.2's table; pole, bin and fence are its user classes (fence: our row)."""
