"""Positions of a walker's 22 joints from body proportions, walking phase and posture.

Person coordinates, metres: x to the person's left, y up, z forward; the ground is y = 0 and the lower
foot always touches it. All arrays have one row per image (B).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from vireid_cli.rendered.population import Person

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Posture:
    """Postures of B people; each attribute is (B,) float64.

    Attributes:
        phase: Walking phase in radians; at 0 the left leg swings past the right one.
        energy: Factor on stride and arm swing, for slow or hurried walking.
        head_yaw, head_pitch: Radians, positive to the left and upwards.
        bend: Radians added to the forward lean.
    """

    phase: Array
    energy: Array
    head_yaw: Array
    head_pitch: Array
    bend: Array

    def take(self, index: slice) -> Posture:
        """Return the rows at ``index``."""
        return Posture(*(getattr(self, f.name)[index] for f in fields(self)))


def column(people: list[Person], name: str) -> Array:
    """Return one numeric trait of all people, (B,)."""
    return np.array([getattr(person, name) for person in people], dtype=np.float64)


def _stack(x: Array | float, y: Array | float, z: Array | float, like: Array) -> Array:
    """Stack three coordinates to (B, 3); numbers are broadcast."""
    return np.stack([np.broadcast_to(np.asarray(v, dtype=np.float64), like.shape) for v in (x, y, z)], axis=1)


def _down(angle: Array, outwards: Array | float) -> Array:
    """Return the unit direction of a hanging limb that swings forward by ``angle``, (B, 3)."""
    raw = _stack(outwards, -np.cos(angle), np.sin(angle), angle)
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def _turn(vectors: Array, yaw: Array) -> Array:
    """Rotate (B, 3) about the vertical, positive to the left."""
    c, s = np.cos(yaw), np.sin(yaw)
    x, y, z = vectors.T
    return np.stack([c * x + s * z, y, c * z - s * x], axis=1)


def pose_joints(people: list[Person], posture: Posture) -> dict[str, Array]:
    """Compute joint positions (B, 3), keyed by name; the origin is the person's point on the ground.

    A sinusoidal gait: hips swing in opposition, the knee bends while its leg swings forward, arms swing
    against the legs, shoulders turn against the pelvis. The amplitudes are identity traits; the form of the
    gait is our choice.
    """
    h, phase = column(people, "stature"), posture.phase
    lean = column(people, "lean") + posture.bend
    joints: dict[str, Array] = {}
    pelvis_yaw = 0.10 * np.sin(phase) * posture.energy
    pelvis = _stack(column(people, "sway") * np.cos(phase), 0.0, 0.0, h)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        _pose_leg(joints, people, posture, pelvis, pelvis_yaw, side, sign)
    joints["pelvis"] = pelvis
    spine = _stack(0.0, np.cos(lean), np.sin(lean), h)
    half = _stack(0.0, np.cos(lean * 0.5), np.sin(lean * 0.5), h)
    joints["waist"] = pelvis + half * (0.095 * h)[:, None]
    bent = lean + column(people, "stoop")
    upper = _stack(0.0, np.cos(bent), np.sin(bent), h)
    joints["chest"] = joints["waist"] + spine * (0.115 * h)[:, None]
    joints["shoulder_line"] = joints["chest"] + upper * (0.085 * h)[:, None]
    joints["neck"] = joints["shoulder_line"] + upper * (0.024 * h)[:, None]
    tilt = bent * 0.6 - posture.head_pitch
    up = _turn(_stack(0.0, np.cos(tilt), np.sin(tilt), h), posture.head_yaw)
    joints["head"] = joints["neck"] + up * (0.083 * h * column(people, "head"))[:, None]
    joints["head_up"], joints["head_left"] = up, _turn(_stack(1.0, 0.0, 0.0, h), posture.head_yaw)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        _pose_arm(joints, people, posture, upper, side, sign)
    return _ground(joints, h)


def _pose_leg(
    joints: dict[str, Array],
    people: list[Person],
    posture: Posture,
    pelvis: Array,
    pelvis_yaw: Array,
    side: str,
    sign: float,
) -> None:
    """Add hip, knee, ankle, heel and toe of one leg."""
    h, legs = column(people, "stature"), column(people, "legs")
    phase = posture.phase + (0.0 if sign > 0 else np.pi)
    swing = column(people, "stride") * posture.energy * np.sin(phase) + 0.03
    lift = np.maximum(0.0, np.cos(phase + 0.35)) ** 2
    knee = 0.07 + (0.55 + 0.9 * column(people, "stride")) * posture.energy * lift
    offset = _turn(_stack(sign * 0.047 * h * column(people, "hips"), 0.0, 0.0, h), pelvis_yaw)
    hip = pelvis + offset - _stack(0.0, 0.01 * h, 0.0, h)
    joints[f"{side}_hip"] = hip
    wide = column(people, "stance") - 1.0
    outwards = sign * (0.01 + 0.07 * wide)
    joints[f"{side}_knee"] = hip + _down(swing, outwards) * (0.242 * h * legs)[:, None]
    shin = swing - knee
    inwards = sign * (-0.015 + 0.05 * wide)
    ankle = joints[f"{side}_knee"] + _down(shin, inwards) * (0.245 * h * legs)[:, None]
    joints[f"{side}_ankle"] = ankle
    # The sole is flat while the leg bears weight, follows the shin in the swing, points up at heel strike.
    pitch = 0.75 * np.minimum(0.0, shin + 0.12) + 0.63 * np.maximum(0.0, swing - 0.12)
    splay = sign * column(people, "splay")
    forward = _turn(_stack(0.0, np.sin(pitch), np.cos(pitch), h), splay)
    drop = _turn(_stack(0.0, -np.cos(pitch), np.sin(pitch), h), splay)
    sole = ankle + drop * (0.021 * h)[:, None]
    joints[f"{side}_heel"] = sole - forward * (0.028 * h)[:, None]
    joints[f"{side}_toe"] = sole + forward * (0.080 * h)[:, None]


def _pose_arm(
    joints: dict[str, Array],
    people: list[Person],
    posture: Posture,
    spine: Array,
    side: str,
    sign: float,
) -> None:
    """Add shoulder, elbow, wrist and hand of one arm."""
    h = column(people, "stature")
    phase = posture.phase + (np.pi if sign > 0 else 0.0)
    kind = _arm_kind(people, side)
    swing = column(people, "arm_swing") * kind[0] * posture.energy * np.sin(phase) + kind[1]
    turn = -0.09 * np.sin(posture.phase) * posture.energy
    width = 0.104 * h * column(people, "shoulders") * (0.75 + 0.25 * column(people, "build"))
    shoulder = joints["shoulder_line"] - spine * (0.024 * h)[:, None]
    shoulder = shoulder + _turn(_stack(sign * width, 0.0, 0.0, h), turn)
    out = sign * (
        kind[3] + 0.09 + 0.16 * (column(people, "build") - 0.8) + 0.05 * (column(people, "loose") - 1.0)
    )
    elbow = shoulder + _down(swing, out) * (0.178 * h)[:, None]
    bend = np.where(kind[2] == 0, column(people, "elbow") + 0.35 * np.maximum(0.0, swing), kind[2])
    fore = _down(swing + bend, np.where(kind[2] == 0, out * 0.4, sign * kind[4]))
    joints[f"{side}_shoulder"], joints[f"{side}_elbow"] = shoulder, elbow
    joints[f"{side}_wrist"] = elbow + fore * (0.142 * h)[:, None]
    joints[f"{side}_hand"] = elbow + fore * (0.188 * h)[:, None]


_ARMS: dict[str, tuple[float, float, float, float, float]] = {
    # Share of the swing, forward angle and elbow flexion (radians; 0: of the gait), spread of the arm,
    # and of the forearm.
    "swing": (1.0, -0.05, 0.0, 0.0, 0.0),
    "pockets": (0.12, -0.30, 0.75, 0.16, -0.35),
    "phone": (0.1, 0.35, 1.75, 0.0, -0.30),
    "strap": (0.15, 0.20, 2.35, 0.06, -0.45),
    "behind": (0.1, -0.50, 0.35, 0.08, -0.9),
}


def _arm_kind(people: list[Person], side: str) -> Array:
    """Return the posture of one arm, rows of ``_ARMS``, (5, B).

    A phone and a strap need one hand, on the side of the bag; the other arm swings.
    """
    rows = []
    for person in people:
        one_handed = person.arms in ("phone", "strap")
        busy = "left" if person.bag_side > 0 else "right"
        rows.append(_ARMS["swing" if one_handed and side != busy else person.arms])
    return np.array(rows).T


def _ground(joints: dict[str, Array], h: Array) -> dict[str, Array]:
    """Lift each person so that the lowest sole touches the ground."""
    soles = [joints[f"{side}_{end}"][:, 1] for side in ("left", "right") for end in ("heel", "toe")]
    lift = 0.018 * h - np.min(soles, axis=0)
    shift = _stack(0.0, lift, 0.0, h)
    directions = {"head_up", "head_left"}
    return {name: at if name in directions else at + shift for name, at in joints.items()}
