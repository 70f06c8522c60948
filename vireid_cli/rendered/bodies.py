"""People as solids: a person and a posture become about fifty quadrics that carry their materials.

Texture coordinates belong to the garment: height runs on over the pieces of a torso or a limb, and the
angle is measured from the front, so that a stripe or a print stays on its shirt whatever the pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vireid_cli.rendered.materials import Slot
from vireid_cli.rendered.population import Person
from vireid_cli.rendered.primitives import INFINITE, Primitives, Sculptor, frame_along
from vireid_cli.rendered.skeleton import Posture, column, pose_joints

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class _Body:
    """What the sculpting functions below share: sculptor, joints, traits as (B,) columns."""

    sculptor: Sculptor
    joints: dict[str, Array]
    people: list[Person]
    h: Array
    build: Array
    loose: Array
    left: Array
    hang: Array
    """How far below the hip joints the top garment falls, metres; negative where it is tucked in."""

    def trait(self, name: str) -> Array:
        """A numeric trait, (B,)."""
        return column(self.people, name)

    def is_any(self, name: str, *values: str) -> Array:
        """(B,) bool: the named trait is one of ``values``."""
        return np.array([getattr(person, name) in values for person in self.people])


def sculpt(people: list[Person], posture: Posture) -> Primitives:
    """The solids of B people, in person coordinates."""
    joints = pose_joints(people, posture)
    count = len(people)
    left = np.broadcast_to(np.array([1.0, 0.0, 0.0]), (count, 3))
    body = _Body(
        Sculptor(count),
        joints,
        people,
        column(people, "stature"),
        column(people, "build"),
        column(people, "loose"),
        left,
        _hang(people),
    )
    _torso(body)
    _skirt(body)
    _head(body)
    _hair_and_hat(body)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        _arm(body, side, sign)
        _leg(body, side)
    _bag(body)
    return body.sculptor.finish()


def _hang(people: list[Person]) -> Array:
    """Where tops end: tucked in, falling over the hips, or (coats, dresses) not ending at all, (B,)."""
    tucked = np.array([person.bottom == "skirt" and person.top in ("tee", "shirt") for person in people])
    endless = np.array([person.top in ("coat", "dress") for person in people])
    hang = np.where(tucked, -0.075, 0.005 + 0.03 * column(people, "hem")) * column(people, "stature")
    return np.where(endless, INFINITE, hang)


def _torso(body: _Body) -> None:
    """Pelvis, waist, chest, shoulders and neck."""
    s, j, h = body.sculptor, body.joints, body.h
    jacket = np.where(body.is_any("top", "jacket", "coat"), 1.10, 1.0)
    slack = (0.94 + 0.06 * body.loose) * jacket
    hips = 0.094 * h * body.trait("hips") * body.build**0.6 * slack
    waist = 0.079 * h * body.build**1.1 * (0.85 + 0.15 * body.loose) * jacket
    chest = 0.092 * h * body.trait("shoulders") ** 0.7 * body.build**0.7 * slack
    upper = 0.086 * h * body.trait("shoulders") * body.build**0.3 * jacket
    ratio = np.clip(0.66 + 0.35 * (body.build - 1.0), 0.58, 0.86)
    around = chest * 0.9
    skin, shirt = int(Slot.SKIN), int(Slot.TOP)
    belt = -body.hang - 0.01 * h
    slots = (int(Slot.BOTTOM), int(Slot.TOP))
    rise = [-0.033 * h, 0.095 * h, 0.21 * h, 0.295 * h]
    shape = {"ratio": ratio, "around": around, "painted": True}
    names = ("pelvis", "waist", "chest", "shoulder_line")
    girths = (hips, waist, chest, upper)
    frames = []
    seat = j["pelvis"] - (j["waist"] - j["pelvis"]) * 0.35
    for k in range(3):
        start, end = (seat if k == 0 else j[names[k]]), j[names[k + 1]]
        if k == 2:
            end = end - (end - start) * 0.35
        frames.append(
            s.cone(start, end, (girths[k], girths[k + 1]), body.left, slots, height=rise[k], border=belt, **shape)
        )
    for k in (0, 1, 2):
        r = girths[k]
        s.ellipsoid(
            seat if k == 0 else j[names[k]], (r, r * (0.3 if k == 0 else 1.0), r * ratio), frames[k], slots,
            border=belt, height=rise[k], around=around, painted=True,
        )  # fmt: skip
    yoke = j["shoulder_line"] - (j["shoulder_line"] - j["chest"]) * 0.2
    s.ellipsoid(
        yoke, (0.098 * h * body.trait("shoulders"), 0.034 * h, upper * ratio * 0.9), frames[2], slots,
        border=-INFINITE, height=rise[3] - 0.02 * h, around=around, painted=True,
    )  # fmt: skip
    for side in ("left", "right"):
        # The slope from the neck to the shoulder.
        at = j[f"{side}_shoulder"]
        top = yoke + (j["neck"] - yoke) * 0.25
        s.cone(
            top, at, (0.036 * h, 0.031 * h * body.build**0.5), frames[2][:, 1], (shirt, shirt),
            height=rise[3] - 0.02 * h, around=around,
        )  # fmt: skip
    neck = 0.034 * h * (0.7 + 0.3 * body.build)
    s.cone(yoke, j["head"], (neck * 1.15, neck * 0.9), body.left, (skin, skin))
    collar = j["neck"] - (j["neck"] - yoke) * 0.35
    s.cone(yoke, collar, (neck * 1.5, neck * 1.12), body.left, (shirt, shirt), height=rise[3], around=around)


def _skirt(body: _Body) -> None:
    """The part of skirts, dresses and coats that hangs below the pelvis: a flared elliptic cone."""
    s, j, h = body.sculptor, body.joints, body.h
    skirt, coat = body.is_any("bottom", "skirt"), body.is_any("top", "coat")
    length = _skirt_length(body)
    r = 0.096 * h * body.trait("hips") * body.build**0.6 * np.where(coat, 1.12, 1.03)
    flare = r * np.where(coat, 1.16, 1.18 + 0.25 * (body.loose - 1.0))
    knees = (j["left_knee"] + j["right_knee"]) / 2
    top = j["pelvis"] + (j["waist"] - j["pelvis"]) * 0.25
    towards = knees - top
    end = top + towards / np.linalg.norm(towards, axis=1, keepdims=True) * length[:, None]
    slot = np.where(coat, int(Slot.TOP), int(Slot.BOTTOM))
    stride = np.linalg.norm(j["left_knee"] - j["right_knee"], axis=1)
    ratio = np.clip(0.72 + 0.9 * stride / h, 0.72, 1.05)
    s.cone(
        top, end, (r, flare), body.left, (slot, slot),
        ratio=ratio, height=-length * 0.0, around=r, flip=True, painted=True, present=skirt | coat,
    )  # fmt: skip


def _skirt_length(body: _Body) -> Array:
    """Length of skirts and coats below the belt, metres, (B,)."""
    coat, hem = body.is_any("top", "coat"), body.trait("hem")
    return np.where(coat, 0.14 + 0.14 * hem, 0.18 + 0.20 * hem) * body.h


def _head(body: _Body) -> None:
    """Skull, jaw and nose."""
    s, j = body.sculptor, body.joints
    size = body.h**0.5 * 1.32 * body.trait("head")
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


def _hair_and_hat(body: _Body) -> None:
    """A cap of hair that leaves the face free, what hangs or is knotted behind, and hats."""
    s, j = body.sculptor, body.joints
    size = body.h**0.5 * 1.32 * body.trait("head")
    frame, _ = frame_along(j["head"], j["head"] + j["head_up"], j["head_left"])
    # Tilted back: the axis of the hair leans away from the face, so that its cut edge is the hairline.
    tilt = np.array([[1, 0, 0], [0, 0.62, -0.785], [0, 0.785, 0.62]])
    tilted = np.einsum("ij,bjk->bik", tilt, frame)
    up, forward = j["head_up"], frame[:, 2]
    skull = j["head"] + up * (0.024 * size)[:, None] - forward * (0.012 * size)[:, None]
    hair = (int(Slot.HAIR),) * 2
    full = np.where(body.is_any("hair", "bob", "long"), 1.14, 1.07)
    s.ellipsoid(
        skull, (0.0455 * size * full, 0.058 * size * full, 0.058 * size * full), tilted, hair,
        low=np.where(body.is_any("hair", "short"), -0.004, -0.012) * size,
        present=~body.is_any("hair", "shaven"),
    )  # fmt: skip
    nape = skull - forward * (0.022 * size)[:, None]
    fall = np.where(body.is_any("hair", "long"), 0.16, 0.07) * size
    end = j["neck"] - forward * (0.048 * size)[:, None] - up * (fall - 0.075 * size)[:, None]
    hanging = body.is_any("hair", "long", "bob")
    width = np.where(body.is_any("hair", "bob"), 0.050, 0.046) * size
    strand = {"ratio": 0.62, "flip": True, "present": hanging}
    hang = s.cone(nape, end, (width, width * 0.86), j["head_left"], hair, **strand)
    s.ellipsoid(end, (width * 0.86, width * 0.86, width * 0.53), hang, hair, present=hanging)
    knot = skull + up * (0.030 * size)[:, None] - forward * (0.058 * size)[:, None]
    s.ellipsoid(knot, (0.026 * size,) * 3, frame, hair, present=body.is_any("hair", "bun"))
    hat = (int(Slot.HAT),) * 2
    wide = np.where(body.is_any("hat", "beanie"), 1.17, 1.14)
    s.ellipsoid(
        skull, (0.0465 * size * wide, 0.0600 * size * wide, 0.0590 * size * wide), frame, hat,
        low=0.010 * size, present=body.is_any("hat", "cap", "beanie"),
    )  # fmt: skip
    brim = skull + up * (0.014 * size)[:, None] + forward * (0.060 * size)[:, None]
    s.ellipsoid(
        brim, (0.040 * size, 0.006 * size, 0.044 * size), frame, hat, present=body.is_any("hat", "cap")
    )


def _arm(body: _Body, side: str, sign: float) -> None:
    """Deltoid, upper arm, elbow, forearm, wrist, hand; and the wider sleeve of a short-sleeved top."""
    s, j, h = body.sculptor, body.joints, body.h
    short = body.is_any("top", "tee", "dress")
    cut = np.where(body.is_any("top", "jacket", "coat"), 1.12, 1.0)
    slack = np.where(short, 1.0, body.loose * cut)
    bulk = h * body.build**0.8
    at = [j[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "hand")]
    r = [0.0375 * bulk * slack**0.5, 0.0255 * bulk * slack, 0.0185 * h * slack]
    sleeve, skin = int(Slot.SLEEVE), int(Slot.SKIN)
    length = 0.178 * h
    border = np.where(short, body.trait("sleeve") * length, INFINITE)
    slots = (sleeve, skin)
    skins = {"around": r[0], "flip": True}
    frame = s.cone(at[0], at[1], (r[0], r[1]), body.left, slots, border=border, **skins)
    s.ellipsoid(at[0], (r[0], r[0], r[0]), frame, (sleeve, sleeve), around=r[0])
    lower = s.cone(at[1], at[2], (r[1], r[2]), body.left, slots, height=length, border=border, **skins)
    s.ellipsoid(at[1], (r[1], r[1], r[1]), lower, slots, height=length, border=border, around=r[0])
    s.ellipsoid(at[2], (r[2], r[2], r[2]), lower, slots, height=length + 0.142 * h, border=border, around=r[0])
    s.ellipsoid(at[3], (0.014 * h, 0.036 * h, 0.021 * h), lower, (skin, skin))
    share = body.trait("sleeve")[:, None]
    hem = at[0] + (at[1] - at[0]) * share
    wide = (r[0] * 1.01, 0.0330 * bulk * body.loose)
    s.cone(at[0], hem, wide, body.left, (sleeve, sleeve), around=r[0], flip=True, present=short)


def _leg(body: _Body, side: str) -> None:
    """Thigh, knee, shin, ankle and foot; trousers are wider limbs, shorts a cone around the thigh."""
    s, j, h = body.sculptor, body.joints, body.h
    long, wide = body.is_any("bottom", "trousers", "wide"), body.is_any("bottom", "wide")
    bulk = h * body.build**0.8
    slack = np.where(long, body.loose, 1.0)
    hip, knee, ankle = (j[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
    r_hip = 0.0510 * bulk * body.trait("hips") ** 0.5
    r_knee = 0.0335 * bulk * slack**0.8 * np.where(wide, 1.12, 1.0)
    r_hem = np.where(long, 0.0290 * h * body.loose * np.where(wide, 1.42, 1.0), 0.0225 * bulk)
    bottom, skin = int(Slot.BOTTOM), int(Slot.SKIN)
    thigh = 0.242 * h * body.trait("legs")
    shorts = body.is_any("bottom", "shorts")
    hem = (0.55 + 0.42 * body.trait("hem")) * thigh
    # Under a skirt the thigh is of the skirt's cloth, so that no skin shows through in a long stride.
    under = np.maximum(_skirt_length(body) - 0.06 * h, 0.0)
    border = np.where(long, INFINITE, np.where(shorts, hem, under))
    hang = np.minimum(body.hang, 0.05 * h)
    upper = (np.where(long & (body.hang > 0), int(Slot.TOP), bottom), np.where(long, bottom, skin))
    cloth = {"border": border, "around": r_hip, "flip": True}
    slots = (bottom, skin)
    frame = s.cone(
        hip, knee, (r_hip, r_knee), body.left, upper, border=np.where(long, hang, border), around=r_hip, flip=True
    )
    top = int(Slot.TOP)
    s.ellipsoid(hip, (r_hip, r_hip, r_hip), frame, (top, bottom), border=hang, around=r_hip)
    calf = r_knee * np.where(long, 1.0, 1.08)
    lower = s.cone(knee, ankle, (calf, r_hem), body.left, slots, height=thigh, **cloth)
    s.ellipsoid(knee, (calf, calf, calf), lower, slots, border=border, height=thigh, around=r_hip)
    s.ellipsoid(
        ankle, (r_hem, r_hem, r_hem), lower, slots, border=border, height=2 * thigh, around=r_hip
    )
    shoe = (int(Slot.SHOES),) * 2
    heel, toe = j[f"{side}_heel"], j[f"{side}_toe"]
    sole = s.cone(heel, toe, (0.0235 * h, 0.019 * h), body.left, shoe)
    s.ellipsoid(heel, (0.0235 * h,) * 3, sole, shoe)
    s.ellipsoid(toe, (0.019 * h,) * 3, sole, shoe)
    cut = hip + (knee - hip) * (hem / thigh)[:, None]
    girth = (r_hip * 1.02, (r_hip * 0.62 + r_knee * 0.5) * body.loose)
    s.cone(hip, cut, girth, body.left, (top, bottom), border=hang, around=r_hip, flip=True, present=shorts)


def _bag(body: _Body) -> None:
    """A backpack, a shoulder bag at the hip or a bag in the hand: one upright rounded box and its handle."""
    s, j, h = body.sculptor, body.joints, body.h
    size, side = body.trait("bag_size"), body.trait("bag_side")
    back, hip = body.is_any("carried", "backpack"), body.is_any("carried", "shoulder-bag")
    hand = body.is_any("carried", "handbag")
    chest = 0.092 * h * body.build**0.7
    spine = j["shoulder_line"] - j["pelvis"]
    spine = spine / np.linalg.norm(spine, axis=1, keepdims=True)
    forward = np.cross(body.left, spine)
    held = np.where((side > 0)[:, None], j["left_hand"], j["right_hand"])
    on_back = j["chest"] - forward * (chest * 0.66 + 0.030 * h * size)[:, None] + spine * (0.0 * h)[:, None]
    at_hip = j["pelvis"] + body.left * (side * 0.118 * h * body.trait("hips") * body.build**0.6)[:, None]
    in_hand = held - np.array([0.0, 1.0, 0.0]) * (0.10 * h * size)[:, None]
    pick = lambda a, b, c: np.where(back[:, None], a, np.where(hip[:, None], b, c))  # noqa: E731
    centre = pick(on_back, at_hip, in_hand)
    axis = pick(spine, spine, np.broadcast_to(np.array([0.0, 1.0, 0.0]), spine.shape))
    half = np.where(back, 0.065, np.where(hip, 0.030, 0.035)) * h * size
    radius = np.where(back, 0.075, np.where(hip, 0.055, 0.062)) * h * size
    # A backpack is wide across the back; the other bags are wide along the way one walks.
    lateral = np.where(back[:, None], body.left, np.cross(axis, body.left))
    ratio = np.where(back, 0.62, 0.42)
    bag, present = (int(Slot.BAG),) * 2, back | hip | hand
    low, high = centre - axis * half[:, None], centre + axis * half[:, None]
    options = {"ratio": ratio, "around": radius, "present": present}
    frame = s.cone(low, high, (radius, radius * 0.88), lateral, bag, **options)
    for at, r, rise in ((low, radius, 0.0 * half), (high, radius * 0.88, 2 * half)):
        s.ellipsoid(at, (r, r * 0.7, r * ratio), frame, bag, height=rise, around=radius, present=present)
    grip = np.where(hand[:, None], held, high + axis * 0.01)
    s.cone(high, grip, (0.008 * h, 0.008 * h), body.left, bag, present=hand)


def paint_lines(people: list[Person]) -> Array:
    """Straps and openings on the torso, (B, 2, 8).

    Row 0 is the opening of a jacket or coat, row 1 the straps of a bag. Columns: lateral factor, height
    factor, offset, half width (0: absent), 1 where the lateral coordinate is folded (both sides), side
    (+1 front only, 0 both), slot, least height. A point is painted where |factor·lateral + factor·height + offset| is
    below the half width.
    """
    rows = np.zeros((len(people), 2, 8))
    for i, person in enumerate(people):
        h = person.stature
        if person.top in ("jacket", "coat"):
            rows[i, 0] = (1.0, 0.0, 0.0, (0.008 + 0.024 * person.hem) * h, 0.0, 1.0, Slot.INNER, -9.0)
        if person.carried == "backpack":
            rows[i, 1] = (1.0, 0.06, -0.075 * h, 0.0125 * h, 1.0, 1.0, Slot.BAG, 0.13 * h)
        elif person.carried == "shoulder-bag":
            # From the far shoulder down to the hip where the bag hangs.
            slope = person.bag_side * 0.62
            rows[i, 1] = (1.0, slope, -slope * 0.155 * h, 0.012 * h, 0.0, 0.0, Slot.BAG, -9.0)
    return rows
