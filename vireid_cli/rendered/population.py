"""The population: identities, the cameras that see them, and the split.

Bodies, gaits, garments and carried objects are drawn independently, so that no single trait identifies a
person. As in SYSU-MM01, a person wears the same clothes in all cameras, not every camera sees every person,
each person appears in a visible and in an infrared camera, and some test people appear outdoors only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vireid_cli.rendered.draws import Purpose, choose, stream
from vireid_cli.rendered.materials import (
    Dye,
    Material,
    Slot,
    dye_cloth,
    hair_colour,
    skin_tone,
    weave_cloth,
)


@dataclass(frozen=True, slots=True)
class Person:
    """One identity: body, gait and clothes.

    Attributes:
        pid: Identity number, from 1.
        stature: Height in metres.
        build: Girth relative to the mean, 0.85 slim to 1.3 stout.
        shoulders, hips: Widths relative to the mean.
        legs: Leg length relative to the mean.
        head: Head size relative to the mean.
        stride, arm_swing: Amplitudes of the gait in radians.
        elbow, lean, splay, sway: Elbow flexion, forward lean, outward turn of feet (radians), sway (m).
        hair: ``shaven``, ``short``, ``bob``, ``long`` or ``bun``.
        top: ``tee``, ``shirt``, ``jacket`` (open in front), ``coat`` (long, open) or ``dress``.
        bottom: ``trousers``, ``wide``, ``shorts`` or ``skirt``.
        carried: ``nothing``, ``backpack``, ``shoulder-bag`` or ``handbag``.
        hat: ``none``, ``cap``, ``beanie`` or ``brimmed`` (all round).
        hem: Height of a skirt's, coat's or shorts' hem, 0 short to 1 long.
        sleeve: Length of a short sleeve as a share of the upper arm.
        loose: Width of the clothes relative to the limb.
        bag_size: Size of the carried bag relative to the mean.
        bag_side: −1 right, +1 left.
        boots: Share of the shin that boots or high socks cover, 0 shoes only.
        scarf, hood: Whether the person wears a scarf, or a hood down the back.
        materials: One material for each ``Slot``.
    """

    pid: int
    stature: float
    build: float
    shoulders: float
    hips: float
    legs: float
    head: float
    stride: float
    arm_swing: float
    elbow: float
    lean: float
    splay: float
    sway: float
    hair: str
    top: str
    bottom: str
    carried: str
    hat: str
    hem: float
    sleeve: float
    loose: float
    bag_size: float
    bag_side: float
    boots: float
    scarf: bool
    hood: bool
    materials: tuple[Material, ...]


_TOP_PATTERNS = {
    "plain": 0.26, "stripes-across": 0.06, "stripes-along": 0.08, "check": 0.15, "blocks": 0.09,
    "print": 0.07, "dots": 0.11, "blotches": 0.11, "weave": 0.06,
}  # fmt: skip
_BOTTOM_PATTERNS = {"plain": 0.66, "stripes-along": 0.04, "check": 0.10, "blotches": 0.12, "weave": 0.08}
_RELIEFS = {
    "light": {"smooth": 0.68, "knit": 0.14, "ribs": 0.18},
    "thick": {"smooth": 0.42, "knit": 0.18, "ribs": 0.12, "quilt": 0.28},
}
_SKIRT_PATTERNS = {
    "plain": 0.36, "stripes-across": 0.08, "check": 0.16, "stripes-along": 0.08, "dots": 0.16,
    "blotches": 0.10, "weave": 0.06,
}  # fmt: skip


def draw_person(seed: int, pid: int) -> Person:
    """Draw the person with this number."""
    rng = stream(seed, Purpose.PERSON, pid)
    wears_skirts = rng.random() < 0.4
    top = choose(rng, {"tee": 0.34, "shirt": 0.28, "jacket": 0.16, "coat": 0.12, "dress": 0.1 * wears_skirts})
    bottom = choose(rng, {"trousers": 0.5, "wide": 0.16, "shorts": 0.18, "skirt": 0.35 * wears_skirts})
    if top == "dress":
        bottom = "skirt"
    hair = choose(
        rng,
        {"short": 0.16, "bob": 0.26, "long": 0.36, "bun": 0.22}
        if wears_skirts
        else {"shaven": 0.12, "short": 0.74, "long": 0.07, "bob": 0.07},
    )
    u = rng.uniform
    return Person(
        pid=pid,
        stature=float(np.clip(rng.normal(1.66 if wears_skirts else 1.76, 0.075), 1.48, 1.98)),
        build=float(np.clip(rng.lognormal(0.0, 0.13), 0.82, 1.36)),
        shoulders=float(u(0.88, 1.02) if wears_skirts else u(0.95, 1.14)),
        hips=float(u(0.97, 1.16) if wears_skirts else u(0.9, 1.05)),
        legs=float(u(0.95, 1.05)),
        head=float(u(0.93, 1.07)),
        stride=float(u(0.26, 0.5)),
        arm_swing=float(u(0.12, 0.6)),
        elbow=float(u(0.08, 0.55)),
        lean=float(u(0.0, 0.13)),
        splay=float(u(0.0, 0.3)),
        sway=float(u(0.005, 0.03)),
        hair=hair,
        top=top,
        bottom=bottom,
        carried=choose(rng, {"nothing": 0.34, "backpack": 0.30, "shoulder-bag": 0.22, "handbag": 0.14}),
        hat=choose(rng, {"none": 0.66, "cap": 0.14, "beanie": 0.10, "brimmed": 0.10}),
        hem=float(u(0.0, 1.0)),
        sleeve=float(u(0.45, 0.95)),
        loose=float(u(1.0, 1.35)),
        bag_size=float(u(0.78, 1.25)),
        bag_side=float(rng.choice([-1.0, 1.0])),
        boots=float(u(0.3, 0.85)) if rng.random() < 0.3 else 0.0,
        scarf=bool(rng.random() < 0.14),
        hood=bool(rng.random() < (0.35 if top in ("shirt", "jacket", "coat") else 0.0)),
        materials=_dress(rng, top, bottom),
    )


def _dress(rng: np.random.Generator, top: str, bottom: str) -> tuple[Material, ...]:
    """Draw the materials of all slots, in the order of ``Slot``."""
    warm = {"tee": 0.62, "dress": 0.6, "shirt": 0.55, "jacket": 0.4, "coat": 0.28}[top]
    skin, hair = skin_tone(rng), hair_colour(rng)
    shirt = weave_cloth(
        rng, warm, _TOP_PATTERNS, _RELIEFS["light" if top in ("tee", "dress") else "thick"], folds=0.12
    )
    legs = weave_cloth(
        rng,
        0.52,
        _SKIRT_PATTERNS if bottom == "skirt" else _BOTTOM_PATTERNS,
        _RELIEFS["light"],
        folds=0.12,
    )
    inner = weave_cloth(rng, 0.6, {"plain": 0.8, "stripes-across": 0.2}, _RELIEFS["light"], folds=0.08)
    contrasting = rng.random() < 0.14 and top in ("tee", "shirt")
    sleeve = weave_cloth(rng, warm, {"plain": 1.0}, _RELIEFS["light"], folds=0.12) if contrasting else shirt
    by_slot: dict[Slot, Material] = {
        Slot.SKIN: _plain(skin, folds=0.0),
        Slot.FACE: _plain(skin, folds=0.0),
        Slot.HAIR: Material(hair, hair, relief="ribs", depth=0.2, pitch=0.03, folds=0.1),
        Slot.TOP: shirt,
        Slot.BOTTOM: shirt if top == "dress" else legs,
        Slot.SHOES: _plain(dye_cloth(rng, 0.3)),
        Slot.BAG: weave_cloth(
            rng, 0.26, {"plain": 0.6, "blocks": 0.2, "blotches": 0.2}, _RELIEFS["thick"], folds=0.05
        ),
        Slot.HAT: _plain(dye_cloth(rng, 0.4)),
        Slot.INNER: inner,
        Slot.SLEEVE: sleeve,
    }
    return tuple(by_slot[slot] for slot in Slot)


def _plain(dye: Dye, folds: float = 0.05) -> Material:
    """Return a material of one dye without a pattern."""
    return Material(dye, dye, folds=folds)


@dataclass(frozen=True, slots=True)
class Plan:
    """Split and cameras of each person.

    Attributes:
        train, val, test: Sorted pids of each split.
        cameras: Sorted numbers of the cameras that see each person, keyed by pid.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    cameras: dict[int, tuple[int, ...]]


# Rounded shares of the 491 people of SYSU-MM01: in all cameras; outdoors only; in all cameras but one.
_PRESENCE: dict[str, tuple[float, tuple[int, ...]]] = {
    "everywhere": (0.66, (1, 2, 3, 4, 5, 6)),
    "outdoors": (0.12, (4, 5, 6)),
    "indoors": (0.05, (1, 2, 3)),
    "outdoors-and-3": (0.04, (3, 4, 5, 6)),
    "not-3": (0.04, (1, 2, 4, 5, 6)),
    "not-6": (0.05, (1, 2, 3, 4, 5)),
    "not-1": (0.04, (2, 3, 4, 5, 6)),
}
_TEST_PRESENCE = {"everywhere": 0.72, "outdoors": 0.14, "outdoors-and-3": 0.10, "not-3": 0.04}


def plan_population(ids: int, seed: int) -> Plan:
    """Split ``ids`` people (SYSU-MM01: 296 / 99 / 96) and draw the cameras that see each of them.

    Training has 74 % of the people, validation 7 %, and testing the rest. Validation is smaller than in
    SYSU-MM01, because papers train on both and a small benchmark needs the identities for training. Each
    split has at least one person.

    Args:
        ids: Number of people, at least 3.
        seed: Seed of the benchmark.
    """
    order = stream(seed, Purpose.SPLIT).permutation(ids) + 1
    val = max(1, round(0.07 * ids))
    test = max(1, round(0.19 * ids))
    parts = np.split(order, [val, val + test])
    cameras: dict[int, tuple[int, ...]] = {}
    tested = {int(pid) for pid in parts[1]}
    for pid in range(1, ids + 1):
        weights = _TEST_PRESENCE if pid in tested else {k: w for k, (w, _) in _PRESENCE.items()}
        cameras[pid] = _PRESENCE[choose(stream(seed, Purpose.PRESENCE, pid), weights)][1]
    as_ids = [tuple(sorted(int(pid) for pid in part)) for part in parts]
    return Plan(train=as_ids[2], val=as_ids[0], test=as_ids[1], cameras=cameras)
