"""Objects before people: posts, bins, bushes and signs, as solids on the ground between camera and person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vireid_cli.rendered.draws import Purpose, choose, stream
from vireid_cli.rendered.materials import Dye, Material, Slot
from vireid_cli.rendered.primitives import Primitives, Sculptor, frame_along
from vireid_cli.rendered.shots import Shot

Array = np.ndarray
KINDS = {"post": 0.2, "bin": 0.3, "bush": 0.3, "sign": 0.2}

# Linear visible albedo and near-infrared reflectance of both colours of an object.
_SURFACES: dict[str, tuple[tuple[Dye, Dye], ...]] = {
    "post": ((Dye((0.22, 0.22, 0.23), 0.30, 0.2),) * 2, (Dye((0.24, 0.14, 0.07), 0.45, 0.2),) * 2),
    "bin": ((Dye((0.03, 0.09, 0.05), 0.12, 0.2),) * 2, (Dye((0.30, 0.30, 0.31), 0.34, 0.2),) * 2),
    "bush": ((Dye((0.08, 0.18, 0.04), 0.62, 0.15), Dye((0.015, 0.045, 0.012), 0.30, 0.12)),),
    "sign": ((Dye((0.55, 0.08, 0.06), 0.50, 0.2), Dye((0.68, 0.68, 0.66), 0.62, 0.2)),),
}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One object.

    Attributes:
        kind: One of ``KINDS``.
        material: Its surface.
        threshold: The object exists where the dial ``occlusion`` exceeds this value.
        along: Distance from the camera as a share of the person's.
        aside: Lateral distance from the line of sight to the person, metres.
        size: Size relative to the mean.
    """

    kind: str
    material: Material
    threshold: float
    along: float
    aside: float
    size: float


def draw_occluder(shot: Shot) -> Obstacle:
    """Draw the object before the person of one image; the draws do not depend on the dials."""
    rng = stream(shot.seed, Purpose.OCCLUDER, shot.person.pid, shot.camera.camid, shot.frame)
    threshold, kind = float(rng.random()), choose(rng, KINDS)
    first, second = _SURFACES[kind][int(rng.integers(len(_SURFACES[kind])))]
    pattern = {"bush": "blotches", "sign": "blocks"}.get(kind, "plain")
    phase = (float(rng.random()), float(rng.random()))
    material = Material(first, second, pattern, 0.12 if kind == "bush" else 0.3, phase, folds=0.1)
    along, aside = float(rng.uniform(0.62, 0.85)), float(rng.uniform(-0.32, 0.32))
    return Obstacle(kind, material, threshold, along, aside, float(rng.uniform(0.75, 1.25)))


def place_occluders(shots: list[Shot], occluders: list[Obstacle], draws: dict[str, Array]) -> Primitives:
    """Return the objects of B images as solids in camera coordinates, two for each image.

    Args:
        shots: Images; an object is absent where the shot's dial does not exceed its threshold.
        occluders: The object of each image.
        draws: Columns of ``draw_shots``: the people's positions.
    """
    along = np.array([o.along for o in occluders])
    aside, size = np.array([o.aside for o in occluders]), np.array([o.size for o in occluders])
    present = np.array([shot.dials.occlusion > o.threshold for shot, o in zip(shots, occluders, strict=True)])
    kinds = np.array([o.kind for o in occluders])
    foot = np.stack([draws["x"] * along + aside, 0 * along, draws["z"] * along], axis=1)
    sculptor = Sculptor(len(shots))
    _add_shapes(sculptor, kinds, present, foot, size)
    rotation = np.stack([shot.camera.rotation() for shot in shots])
    position = np.stack([shot.camera.position() for shot in shots])
    return sculptor.finish().transform(rotation, -np.einsum("bij,bj->bi", rotation, position))


def _add_shapes(sculptor: Sculptor, kinds: Array, present: Array, foot: Array, size: Array) -> None:
    """Add a pillar (post, bin, the sign's pole) and a round or flat body (bush, sign) to each image."""
    up, left = np.array([0.0, 1.0, 0.0]), np.broadcast_to(np.array([1.0, 0.0, 0.0]), foot.shape)
    is_kind = [kinds == name for name in ("post", "bin", "sign")]
    tall = np.select(is_kind, [2.6, 0.95, 1.15], 1.0) * np.where(kinds == "post", 1.0, size)
    thick = np.select(is_kind, [0.07, 0.27, 0.03], 0.1) * size
    slots = (int(Slot.OBJECT),) * 2
    sculptor.cone(
        foot, foot + up * tall[:, None], (thick, thick), left, slots, around=thick, painted=False,
        present=present & (kinds != "bush"),
    )  # fmt: skip
    bush = kinds == "bush"
    middle = foot + up * np.where(bush, 0.42, 1.35)[:, None] * size[:, None]
    radii = np.where(bush, 0.48, 0.26) * size, np.where(bush, 0.62, 0.30) * size
    frame, _ = frame_along(foot, foot + up, left)
    sculptor.ellipsoid(
        middle, (radii[0], radii[1], np.where(bush, 0.45, 0.05) * size), frame, slots, around=radii[0],
        present=present & (bush | (kinds == "sign")),
    )  # fmt: skip
