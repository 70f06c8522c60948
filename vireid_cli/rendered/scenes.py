"""Five procedural scenes, rendered once per camera as a background plate.

A scene is a floor and upright rectangles. Each surface has a visible colour, a near-infrared reflectance
and a temperature, so that cameras of different spectra can share a room: leaves are bright in the infrared,
asphalt stays dark, painted walls are paler. Lighting is baked into the plate; its last channel is the mask
of the ground, which receives people's shadows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vireid_cli.rendered.cameras import Camera
from vireid_cli.rendered.draws import Purpose, stream
from vireid_cli.rendered.textures import (
    Texture,
    bricks,
    cloud,
    facade,
    planks,
    plaster,
    rough,
    shelves,
    smooth_noise,
    tiles,
)

Array = np.ndarray
ASPECT = 0.75
"""Height over width of a plate; its width spans the camera's field of view."""


@dataclass(frozen=True, slots=True)
class Wall:
    """An upright rectangle.

    Attributes:
        axis: ``z`` for a wall that faces the camera at depth ``at``, ``x`` for one along the path at lateral
            position ``at``.
        at: Position along ``axis``, metres.
        low, high: Extent along the other horizontal axis, metres.
        bottom, top: Vertical extent, metres.
        texture: Surface of the wall.
        ragged: Edge roughness in metres (hedges, crowns of trees); 0 for a straight edge.
    """

    axis: str
    at: float
    low: float
    high: float
    bottom: float
    top: float
    texture: Texture
    ragged: float = 0.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A floor, walls, and a background for rays that meet neither."""

    floor: Texture
    walls: tuple[Wall, ...]
    sky: tuple[float, ...]
    verge: tuple[float, Texture] | None = None
    """Beyond this lateral distance the ground has another surface."""


# Surfaces: linear R, G, B, near-infrared reflectance, heat.
_LEAF, _LEAF_DARK = (0.10, 0.22, 0.05, 0.70, 0.16), (0.015, 0.045, 0.012, 0.32, 0.12)
_GRASS, _SOIL = (0.14, 0.24, 0.06, 0.58, 0.20), (0.07, 0.08, 0.035, 0.36, 0.18)
_BARK, _BARK_DARK = (0.10, 0.075, 0.05, 0.34, 0.2), (0.03, 0.022, 0.016, 0.18, 0.2)
_WHITE, _GREY = (0.66, 0.64, 0.58, 0.62, 0.12), (0.30, 0.30, 0.31, 0.33, 0.12)


def _office() -> Scene:
    wood = planks((0.30, 0.17, 0.08, 0.48, 0.12), (0.20, 0.10, 0.045, 0.40, 0.12), 0.4)
    side = plaster((0.50, 0.52, 0.50, 0.6, 0.1), 0.1, (0.1, 0.1, 0.1, 0.2, 0.1))
    return Scene(
        tiles((0.34, 0.33, 0.31, 0.36, 0.14), (0.13, 0.13, 0.12, 0.2, 0.14), 0.6),
        (
            Wall("z", 8.6, -9, 9, 0, 3.2, plaster(_WHITE, 0.08, (0.11, 0.10, 0.09, 0.2, 0.1))),
            Wall("x", -4.0, 0, 8.6, 0, 3.2, side),
            Wall("x", 4.2, 0, 8.6, 0, 3.2, plaster((0.56, 0.50, 0.40, 0.6, 0.1), 0.1)),
            Wall("z", 8.55, -3.3, -2.3, 0, 2.1, wood),
            Wall("z", 8.5, -1.4, 0.9, 0.9, 2.1, plaster((0.74, 0.76, 0.78, 0.66, 0.1), 0.04)),
            Wall(
                "z",
                8.5,
                1.6,
                2.1,
                1.1,
                1.8,
                rough((0.08, 0.2, 0.45, 0.5, 0.1), (0.7, 0.5, 0.2, 0.6, 0.1), 0.12),
            ),
            Wall(
                "z",
                8.5,
                2.3,
                2.8,
                1.1,
                1.8,
                rough((0.5, 0.09, 0.07, 0.5, 0.1), (0.6, 0.6, 0.5, 0.6, 0.1), 0.12),
            ),
            Wall("z", 8.2, 2.9, 4.1, 0, 0.85, wood),
            Wall("x", 4.1, 3.6, 5.4, 0, 1.9, plaster((0.16, 0.18, 0.20, 0.30, 0.1), 0.05)),
        ),
        (0.75, 0.75, 0.72, 0.4, 0.1),
    )


def _library() -> Scene:
    case = (0.17, 0.09, 0.045, 0.36, 0.12)
    return Scene(
        planks((0.26, 0.15, 0.075, 0.46, 0.14), (0.17, 0.09, 0.04, 0.38, 0.14), 0.14),
        (
            Wall(
                "z",
                9.2,
                -9,
                9,
                0,
                3.3,
                plaster((0.40, 0.45, 0.47, 0.58, 0.1), 0.1, (0.1, 0.06, 0.03, 0.3, 0.1)),
            ),
            Wall("x", -3.7, 0, 9.2, 0, 3.3, plaster((0.42, 0.46, 0.47, 0.58, 0.1), 0.1)),
            Wall("x", 4.3, 0, 9.2, 0, 2.3, shelves(case)),
            Wall("z", 9.0, -3.4, -0.6, 0, 2.2, shelves(case)),
            Wall("z", 9.1, 0.3, 1.3, 0, 2.1, plaster((0.24, 0.13, 0.06, 0.44, 0.1), 0.06)),
            Wall("z", 9.0, 2.0, 4.3, 0, 2.2, shelves(case)),
            Wall("x", -3.65, 4.2, 6.4, 0.9, 2.5, plaster((1.5, 1.6, 1.7, 0.2, 0.02), 0.05)),
            Wall("z", 7.4, -3.6, -2.5, 0, 0.75, planks((0.35, 0.22, 0.11, 0.5, 0.1), case, 0.3)),
        ),
        (0.7, 0.72, 0.74, 0.35, 0.1),
    )


def _plaza() -> Scene:
    glass = (0.07, 0.10, 0.13, 0.08, 0.05)
    return Scene(
        tiles((0.36, 0.33, 0.29, 0.36, 0.3), (0.17, 0.16, 0.14, 0.2, 0.3), 0.5, 0.2),
        (
            Wall("z", 24, -30, 30, 0, 9, facade((0.50, 0.40, 0.30, 0.45, 0.25), glass, 2.6, 3.1)),
            Wall("z", 21, -12, -5.5, 0, 1.1, rough(_LEAF, _LEAF_DARK, 0.09), 0.25),
            Wall("z", 20, 3.2, 12, 0, 1.0, rough(_LEAF, _LEAF_DARK, 0.09), 0.25),
            Wall("z", 18.5, -4.3, -4.0, 0, 3, rough(_BARK, _BARK_DARK, 0.05)),
            Wall("z", 18.4, -6.2, -2.2, 2.2, 5.2, rough(_LEAF, _LEAF_DARK, 0.14), 0.9),
            Wall("z", 17.0, 5.0, 5.3, 0, 3, rough(_BARK, _BARK_DARK, 0.05)),
            Wall("z", 16.9, 3.2, 7.2, 2.3, 5.6, rough(_LEAF, _LEAF_DARK, 0.14), 0.9),
            Wall(
                "z",
                15.0,
                -1.9,
                -0.2,
                0.38,
                0.50,
                planks((0.3, 0.18, 0.09, 0.4, 0.2), (0.2, 0.1, 0.05, 0.4, 0.2), 0.1),
            ),
            Wall("z", 15.02, -1.7, -1.55, 0, 0.40, plaster((0.1, 0.1, 0.1, 0.15, 0.2))),
            Wall("z", 15.02, -0.5, -0.35, 0, 0.40, plaster((0.1, 0.1, 0.1, 0.15, 0.2))),
        ),
        (0.75, 0.88, 1.10, 0.25, 0.0),
    )


def _garden() -> Scene:
    return Scene(
        rough((0.23, 0.22, 0.21, 0.22, 0.3), (0.13, 0.13, 0.13, 0.13, 0.3), 0.03),
        (
            Wall(
                "z",
                22,
                -30,
                30,
                0,
                3.2,
                bricks((0.30, 0.13, 0.08, 0.42, 0.25), (0.35, 0.33, 0.30, 0.4, 0.25)),
            ),
            Wall("z", 19, -14, -1.2, 0, 1.7, rough(_LEAF, _LEAF_DARK, 0.10), 0.45),
            Wall("z", 17.5, 2.4, 14, 0, 1.3, rough(_LEAF, _LEAF_DARK, 0.10), 0.4),
            Wall("z", 15.5, 3.6, 3.95, 0, 4, rough(_BARK, _BARK_DARK, 0.05)),
            Wall("z", 15.4, 1.2, 6.4, 2.4, 6.5, rough(_LEAF, _LEAF_DARK, 0.16), 1.0),
            Wall("z", 14.5, -3.9, -3.62, 0, 4, rough(_BARK, _BARK_DARK, 0.05)),
            Wall("z", 14.4, -6.2, -1.8, 2.5, 6.0, rough(_LEAF, _LEAF_DARK, 0.16), 1.0),
            Wall("z", 13.0, 2.6, 2.68, 0, 3.5, plaster((0.2, 0.22, 0.22, 0.3, 0.2))),
        ),
        (0.80, 0.84, 0.90, 0.25, 0.0),
        (2.6, rough(_GRASS, _SOIL, 0.05)),
    )


def _passage() -> Scene:
    glass = (0.06, 0.08, 0.10, 0.07, 0.05)
    return Scene(
        tiles((0.25, 0.24, 0.23, 0.44, 0.3), (0.12, 0.12, 0.12, 0.30, 0.3), 0.4, 0.2),
        (
            Wall("z", 19, -30, 30, 0, 7, facade((0.42, 0.40, 0.38, 0.44, 0.25), glass, 3.0, 3.0)),
            Wall(
                "x",
                -4.6,
                0,
                19,
                0,
                2.4,
                bricks((0.32, 0.15, 0.09, 0.40, 0.25), (0.4, 0.38, 0.34, 0.42, 0.25)),
            ),
            Wall("z", 15.0, 2.0, 11, 0, 1.2, rough(_LEAF, _LEAF_DARK, 0.09), 0.35),
            Wall("z", 12.5, 2.9, 3.2, 0, 4, rough(_BARK, _BARK_DARK, 0.05)),
            Wall("z", 12.4, 1.4, 5.0, 2.3, 5.5, rough(_LEAF, _LEAF_DARK, 0.14), 0.9),
            Wall("z", 11.0, -3.6, -2.7, 0, 1.0, plaster((0.1, 0.25, 0.15, 0.5, 0.2), 0.05)),
            Wall("z", 13.5, -1.4, -1.32, 0, 3.6, plaster((0.25, 0.25, 0.26, 0.35, 0.2))),
        ),
        (0.02, 0.02, 0.03, 0.01, 0.0),
        (3.4, rough(_GRASS, _SOIL, 0.05)),
    )


SCENES: dict[str, Callable[[], Scene]] = {
    "office": _office, "library": _library, "plaza": _plaza, "garden": _garden, "passage": _passage,
}  # fmt: skip
"""All scenes, keyed by name."""


def render_plate(camera: Camera, seed: int, height: int = 576) -> Array:
    """Render the view of ``camera`` without people: (4, height, width) float32, light (3) and ground (1).

    Light is linear, before exposure and cast; the last channel is 1 on the floor and 0 elsewhere.
    """
    scene = SCENES[camera.scene]()
    # One lattice per scene, keyed by the seed's digits, so that two cameras see the same room.
    number = sorted(SCENES).index(camera.scene)
    lattice = stream(seed, Purpose.SCENE, number).random((64, 64)).astype(np.float32)
    width = round(height / ASPECT)
    step = np.float32(2 * camera.half_width / width)
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    rays = np.stack([(u - width / 2 + 0.5) * step, (v - height / 2 + 0.5) * step, np.ones_like(u)], axis=-1)
    rays = rays.reshape(-1, 3) @ camera.rotation().astype(np.float32)  # rows are world directions: Rᵀ applied
    surface, distance, level, ground = _nearest(scene, camera, rays, lattice)
    light = _light(camera, rays, surface, distance, level)
    plate = np.concatenate([light, ground[:, None]], axis=1).reshape(height, width, 4)
    return np.ascontiguousarray(plate.transpose(2, 0, 1), dtype=np.float32)


def _nearest(scene: Scene, camera: Camera, rays: Array, lattice: Array) -> tuple[Array, Array, Array, Array]:
    """Return surface (N, 5), distance, height above ground and ground flag at the end of each ray."""
    with np.errstate(divide="ignore", invalid="ignore"):
        floor = np.where(rays[:, 1] < -1e-6, -camera.height / rays[:, 1], np.inf)
    best, owner = floor.copy(), np.full(len(rays), -1)
    shift_x, shift_z = camera.shift
    for k, wall in enumerate(scene.walls):
        axis, other = (2, 0) if wall.axis == "z" else (0, 2)
        at = wall.at - (shift_z if wall.axis == "z" else shift_x)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(np.abs(rays[:, axis]) > 1e-9, at / rays[:, axis], np.inf)
        nearer = np.flatnonzero((t > 0) & (t < best))
        along = rays[nearer, other] * t[nearer] + (shift_x if other == 0 else shift_z)
        up = camera.height + rays[nearer, 1] * t[nearer]
        # Skip rays that miss the rectangle by more than its roughness.
        near = (along > wall.low - 1) & (along < wall.high + 1) & (up < wall.top + 1) & (up > wall.bottom - 1)
        nearer, along, up = nearer[near], along[near], up[near]
        rim = wall.ragged * (cloud(along * 2.2, up * 2.2 + k, lattice, 3) - 0.5) * 2 if wall.ragged else 0.0
        side = rim if wall.bottom > 0 else 0.0
        inside = (along > wall.low + side) & (along < wall.high - side) & (up < wall.top + rim)
        inside &= up > wall.bottom + side
        best[nearer[inside]], owner[nearer[inside]] = t[nearer[inside]], k
    finite = np.isfinite(best)
    points = rays * np.where(finite, best, 0.0)[:, None]
    x, y, z = points[:, 0] + shift_x, points[:, 1] + camera.height, points[:, 2] + shift_z
    surface = np.tile(np.asarray(scene.sky, dtype=np.float32), (len(rays), 1))
    on_floor = finite & (owner == -1)
    surface[on_floor] = scene.floor(x[on_floor], z[on_floor], lattice)
    if scene.verge is not None:
        edge = on_floor & (np.abs(x) > scene.verge[0] + 0.1 * smooth_noise(z * 3, x * 0, lattice))
        surface[edge] = scene.verge[1](x[edge], z[edge], lattice)
    for k, wall in enumerate(scene.walls):
        mine = owner == k
        surface[mine] = wall.texture((x if wall.axis == "z" else z)[mine], y[mine], lattice)
    return surface, np.where(finite, best, 60.0), np.where(finite, y, 9.0), on_floor.astype(np.float64)


def _light(camera: Camera, rays: Array, surface: Array, distance: Array, level: Array) -> Array:
    """Compute the radiance (N, 3) of the surfaces under the camera's light."""
    if camera.spectrum == "thermal":
        return np.repeat(0.08 + 0.7 * surface[:, 4:], 3, axis=1)
    ambient = 0.75 * camera.sky + 0.3 * camera.ground + 0.55 * camera.key
    # Corners between floor and wall are darker.
    corner = 0.72 + 0.28 * np.clip(np.abs(level) / 0.5 + (level < 0.02), 0, 1)
    if camera.spectrum == "visible":
        return surface[:, :3] * (ambient * corner)[:, None]
    length = np.linalg.norm(rays, axis=1) * distance
    off_axis = np.arccos(np.clip(rays @ camera.rotation()[2] / np.linalg.norm(rays, axis=1), -1, 1))
    spot = np.exp(-0.5 * (off_axis / np.radians(camera.field * 0.42)) ** 2)
    head = camera.head * spot * (camera.middle / np.maximum(length, 0.5)) ** 2
    value = surface[:, 3] * (0.75 * camera.sky + 0.25 * camera.ground + 0.9 * head) * corner
    return np.repeat(value[:, None], 3, axis=1)
