"""The population: identities, the cameras that see them, and the split.

Bodies, gaits, garments and carried objects are drawn independently, so that no single trait identifies a
person. As in SYSU-MM01, a person wears the same clothes in all cameras, not every camera sees every person,
each person appears in a visible and in an infrared camera, and some test people appear outdoors only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vireid_cli.rendered.draws import Purpose, choose, stream
from vireid_cli.rendered.marks import GarmentMark, Outfit, draw_marks
from vireid_cli.rendered.materials import (
    WORN,
    Dye,
    Material,
    Slot,
    dye_cloth,
    dye_plastic,
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
        stoop: Forward bend of the upper back, radians.
        stance: Distance between the feet relative to the hips' width.
        arms: ``swing``, ``pockets``, ``phone`` (one forearm raised), ``strap`` (a hand at the chest) or
            ``behind``.
        hair: ``shaven``, ``short``, ``receding``, ``bob``, ``long``, ``bun``, ``ponytail`` or ``afro``.
        volume: Thickness of the hair relative to the mean.
        beard, glasses: Whether the person has them.
        top: ``tee``, ``shirt``, ``jacket``, ``coat`` (long) or ``dress``.
        bottom: ``trousers``, ``slim``, ``flared``, ``wide``, ``shorts`` or ``skirt``.
        carried: ``nothing``, ``backpack``, ``shoulder-bag``, ``handbag``, ``waist-bag`` or ``chest-bag``.
        hat: ``none``, ``cap``, ``beanie``, ``brimmed`` (all round) or ``hood`` (of the top, worn up).
        hem: Height of a skirt's, coat's or shorts' hem, 0 short to 1 long.
        tail: Length of a tee, shirt or jacket below the hips, as a share of the stature.
        sleeve: Length of a sleeve as a share of the upper arm, up to 1.8 for one that ends at the wrist.
        loose: Width of the clothes relative to the limb.
        bag_size: Size of the carried bag relative to the mean.
        bag_side: −1 right, +1 left.
        boots: Share of the shin that boots or high socks cover, 0 shoes only.
        shoe: Size of the shoes relative to the mean.
        scarf, hood: Whether the person wears a scarf, or a hood down the back.
        materials: One material for each slot of ``WORN``.
        marks: Openings, straps, badges and bands on the garments.
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
    stoop: float
    stance: float
    arms: str
    hair: str
    volume: float
    beard: bool
    glasses: bool
    top: str
    bottom: str
    carried: str
    hat: str
    hem: float
    tail: float
    sleeve: float
    loose: float
    bag_size: float
    bag_side: float
    boots: float
    shoe: float
    scarf: bool
    hood: bool
    materials: tuple[Material, ...]
    marks: tuple[GarmentMark, ...]


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


LONG = ("trousers", "slim", "flared", "wide")
"""Bottoms that reach the ankles."""


def draw_person(seed: int, pid: int) -> Person:
    """Draw the person with this number."""
    rng = stream(seed, Purpose.PERSON, pid)
    wears_skirts = bool(rng.random() < 0.4)
    clothes = _draw_clothes(rng, wears_skirts)
    body = _draw_body(rng, wears_skirts)
    materials = _dress(rng, clothes["top"], clothes["bottom"], clothes["hat"])
    outfit = Outfit(
        body["stature"], clothes["top"], clothes["bottom"], clothes["carried"], clothes["hem"],
        clothes["bag_side"], np.pi * 0.051 * body["stature"] * body["build"] ** 0.8 * body["hips"] ** 0.5,
        {slot: materials[slot].first for slot in WORN},
    )  # fmt: skip
    return Person(pid=pid, materials=materials, marks=draw_marks(rng, outfit), **body, **clothes)


def _draw_body(rng: np.random.Generator, wears_skirts: bool) -> dict[str, Any]:
    """Draw body, gait and hair."""
    u = rng.uniform
    hair = choose(
        rng,
        {"short": 0.12, "bob": 0.22, "long": 0.28, "bun": 0.14, "ponytail": 0.16, "afro": 0.08}
        if wears_skirts
        else {"shaven": 0.12, "receding": 0.12, "short": 0.54, "long": 0.06, "bob": 0.06, "bun": 0.03,
              "afro": 0.07},
    )  # fmt: skip
    arms = {"swing": 0.58, "pockets": 0.16, "phone": 0.12, "strap": 0.08, "behind": 0.06}
    return {
        "stature": float(np.clip(rng.normal(1.66 if wears_skirts else 1.76, 0.08), 1.46, 2.0)),
        "build": float(np.clip(rng.lognormal(0.0, 0.16), 0.78, 1.45)),
        "shoulders": float(u(0.86, 1.02) if wears_skirts else u(0.93, 1.15)),
        "hips": float(u(0.95, 1.18) if wears_skirts else u(0.88, 1.06)),
        "legs": float(u(0.94, 1.06)),
        "head": float(u(0.92, 1.08)),
        "stride": float(u(0.18, 0.52)),
        "arm_swing": float(u(0.10, 0.62)),
        "elbow": float(u(0.05, 0.6)),
        "lean": float(u(-0.02, 0.13)),
        "splay": float(u(-0.08, 0.36)),
        "sway": float(u(0.005, 0.03)),
        "stoop": float(np.clip(rng.normal(0.06, 0.10), -0.06, 0.42)),
        "stance": float(u(0.7, 1.7)),
        "arms": choose(rng, arms),
        "hair": hair,
        "volume": float(u(0.9, 1.2)),
        "beard": bool(rng.random() < (0.0 if wears_skirts else 0.3)),
        "glasses": bool(rng.random() < 0.25),
    }


def _draw_clothes(rng: np.random.Generator, wears_skirts: bool) -> dict[str, Any]:
    """Draw the kinds and cuts of the garments and what is carried."""
    u = rng.uniform
    top = choose(rng, {"tee": 0.32, "shirt": 0.28, "jacket": 0.18, "coat": 0.12, "dress": 0.1 * wears_skirts})
    cuts = {"trousers": 0.24, "slim": 0.15, "flared": 0.10, "wide": 0.13, "shorts": 0.18}
    bottom = choose(rng, {**cuts, "skirt": 0.32 * wears_skirts})
    hooded = bool(rng.random() < (0.35 if top in ("shirt", "jacket", "coat") else 0.0))
    bags = {"nothing": 0.26, "backpack": 0.27, "shoulder-bag": 0.19, "handbag": 0.12, "waist-bag": 0.08,
            "chest-bag": 0.08}  # fmt: skip
    hats = {"none": 0.6, "cap": 0.14, "beanie": 0.10, "brimmed": 0.10, "hood": 0.16 * hooded}
    hat, rolled = choose(rng, hats), bool(rng.random() < 0.22)
    short = float(u(0.12, 0.95))
    return {
        "top": top,
        "bottom": "skirt" if top == "dress" else bottom,
        "carried": choose(rng, bags),
        "hat": hat,
        "hem": float(u(0.0, 1.0)),
        "tail": float(u(0.0, 0.035) if rng.random() < 0.7 else u(0.05, 0.12)),
        "sleeve": short if top in ("tee", "dress") else float(u(0.8, 1.5) if rolled else 9.0),
        "loose": float(u(0.96, 1.42)),
        "bag_size": float(u(0.72, 1.35)),
        "bag_side": float(rng.choice([-1.0, 1.0])),
        "boots": float(u(0.25, 0.9)) if rng.random() < 0.32 else 0.0,
        "shoe": float(u(0.86, 1.22)),
        "scarf": bool(rng.random() < 0.14),
        "hood": hooded and hat != "hood",
    }


def _dress(rng: np.random.Generator, top: str, bottom: str, hat: str) -> tuple[Material, ...]:
    """Draw the materials of all slots, in the order of ``Slot``."""
    warm = {"tee": 0.62, "dress": 0.6, "shirt": 0.55, "jacket": 0.4, "coat": 0.28}[top]
    skin, hair = skin_tone(rng), hair_colour(rng)
    light = "light" if top in ("tee", "dress") else "thick"
    shirt = weave_cloth(rng, warm, _TOP_PATTERNS, _RELIEFS[light], folds=0.12)
    patterns = _SKIRT_PATTERNS if bottom == "skirt" else _BOTTOM_PATTERNS
    legs = weave_cloth(rng, 0.52, patterns, _RELIEFS["light"], folds=0.12, bright=0.67)
    inner = weave_cloth(rng, 0.6, {"plain": 0.8, "stripes-across": 0.2}, _RELIEFS["light"], folds=0.08)
    contrasting = rng.random() < 0.2 and top in ("tee", "shirt", "jacket")
    sleeve = weave_cloth(rng, warm, {"plain": 1.0}, _RELIEFS["light"], folds=0.12) if contrasting else shirt
    bag, shoes, sole = dye_plastic(rng, 0.26), dye_plastic(rng, 0.3), dye_plastic(rng, 0.3)
    white = Dye((0.62, 0.62, 0.6), float(rng.uniform(0.55, 0.75)), 0.3)
    by_slot: dict[Slot, Material] = {
        Slot.SKIN: _plain(skin, folds=0.0),
        Slot.FACE: _plain(skin, folds=0.0),
        Slot.HAIR: Material(hair, hair, relief="ribs", depth=0.2, pitch=0.03, folds=0.1),
        Slot.TOP: shirt,
        Slot.BOTTOM: shirt if top == "dress" else legs,
        Slot.SHOES: _plain(shoes),
        Slot.BAG: _bag_material(rng, bag),
        Slot.HAT: shirt if hat == "hood" else _plain(dye_cloth(rng, 0.4)),
        Slot.INNER: inner,
        Slot.SLEEVE: sleeve,
        Slot.SOLE: _plain(white if rng.random() < 0.45 else sole),
    }
    return tuple(by_slot[slot] for slot in WORN)


def _bag_material(rng: np.random.Generator, dye: Dye) -> Material:
    """Return a bag's material: its plastic, half of the time with panels of another one."""
    panels, second = rng.random() < 0.5, dye_plastic(rng, 0.26)
    quilted, phase = rng.random() < 0.3, (float(rng.random()), float(rng.random()))
    relief, depth = ("quilt", 0.45) if quilted else ("smooth", 0.03)
    pattern = "blocks" if panels else "plain"
    return Material(dye, second if panels else dye, pattern, 0.2, phase, relief, depth, 0.09, 0.05)


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


def plan_population(ids: int, seed: int, more_test_ids: int = 0) -> Plan:
    """Split ``ids`` people (SYSU-MM01: 296 / 99 / 96) and draw the cameras that see each of them.

    Training has 74 % of the people, validation 7 %, and testing the rest. Validation is smaller than in
    SYSU-MM01, because papers train on both and a small benchmark needs the identities for training. Each
    split has at least one person.

    Args:
        ids: Number of people, at least 3.
        seed: Seed of the benchmark.
        more_test_ids: Test people in addition to ``ids``, numbered after them.
    """
    order = stream(seed, Purpose.SPLIT).permutation(ids) + 1
    val = max(1, round(0.07 * ids))
    test = max(1, round(0.19 * ids))
    parts = np.split(order, [val, val + test])
    cameras: dict[int, tuple[int, ...]] = {}
    more = range(ids + 1, ids + more_test_ids + 1)
    tested = {*(int(pid) for pid in parts[1]), *more}
    for pid in range(1, ids + more_test_ids + 1):
        weights = _TEST_PRESENCE if pid in tested else {k: w for k, (w, _) in _PRESENCE.items()}
        cameras[pid] = _PRESENCE[choose(stream(seed, Purpose.PRESENCE, pid), weights)][1]
    as_ids = [tuple(sorted(int(pid) for pid in part)) for part in parts]
    return Plan(train=as_ids[2], val=as_ids[0], test=(*as_ids[1], *more), cameras=cameras)
