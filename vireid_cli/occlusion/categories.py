"""Categories of occluders: scene, placements, size and tilt of each (docs/methods.md#occluder-library).

The paper only names sizes and placements; the ranges of sizes and the shares of placements are our reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scene = Literal["indoor", "outdoor", "both"]
Placement = Literal["bottom", "left", "right", "top", "float"]
SizeClass = Literal["S", "M", "L"]

SIZE_RANGE: dict[str, tuple[float, float]] = {"S": (0.1, 0.5), "M": (0.3, 1.15), "L": (0.55, 2.2)}
"""Longer side of an occluder's box relative to the height of the image, which a person fills."""


@dataclass(frozen=True, slots=True)
class Category:
    """Placement rules of one category.

    Attributes:
        scene: Scene that contains such objects.
        placements: Allowed anchors in the image.
        size: Linear size relative to a person's height.
        tilt: Maximum rotation in either direction, in degrees.
        height: Range of the box height relative to the image height. An occluder is nearer to the camera than
            the person, so that it never looks smaller than its real size (a bus no lower than a child).
        mirrored: Whether half of the occluders are mirrored; False for objects with text.
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
"""Table of the paper's section 5.2; pole, bin and fence are its user classes, with our values for fence."""
