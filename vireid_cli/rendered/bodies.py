"""People as solids: about fifty quadrics with materials for each person and posture.

Texture coordinates belong to the garment: height continues over the pieces of a torso or a limb, and the
angle is measured from the front. A stripe or a print therefore stays on its shirt in every pose.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vireid_cli.rendered.attire import (
    add_bag,
    add_hair_and_hat,
    add_scarf_and_hood,
    add_skirt,
    skirt_length,
    top_lengths,
)
from vireid_cli.rendered.figure import Figure
from vireid_cli.rendered.materials import Slot
from vireid_cli.rendered.population import LONG, Person
from vireid_cli.rendered.primitives import INFINITE, Primitives, Sculptor, frame_along
from vireid_cli.rendered.skeleton import Posture, column, pose_joints

Array = np.ndarray


def sculpt(people: list[Person], posture: Posture) -> Primitives:
    """Return the solids of B people, in person coordinates."""
    joints = pose_joints(people, posture)
    count = len(people)
    left = np.broadcast_to(np.array([1.0, 0.0, 0.0]), (count, 3))
    figure = Figure(
        Sculptor(count),
        joints,
        people,
        column(people, "stature"),
        column(people, "build"),
        column(people, "loose"),
        left,
        top_lengths(people),
    )
    _torso(figure)
    add_skirt(figure)
    _head(figure)
    add_hair_and_hat(figure)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        _arm(figure, side, sign)
        _leg(figure, side)
    add_bag(figure)
    add_scarf_and_hood(figure)
    return figure.sculptor.finish()


def _torso(figure: Figure) -> None:
    """Add pelvis, waist and chest."""
    s, j, h = figure.sculptor, figure.joints, figure.h
    jacket = np.where(figure.is_any("top", "jacket", "coat"), 1.10, 1.0)
    slack = (0.94 + 0.06 * figure.loose) * jacket
    hips = 0.094 * h * figure.trait("hips") * figure.build**0.6 * slack
    waist = 0.079 * h * figure.build**1.1 * (0.85 + 0.15 * figure.loose) * jacket
    chest = 0.092 * h * figure.trait("shoulders") ** 0.7 * figure.build**0.7 * slack
    upper = 0.086 * h * figure.trait("shoulders") * figure.build**0.3 * jacket
    ratio = np.clip(0.66 + 0.35 * (figure.build - 1.0), 0.58, 0.86)
    around = chest * 0.9
    belt = -figure.hang - 0.01 * h
    slots = (int(Slot.BOTTOM), int(Slot.TOP))
    rise = [-0.033 * h, 0.095 * h, 0.21 * h]
    shape: dict[str, Any] = {"ratio": ratio, "around": around, "painted": True}
    names = ("pelvis", "waist", "chest", "shoulder_line")
    girths = (hips, waist, chest, upper)
    frames = []
    seat = j["pelvis"] - (j["waist"] - j["pelvis"]) * 0.35
    for k in range(3):
        start, end = (seat if k == 0 else j[names[k]]), j[names[k + 1]]
        if k == 2:
            end = end - (end - start) * 0.35
        pair = (girths[k], girths[k + 1])
        frames.append(s.cone(start, end, pair, figure.left, slots, height=rise[k], border=belt, **shape))
    for k in (0, 1, 2):
        r = girths[k]
        s.ellipsoid(
            seat if k == 0 else j[names[k]], (r, r * (0.3 if k == 0 else 1.0), r * ratio), frames[k], slots,
            border=belt, height=rise[k], around=around, painted=True,
        )  # fmt: skip
    _shoulders(figure, upper * ratio, around, frames[2])


def _shoulders(figure: Figure, depth: Array, around: Array, frame: Array) -> None:
    """Add yoke, slopes to the shoulders, neck and collar; ``frame`` is the frame of the chest."""
    s, j, h = figure.sculptor, figure.joints, figure.h
    skin, shirt, rise = int(Slot.SKIN), int(Slot.TOP), 0.295 * h
    yoke = j["shoulder_line"] - (j["shoulder_line"] - j["chest"]) * 0.2
    s.ellipsoid(
        yoke, (0.098 * h * figure.trait("shoulders"), 0.034 * h, depth * 0.9), frame, (shirt, shirt),
        height=rise - 0.02 * h, around=around, painted=True,
    )  # fmt: skip
    for side in ("left", "right"):
        # The slope from the neck to the shoulder.
        at = j[f"{side}_shoulder"]
        top = yoke + (j["neck"] - yoke) * 0.25
        s.cone(
            top, at, (0.036 * h, 0.031 * h * figure.build**0.5), frame[:, 1], (shirt, shirt),
            height=rise - 0.02 * h, around=around,
        )  # fmt: skip
    neck = 0.034 * h * (0.7 + 0.3 * figure.build)
    s.cone(yoke, j["head"], (neck * 1.15, neck * 0.9), figure.left, (skin, skin))
    collar = j["neck"] - (j["neck"] - yoke) * 0.35
    s.cone(yoke, collar, (neck * 1.5, neck * 1.12), figure.left, (shirt, shirt), height=rise, around=around)


def _head(figure: Figure) -> None:
    """Add skull, jaw and nose."""
    s, j = figure.sculptor, figure.joints
    size = figure.h**0.5 * 1.32 * figure.trait("head")
    up, left = j["head_up"], j["head_left"]
    frame, _ = frame_along(j["head"], j["head"] + up, left)
    forward = frame[:, 2]
    face = (int(Slot.FACE), int(Slot.FACE))
    skull = j["head"] + up * (0.022 * size)[:, None] - forward * (0.010 * size)[:, None]
    s.ellipsoid(skull, (0.0445 * size, 0.056 * size, 0.056 * size), frame, face, height=0.022 * size)
    jaw = j["head"] - up * (0.022 * size)[:, None] + forward * (0.010 * size)[:, None]
    s.ellipsoid(jaw, (0.036 * size, 0.044 * size, 0.038 * size), frame, face, height=-0.022 * size)
    nose = j["head"] - up * (0.004 * size)[:, None] + forward * (0.047 * size)[:, None]
    s.ellipsoid(nose, (0.008 * size, 0.014 * size, 0.011 * size), frame, (int(Slot.SKIN),) * 2)


def _arm(figure: Figure, side: str, sign: float) -> None:
    """Add deltoid, upper arm, elbow, forearm, wrist and hand, and the wider sleeve of short-sleeved tops."""
    s, j, h = figure.sculptor, figure.joints, figure.h
    short = figure.is_any("top", "tee", "dress")
    cut = np.where(figure.is_any("top", "jacket", "coat"), 1.12, 1.0)
    slack = np.where(short, 1.0, figure.loose * cut)
    bulk = h * figure.build**0.8
    at = [j[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "hand")]
    r = [0.0345 * bulk * slack**0.4, 0.0255 * bulk * slack, 0.0185 * h * slack]
    sleeve, skin = int(Slot.SLEEVE), int(Slot.SKIN)
    length = 0.178 * h
    border = figure.trait("sleeve") * length
    slots = (sleeve, skin)
    skins: dict[str, Any] = {"around": r[0], "flip": True}
    frame = s.cone(at[0], at[1], (r[0], r[1]), figure.left, slots, border=border, **skins)
    s.ellipsoid(at[0], (r[0], r[0], r[0]), frame, (sleeve, sleeve), around=r[0])
    lower = s.cone(at[1], at[2], (r[1], r[2]), figure.left, slots, height=length, border=border, **skins)
    s.ellipsoid(at[1], (r[1], r[1], r[1]), lower, slots, height=length, border=border, around=r[0])
    s.ellipsoid(
        at[2], (r[2], r[2], r[2]), lower, slots, height=length + 0.142 * h, border=border, around=r[0]
    )
    s.ellipsoid(at[3], (0.014 * h, 0.036 * h, 0.021 * h), lower, (skin, skin))
    share = np.minimum(figure.trait("sleeve"), 1.0)[:, None]
    hem = at[0] + (at[1] - at[0]) * share
    wide = (r[0] * 1.01, 0.0330 * bulk * figure.loose)
    s.cone(at[0], hem, wide, figure.left, (sleeve, sleeve), around=r[0], flip=True, present=short)


def _leg(figure: Figure, side: str) -> None:
    """Add thigh, knee, shin, ankle and foot; trousers are wider limbs, shorts a cone around the thigh."""
    s, j, h = figure.sculptor, figure.joints, figure.h
    long, wide = figure.is_any("bottom", *LONG), figure.is_any("bottom", "wide")
    slim, flared = figure.is_any("bottom", "slim"), figure.is_any("bottom", "flared")
    bulk = h * figure.build**0.8
    slack = np.where(long & ~slim, figure.loose, 1.0)
    hip, knee, ankle = (j[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
    r_hip = 0.0510 * bulk * figure.trait("hips") ** 0.5
    r_knee = 0.0335 * bulk * slack**0.8 * np.where(wide, 1.12, 1.0)
    flare = np.select([wide, flared, slim], [1.42, 1.62, 0.84], 1.0)
    r_hem = np.where(long, 0.0290 * h * slack * flare, 0.0225 * bulk)
    bottom, skin = int(Slot.BOTTOM), int(Slot.SKIN)
    thigh = 0.242 * h * figure.trait("legs")
    shorts = figure.is_any("bottom", "shorts")
    hem = (0.55 + 0.42 * figure.trait("hem")) * thigh
    # Under a skirt the thigh has the skirt's material, so that a long stride shows no skin through it.
    under = np.maximum(skirt_length(figure) - 0.06 * h, 0.0)
    border = np.where(long, INFINITE, np.where(shorts, hem, under))
    hang = np.minimum(figure.hang, 0.13 * h)
    upper = (np.where(long & (figure.hang > 0), int(Slot.TOP), bottom), np.where(long, bottom, skin))
    slots = (bottom, skin)
    frame = s.cone(
        hip,
        knee,
        (r_hip, r_knee),
        figure.left,
        upper,
        border=np.where(long, hang, border),
        around=r_hip,
        flip=True,
    )
    top = int(Slot.TOP)
    s.ellipsoid(hip, (r_hip, r_hip, r_hip), frame, (top, bottom), border=hang, around=r_hip)
    calf = r_knee * np.where(long, 1.0, 1.08)
    boots = figure.trait("boots")
    shaft = np.where(boots > 0, thigh + (1 - boots) * 0.245 * h * figure.trait("legs"), INFINITE)
    over = (np.where(long, bottom, skin), int(Slot.SHOES))
    lower = s.cone(
        knee, ankle, (calf, r_hem), figure.left, over, height=thigh, border=shaft, around=r_hip, flip=True
    )
    s.ellipsoid(knee, (calf, calf, calf), lower, slots, border=border, height=thigh, around=r_hip)
    s.ellipsoid(ankle, (r_hem, r_hem, r_hem), lower, over, border=shaft, height=2 * thigh, around=r_hip)
    _shoe(figure, side)
    cut = hip + (knee - hip) * (hem / thigh)[:, None]
    girth = (r_hip * 1.02, (r_hip * 0.62 + r_knee * 0.5) * figure.loose)
    s.cone(hip, cut, girth, figure.left, (top, bottom), border=hang, around=r_hip, flip=True, present=shorts)


def _shoe(figure: Figure, side: str) -> None:
    """Add a shoe and its sole."""
    s, h = figure.sculptor, figure.h * figure.trait("shoe")
    shoe, sole = (int(Slot.SHOES),) * 2, (int(Slot.SOLE),) * 2
    heel, toe = figure.joints[f"{side}_heel"], figure.joints[f"{side}_toe"]
    frame = s.cone(heel, toe, (0.0235 * h, 0.019 * h), figure.left, shoe)
    s.ellipsoid(heel, (0.0235 * h,) * 3, frame, shoe)
    s.ellipsoid(toe, (0.019 * h,) * 3, frame, shoe)
    # The sole is wider than the shoe and ends below its middle.
    below = frame[:, 2] * (0.013 * h)[:, None]
    low_heel, low_toe = heel - below, toe - below
    s.cone(low_heel, low_toe, (0.0265 * h, 0.0225 * h), figure.left, sole, ratio=0.34)
