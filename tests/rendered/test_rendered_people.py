"""Bodies, materials and population: properties of all people."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from vireid_cli.rendered.bodies import sculpt
from vireid_cli.rendered.draws import Purpose, stream
from vireid_cli.rendered.materials import COLUMNS, SPECTRA, Slot, dye_cloth, material_row, skin_tone
from vireid_cli.rendered.population import draw_person, plan_population
from vireid_cli.rendered.raycast import present
from vireid_cli.rendered.skeleton import Posture, pose_joints

PEOPLE = [draw_person(0, pid) for pid in range(1, 61)]


def posture(count: int, phase: float = 0.0) -> Posture:
    zero = np.zeros(count)
    return Posture(np.full(count, phase), np.ones(count), zero, zero, zero)


@pytest.mark.parametrize("phase", [0.0, 0.9, 2.2, 3.6, 5.5])
def test_limb_lengths_are_constant_and_a_sole_is_on_the_ground(phase: float) -> None:
    joints = pose_joints(PEOPLE, posture(len(PEOPLE), phase))
    rest = pose_joints(PEOPLE, posture(len(PEOPLE), 0.0))
    assert len(joints) >= 15
    bones = [("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"), ("heel", "toe")]
    for side in ("left", "right"):
        for a, b in bones:
            now = np.linalg.norm(joints[f"{side}_{a}"] - joints[f"{side}_{b}"], axis=1)
            then = np.linalg.norm(rest[f"{side}_{a}"] - rest[f"{side}_{b}"], axis=1)
            assert np.allclose(now, then)
    soles = np.stack([joints[f"{s}_{e}"][:, 1] for s in ("left", "right") for e in ("heel", "toe")])
    stature = np.array([p.stature for p in PEOPLE])
    assert np.allclose(soles.min(axis=0), 0.018 * stature)


def test_posture_is_mirrored_after_half_a_cycle() -> None:
    both = [p for p in PEOPLE if p.arms not in ("phone", "strap")]  # these need one hand
    now, later = (pose_joints(both, posture(len(both), phase)) for phase in (0.7, 0.7 + np.pi))
    for name in ("hip", "knee", "ankle", "toe", "shoulder", "elbow", "hand"):
        assert np.allclose(now[f"left_{name}"] * [-1, 1, 1], later[f"right_{name}"])


def test_height_of_the_solids_is_the_stature() -> None:
    solids = sculpt(PEOPLE, posture(len(PEOPLE), np.pi / 2))
    top = solids.bound_centre[..., 1] + solids.bound_radii.max(axis=3)
    mask = present(solids)[..., None]
    height = np.where(mask, top, 0).max(axis=(1, 2))
    share = height / np.array([p.stature for p in PEOPLE])
    assert share.min() > 0.93
    assert share.max() < 1.10


def test_garments_determine_the_solids() -> None:
    plain: dict[str, Any] = {
        "top": "shirt",
        "bottom": "trousers",
        "hat": "none",
        "hair": "short",
        "carried": "nothing",
    }
    one = dataclasses.replace(draw_person(1, 1), scarf=False, hood=False, tail=0.0, **plain)

    def more(**traits: Any) -> int:
        counts = [present(sculpt([p], posture(1))).sum() for p in (one, dataclasses.replace(one, **traits))]
        return int(counts[1] - counts[0])

    assert more(carried="backpack") == 3
    assert more(carried="handbag") == 4  # and its handle
    assert more(carried="waist-bag") == more(carried="chest-bag") == 3
    assert more(tail=0.1) == 1  # the top hangs over the trousers
    assert more(hat="hood") == 1
    assert more(hair="ponytail") == 3
    assert more(hat="cap") == 2
    assert more(hat="beanie") == 1
    assert more(bottom="skirt") == 1
    assert more(bottom="shorts") == 2
    assert more(top="tee") == 2
    assert more(scarf=True) == 2
    assert more(hood=True) == 1
    assert more(hair="shaven") == -1


def test_near_infrared_does_not_follow_from_the_visible_colour() -> None:
    rng = np.random.default_rng(0)
    dyes = [dye_cloth(rng, 0.5) for _ in range(3000)]
    colour = np.log(np.array([d.visible for d in dyes]))
    infrared = np.array([d.near_infrared for d in dyes])
    # The best guess from the colour: the mean over the 25 nearest colours among the others.
    distance = ((colour[:, None] - colour[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argpartition(distance, 25, axis=1)[:, :25]
    unexplained = np.mean((infrared - infrared[nearest].mean(axis=1)) ** 2) / infrared.var()
    assert unexplained > 0.7
    black = infrared[np.exp(colour).mean(axis=1) < 0.03]
    assert 0.02 < (black < 0.2).mean() < 0.1
    assert (black > 0.5).mean() > 0.7


def test_skin_tone_hardly_affects_the_infrared() -> None:
    rng = np.random.default_rng(1)
    skins = [skin_tone(rng) for _ in range(500)]
    visible = np.array([np.mean(s.visible) for s in skins])
    infrared = np.array([s.near_infrared for s in skins])
    assert visible.max() / visible.min() > 3
    assert 0.34 < infrared.min() < infrared.max() < 0.67


def test_some_patterns_remain_in_the_infrared_and_some_vanish() -> None:
    people = [draw_person(0, pid) for pid in range(1, 500)]
    tops = [p.materials[Slot.TOP] for p in people if p.materials[Slot.TOP].pattern not in ("plain", "weave")]
    seen = np.array([abs(np.log(np.mean(m.first.visible) / np.mean(m.second.visible))) for m in tops])
    ratio = np.array([abs(np.log(m.first.near_infrared / m.second.near_infrared)) for m in tops])
    assert seen.min() > 0.5  # all are seen in the visible
    assert (ratio < 0.25).mean() > 0.3
    assert (ratio > 0.7).mean() > 0.12


def test_thermal_emission_is_warm_skin_and_thick_coats() -> None:
    people = [draw_person(0, pid) for pid in range(1, 400)]
    for p in people:
        cloth = [p.materials[s].first.thermal for s in (Slot.TOP, Slot.BOTTOM, Slot.BAG, Slot.HAT)]
        assert p.materials[Slot.SKIN].first.thermal > max(cloth)
    tops = {t: [p.materials[Slot.TOP].first.thermal for p in people if p.top == t] for t in ("tee", "coat")}
    assert max(tops["coat"]) < min(tops["tee"])


def test_material_rows_are_grey_outside_the_visible() -> None:
    for spectrum in SPECTRA:
        rows = np.array([material_row(m, spectrum) for p in PEOPLE for m in p.materials])
        assert rows.shape[1] == len(COLUMNS)
        grey = np.allclose(rows[:, 0], rows[:, 1]) and np.allclose(rows[:, 0], rows[:, 2])
        assert grey == (spectrum != "visible")


def test_population_has_the_cameras_that_the_protocol_needs() -> None:
    plan = plan_population(300, seed=0)
    everybody = sorted([*plan.train, *plan.val, *plan.test])
    assert everybody == list(range(1, 301))
    for cameras in plan.cameras.values():
        assert set(cameras) & {1, 2, 4, 5}
        assert set(cameras) & {3, 6}
    no_indoor = [pid for pid in plan.test if not set(plan.cameras[pid]) & {1, 2}]
    assert 0.08 < len(no_indoor) / len(plan.test) < 0.45
    assert len(plan.train) >= 200
    assert len(plan.test) >= 50


def test_a_person_depends_on_seed_and_number_only() -> None:
    assert draw_person(3, 17) == draw_person(3, 17)
    assert draw_person(3, 17) != draw_person(4, 17)
    first, second = (stream(0, Purpose.NOISE, 1, 2, 3).random(4) for _ in range(2))
    assert (first == second).all()
    assert not (first == stream(0, Purpose.SHOT, 1, 2, 3).random(4)).any()
