"""Clothes and carried objects: skirts and coats, hair, hats, bags, straps and openings."""

from __future__ import annotations

from typing import Any

import numpy as np

from vireid_cli.rendered.figure import Figure
from vireid_cli.rendered.materials import Slot
from vireid_cli.rendered.population import Person
from vireid_cli.rendered.primitives import INFINITE, frame_along
from vireid_cli.rendered.skeleton import column

Array = np.ndarray


def top_lengths(people: list[Person]) -> Array:
    """Length of the tops below the hip joints, metres, (B,).

    Negative for tops tucked into a skirt, ``INFINITE`` for coats and dresses.
    """
    tucked = np.array([person.bottom == "skirt" and person.top in ("tee", "shirt") for person in people])
    endless = np.array([person.top in ("coat", "dress") for person in people])
    hang = np.where(tucked, -0.075, 0.005 + 0.03 * column(people, "hem")) * column(people, "stature")
    return np.where(endless, INFINITE, hang)


def add_skirt(figure: Figure) -> None:
    """Add the part of skirts, dresses and coats below the pelvis: a flared elliptic cone."""
    s, j, h = figure.sculptor, figure.joints, figure.h
    skirt, coat = figure.is_any("bottom", "skirt"), figure.is_any("top", "coat")
    length = skirt_length(figure)
    r = 0.096 * h * figure.trait("hips") * figure.build**0.6 * np.where(coat, 1.12, 1.03)
    flare = r * np.where(coat, 1.16, 1.18 + 0.25 * (figure.loose - 1.0))
    knees = (j["left_knee"] + j["right_knee"]) / 2
    top = j["pelvis"] + (j["waist"] - j["pelvis"]) * 0.25
    towards = knees - top
    end = top + towards / np.linalg.norm(towards, axis=1, keepdims=True) * length[:, None]
    slot = np.where(coat, int(Slot.TOP), int(Slot.BOTTOM))
    stride = np.linalg.norm(j["left_knee"] - j["right_knee"], axis=1)
    ratio = np.clip(0.72 + 0.9 * stride / h, 0.72, 1.05)
    s.cone(
        top, end, (r, flare), figure.left, (slot, slot),
        ratio=ratio, around=r, flip=True, painted=True, present=skirt | coat,
    )  # fmt: skip


def skirt_length(figure: Figure) -> Array:
    """Length of skirts and coats below the belt, metres, (B,)."""
    coat, hem = figure.is_any("top", "coat"), figure.trait("hem")
    return np.where(coat, 0.14 + 0.14 * hem, 0.18 + 0.20 * hem) * figure.h


def add_hair_and_hat(figure: Figure) -> None:
    """Add a cap of hair that leaves the face free, long hair or a bun at the back, and hats."""
    s, j = figure.sculptor, figure.joints
    size = figure.h**0.5 * 1.32 * figure.trait("head")
    frame, _ = frame_along(j["head"], j["head"] + j["head_up"], j["head_left"])
    # Tilted back: the axis of the hair leans away from the face, so that its cut edge is the hairline.
    tilt = np.array([[1, 0, 0], [0, 0.62, -0.785], [0, 0.785, 0.62]])
    tilted = np.einsum("ij,bjk->bik", tilt, frame)
    up, forward = j["head_up"], frame[:, 2]
    skull = j["head"] + up * (0.024 * size)[:, None] - forward * (0.012 * size)[:, None]
    hair = (int(Slot.HAIR),) * 2
    full = np.where(figure.is_any("hair", "bob", "long"), 1.14, 1.07)
    s.ellipsoid(
        skull, (0.0455 * size * full, 0.058 * size * full, 0.058 * size * full), tilted, hair,
        low=np.where(figure.is_any("hair", "short"), -0.004, -0.012) * size,
        present=~figure.is_any("hair", "shaven"),
    )  # fmt: skip
    nape = skull - forward * (0.022 * size)[:, None]
    fall = np.where(figure.is_any("hair", "long"), 0.16, 0.07) * size
    end = j["neck"] - forward * (0.048 * size)[:, None] - up * (fall - 0.075 * size)[:, None]
    hanging = figure.is_any("hair", "long", "bob")
    width = np.where(figure.is_any("hair", "bob"), 0.050, 0.046) * size
    strand: dict[str, Any] = {"ratio": 0.62, "flip": True, "present": hanging}
    hang = s.cone(nape, end, (width, width * 0.86), j["head_left"], hair, **strand)
    s.ellipsoid(end, (width * 0.86, width * 0.86, width * 0.53), hang, hair, present=hanging)
    knot = skull + up * (0.030 * size)[:, None] - forward * (0.058 * size)[:, None]
    s.ellipsoid(knot, (0.026 * size,) * 3, frame, hair, present=figure.is_any("hair", "bun"))
    hat = (int(Slot.HAT),) * 2
    wide = np.where(figure.is_any("hat", "beanie"), 1.17, 1.14)
    s.ellipsoid(
        skull, (0.0465 * size * wide, 0.0600 * size * wide, 0.0590 * size * wide), frame, hat,
        low=0.010 * size, present=~figure.is_any("hat", "none"),
    )  # fmt: skip
    brim = skull + up * (0.014 * size)[:, None] + forward * (0.060 * size)[:, None]
    s.ellipsoid(
        brim, (0.040 * size, 0.006 * size, 0.044 * size), frame, hat, present=figure.is_any("hat", "cap")
    )
    s.ellipsoid(
        skull + up * (0.014 * size)[:, None], (0.082 * size, 0.007 * size, 0.088 * size), frame, hat,
        present=figure.is_any("hat", "brimmed"),
    )  # fmt: skip


def add_bag(figure: Figure) -> None:
    """Add a backpack, a shoulder bag at the hip or a handbag: one upright rounded box and its handle."""
    s, j, h = figure.sculptor, figure.joints, figure.h
    size, side = figure.trait("bag_size"), figure.trait("bag_side")
    back, hip = figure.is_any("carried", "backpack"), figure.is_any("carried", "shoulder-bag")
    hand = figure.is_any("carried", "handbag")
    chest = 0.092 * h * figure.build**0.7
    spine = j["shoulder_line"] - j["pelvis"]
    spine = spine / np.linalg.norm(spine, axis=1, keepdims=True)
    forward = np.cross(figure.left, spine)
    held = np.where((side > 0)[:, None], j["left_hand"], j["right_hand"])
    on_back = j["chest"] - forward * (chest * 0.66 + 0.030 * h * size)[:, None]
    beside = side * 0.118 * h * figure.trait("hips") * figure.build**0.6
    at_hip = j["pelvis"] + figure.left * beside[:, None]
    in_hand = held - np.array([0.0, 1.0, 0.0]) * (0.10 * h * size)[:, None]
    centre = np.where(back[:, None], on_back, np.where(hip[:, None], at_hip, in_hand))
    axis = np.where(hand[:, None], np.array([0.0, 1.0, 0.0]), spine)
    half = np.where(back, 0.065, np.where(hip, 0.030, 0.035)) * h * size
    radius = np.where(back, 0.075, np.where(hip, 0.055, 0.062)) * h * size
    # A backpack is wide across the back; the other bags are wide along the walking direction.
    lateral = np.where(back[:, None], figure.left, np.cross(axis, figure.left))
    ratio = np.where(back, 0.62, 0.42)
    bag, present = (int(Slot.BAG),) * 2, back | hip | hand
    low, high = centre - axis * half[:, None], centre + axis * half[:, None]
    options: dict[str, Any] = {"ratio": ratio, "around": radius, "present": present}
    frame = s.cone(low, high, (radius, radius * 0.88), lateral, bag, **options)
    for at, r, rise in ((low, radius, 0 * half), (high, radius * 0.88, 2 * half)):
        s.ellipsoid(at, (r, r * 0.7, r * ratio), frame, bag, height=rise, around=radius, present=present)
    grip = np.where(hand[:, None], held, high + axis * 0.01)
    s.cone(high, grip, (0.008 * h, 0.008 * h), figure.left, bag, present=hand)


def add_scarf_and_hood(figure: Figure) -> None:
    """Add a scarf around the neck, one end hanging in front, and a hood on the back."""
    s, j, h = figure.sculptor, figure.joints, figure.h
    spine = j["shoulder_line"] - j["chest"]
    spine = spine / np.linalg.norm(spine, axis=1, keepdims=True)
    frame, _ = frame_along(j["chest"], j["shoulder_line"], figure.left)
    forward = frame[:, 2]
    scarf, hood = figure.trait("scarf") > 0, figure.trait("hood") > 0
    wool = (int(Slot.INNER),) * 2
    knot = j["neck"] + spine * (0.002 * h)[:, None]
    s.ellipsoid(knot, (0.058 * h, 0.026 * h, 0.056 * h), frame, wool, around=0.058 * h, present=scarf)
    start = knot + forward * (0.048 * h)[:, None]
    end = j["chest"] + forward * (0.068 * h * figure.build**0.7)[:, None] - spine * (0.02 * h)[:, None]
    s.cone(start, end, (0.020 * h, 0.026 * h), figure.left, wool, ratio=0.5, flip=True, present=scarf)
    at = j["shoulder_line"] - forward * (0.058 * h)[:, None] + spine * (0.012 * h)[:, None]
    top = (int(Slot.TOP),) * 2
    s.ellipsoid(at, (0.072 * h, 0.044 * h, 0.034 * h), frame, top, around=0.07 * h, present=hood)


def paint_lines(people: list[Person]) -> Array:
    """Straps and openings on the torso, (B, 2, 8).

    Row 0 is the opening of a jacket or coat, row 1 the straps of a bag. Columns: lateral factor, height
    factor, offset, half width (0: absent), 1 if the lateral coordinate is folded (both sides), side
    (+1 front only, 0 both), slot, least height. A point is painted if
    |factor·lateral + factor·height + offset| is below the half width.
    """
    rows = np.zeros((len(people), 2, 8))
    for i, person in enumerate(people):
        h = person.stature
        if person.top in ("jacket", "coat"):
            rows[i, 0] = (1.0, 0.0, 0.0, (0.008 + 0.024 * person.hem) * h, 0.0, 1.0, Slot.INNER, -9.0)
        if person.carried == "backpack":
            rows[i, 1] = (1.0, 0.06, -0.075 * h, 0.0125 * h, 1.0, 1.0, Slot.BAG, 0.13 * h)
        elif person.carried == "shoulder-bag":
            # From the far shoulder down to the hip on the bag's side.
            slope = person.bag_side * 0.62
            rows[i, 1] = (1.0, slope, -slope * 0.155 * h, 0.012 * h, 0.0, 0.0, Slot.BAG, -9.0)
    return rows
