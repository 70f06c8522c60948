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
    hang = np.where(tucked, -0.075, 0.005 + column(people, "tail")) * column(people, "stature")
    return np.where(endless, INFINITE, hang)


def add_skirt(figure: Figure) -> None:
    """Add the part of skirts, dresses, coats and long tops below the pelvis: a flared elliptic cone."""
    s, j, h = figure.sculptor, figure.joints, figure.h
    coat = figure.is_any("top", "coat") | is_tunic(figure)
    skirt = figure.is_any("bottom", "skirt")
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
    below = np.where(coat, 0.14 + 0.14 * hem, 0.18 + 0.20 * hem)
    return np.where(is_tunic(figure), figure.trait("tail") + 0.02, below) * figure.h


def is_tunic(figure: Figure) -> Array:
    """Whether the top hangs over trousers or shorts like a short skirt, (B,) bool."""
    loose = figure.is_any("top", "tee", "shirt", "jacket") & ~figure.is_any("bottom", "skirt")
    return loose & (figure.trait("tail") > 0.05)


def add_hair_and_hat(figure: Figure) -> None:
    """Add hair and hats."""
    j = figure.joints
    size = figure.h**0.5 * 1.32 * figure.trait("head")
    frame, _ = frame_along(j["head"], j["head"] + j["head_up"], j["head_left"])
    up, forward = j["head_up"], frame[:, 2]
    skull = j["head"] + up * (0.024 * size)[:, None] - forward * (0.012 * size)[:, None]
    _hair_cap(figure, size, frame, skull)
    _hair_behind(figure, size, frame, skull)
    _hat(figure, size, frame, skull)


def _hair_cap(figure: Figure, size: Array, frame: Array, skull: Array) -> None:
    """Add the cap of hair, which leaves the face free; receding hair begins behind the crown."""
    # Tilted back: the axis of the hair leans away from the face, so that its cut edge is the hairline.
    tilt = np.array([[1, 0, 0], [0, 0.62, -0.785], [0, 0.785, 0.62]])
    tilted = np.einsum("ij,bjk->bik", tilt, frame)
    kinds = [figure.is_any("hair", *names) for names in (("bob", "long"), ("afro",))]
    full = np.select(kinds, [1.14, 1.36], 1.07) * (1 + 0.4 * (figure.trait("volume") - 1))
    low = np.select(
        [figure.is_any("hair", "short"), figure.is_any("hair", "receding")], [-0.004, 0.020], -0.012
    )
    figure.sculptor.ellipsoid(
        skull, (0.0455 * size * full, 0.058 * size * full, 0.058 * size * full), tilted,
        (int(Slot.HAIR),) * 2, low=low * size, present=~figure.is_any("hair", "shaven"),
    )  # fmt: skip


def _hair_behind(figure: Figure, size: Array, frame: Array, skull: Array) -> None:
    """Add long hair, a bob, a bun or a ponytail."""
    s, j, hair = figure.sculptor, figure.joints, (int(Slot.HAIR),) * 2
    up, forward = j["head_up"], frame[:, 2]
    tail = figure.is_any("hair", "ponytail")
    root = np.where(tail, 0.056, 0.022)
    nape = skull - forward * (root * size)[:, None]
    fall = np.select([figure.is_any("hair", "long"), tail], [0.16, 0.12], 0.07) * size
    behind = np.where(tail, 0.085, 0.048)
    end = j["neck"] - forward * (behind * size)[:, None] - up * (fall - 0.075 * size)[:, None]
    hanging = figure.is_any("hair", "long", "bob", "ponytail")
    width = np.select([figure.is_any("hair", "bob"), tail], [0.050, 0.019], 0.046) * size
    width = width * figure.trait("volume")
    strand: dict[str, Any] = {"ratio": np.where(tail, 1.0, 0.62), "flip": True, "present": hanging}
    hang = s.cone(nape, end, (width, width * 0.86), j["head_left"], hair, **strand)
    s.ellipsoid(end, (width * 0.86, width * 0.86, width * 0.53), hang, hair, present=hanging)
    knot = skull + up * (0.030 * size)[:, None] - forward * (0.058 * size)[:, None]
    ball = np.where(tail, 0.02, 0.026) * size * figure.trait("volume")
    s.ellipsoid(knot, (ball, ball, ball), frame, hair, present=figure.is_any("hair", "bun", "ponytail"))


def _hat(figure: Figure, size: Array, frame: Array, skull: Array) -> None:
    """Add a cap, a beanie, a hat with a brim all round, or a raised hood."""
    s, hat = figure.sculptor, (int(Slot.HAT),) * 2
    up, forward = figure.joints["head_up"], frame[:, 2]
    hood = figure.is_any("hat", "hood")
    wide = np.select([hood, figure.is_any("hat", "beanie")], [1.26, 1.17], 1.14)
    # A raised hood leans back and covers the neck; hats are cut above the ears.
    centre = skull - (forward * (0.018 * size)[:, None] + up * (0.010 * size)[:, None]) * hood[:, None]
    s.ellipsoid(
        centre, (0.0465 * size * wide, 0.0600 * size * wide, 0.0590 * size * wide), frame, hat,
        low=np.where(hood, -INFINITE, 0.010 * size), present=~figure.is_any("hat", "none"),
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
    """Add a bag on the back, the hip, the belly or the chest, or in a hand: a rounded box and its handle."""
    s, j, h = figure.sculptor, figure.joints, figure.h
    size, side = figure.trait("bag_size"), figure.trait("bag_side")
    names = ("backpack", "shoulder-bag", "waist-bag", "chest-bag", "handbag")
    kinds = [figure.is_any("carried", name) for name in names]
    hand, across = kinds[4], kinds[0] | kinds[2] | kinds[3]
    spine = j["shoulder_line"] - j["pelvis"]
    spine = spine / np.linalg.norm(spine, axis=1, keepdims=True)
    forward = np.cross(figure.left, spine)
    held = np.where((side > 0)[:, None], j["left_hand"], j["right_hand"])
    centre = _bag_centre(figure, kinds, spine, forward, held)
    axis = np.where(hand[:, None], np.array([0.0, 1.0, 0.0]), spine)
    half = np.select(kinds, [0.065, 0.030, 0.008, 0.022, 0.035], 0.03) * h * size
    radius = np.select(kinds, [0.075, 0.055, 0.052, 0.040, 0.062], 0.05) * h * size
    # On the torso a bag is wide across the body; the others are wide along the walking direction.
    lateral = np.where(across[:, None], figure.left, np.cross(axis, figure.left))
    ratio = np.where(kinds[0], 0.62, 0.42)
    bag, present = (int(Slot.BAG),) * 2, np.any(kinds, axis=0)
    low, high = centre - axis * half[:, None], centre + axis * half[:, None]
    options: dict[str, Any] = {"ratio": ratio, "around": radius, "present": present}
    frame = s.cone(low, high, (radius, radius * 0.88), lateral, bag, **options)
    for at, r, rise in ((low, radius, 0 * half), (high, radius * 0.88, 2 * half)):
        s.ellipsoid(at, (r, r * 0.7, r * ratio), frame, bag, height=rise, around=radius, present=present)
    grip = np.where(hand[:, None], held, high + axis * 0.01)
    s.cone(high, grip, (0.008 * h, 0.008 * h), figure.left, bag, present=hand)


def _bag_centre(figure: Figure, kinds: list[Array], spine: Array, forward: Array, held: Array) -> Array:
    """Return the middle of each person's bag, (B, 3); ``kinds`` as in ``add_bag``."""
    j, h, size = figure.joints, figure.h, figure.trait("bag_size")
    chest = 0.092 * h * figure.build**0.7
    belly = 0.079 * h * figure.build**1.1
    beside = figure.trait("bag_side") * 0.118 * h * figure.trait("hips") * figure.build**0.6
    down = np.array([0.0, 1.0, 0.0]) * (0.10 * h * size)[:, None]
    low = j["waist"] - spine * (0.055 * h)[:, None]
    places = [
        j["chest"] - forward * (chest * 0.66 + 0.030 * h * size)[:, None],
        j["pelvis"] + figure.left * beside[:, None],
        low + forward * (belly * 0.66 + 0.020 * h * size)[:, None],
        j["chest"] + forward * (chest * 0.66 + 0.014 * h * size)[:, None] - spine * (0.01 * h)[:, None],
        held - down,
    ]
    return np.asarray(np.select([kind[:, None] for kind in kinds], places, j["pelvis"]))


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
