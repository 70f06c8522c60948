"""Random variation of single images: the person's position and posture, and the detector's crop.

All values are drawn from the image's own stream, in a fixed order, and stored as columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vireid_cli.rendered.cameras import Camera
from vireid_cli.rendered.dials import USUAL, Dials
from vireid_cli.rendered.draws import Purpose, stream
from vireid_cli.rendered.population import Person
from vireid_cli.rendered.primitives import Primitives
from vireid_cli.rendered.raycast import Grid, bounding_boxes
from vireid_cli.rendered.skeleton import Posture
from vireid_cli.types import Size

Array = np.ndarray
MARGIN = 2
"""Pixels rendered beyond an image's right and lower edge, so that its blur does not reach the canvas edge."""

_FIELDS = (
    "x", "z", "yaw", "phase", "energy", "head_yaw", "head_pitch", "bend",
    "pad_top", "pad_bottom", "pad_left", "pad_right", "cut_top", "cut_bottom", "cut_left", "cut_right",
    "size", "exposure", "blur", "motion", "fold_first", "fold_second",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shot:
    """One image to render.

    Attributes:
        person: The person in the image.
        camera: The camera of the image.
        frame: Number of the image, from 1.
        seed: Seed of the benchmark.
        dials: Settings of the renderer.
    """

    person: Person
    camera: Camera
    frame: int
    seed: int
    dials: Dials = USUAL

    def noise(self) -> np.random.Generator:
        """Return the stream of this image's sensor noise."""
        return stream(self.seed, Purpose.NOISE, self.person.pid, self.camera.camid, self.frame)


def draw_shots(shots: list[Shot]) -> dict[str, Array]:
    """Draw each image's variation as columns (B,): positions in metres, angles in radians, crop shares."""
    rows = [_draw(shot) for shot in shots]
    return {name: np.array([row[i] for row in rows]) for i, name in enumerate(_FIELDS)}


def _draw(shot: Shot) -> list[float]:
    """Draw one image's row, in the order of ``_FIELDS``."""
    camera = shot.camera
    rng = stream(shot.seed, Purpose.SHOT, shot.person.pid, camera.camid, shot.frame)
    z = rng.uniform(camera.near, camera.far)
    reach = max(0.2, 0.8 * camera.half_width * z - 0.8)
    x = rng.uniform(-reach, reach)
    facing = float(rng.choice(np.asarray(camera.facing, dtype=np.float64)))
    turn = rng.normal(0, 30)
    posture = [
        rng.uniform(0, 2 * np.pi), rng.uniform(0.75, 1.15),
        rng.normal(0, 0.28), rng.normal(-0.03, 0.09), rng.normal(0, 0.03),
    ]  # fmt: skip
    yaw, posture = _vary(facing, turn, posture, shot.dials.spread)
    pads = list(rng.uniform([-0.03, -0.03, -0.02, -0.02], [0.19, 0.19, 0.13, 0.13]))
    cuts, chance = [0.0, 0.0, 0.0, 0.0], rng.random()
    depths = rng.random(4)
    if chance < 0.12:
        cuts[1] = 0.05 + 0.15 * depths[1]
    elif chance < 0.16:
        cuts[0] = 0.03 + 0.07 * depths[0]
    elif chance < 0.22:
        side = 2 if depths[3] < 0.5 else 3
        cuts[side] = 0.08 + 0.16 * depths[2]
    return [
        x, z, yaw, *posture, *pads, *cuts,
        rng.uniform(0.88, 1.12), float(np.exp(rng.normal(0, 0.06))), rng.uniform(0.7, 1.4),
        rng.uniform(0, 0.4), rng.uniform(0, 6.28), rng.uniform(0, 6.28),
    ]  # fmt: skip


def _vary(facing: float, turn: float, posture: list[float], spread: float) -> tuple[float, list[float]]:
    """Scale the variation of direction (degrees) and posture; return radians and the posture.

    At ``spread`` 1 both are as drawn; at 0 everybody walks towards the camera in one posture. Gait phase and
    usual directions have no more variation than at 1.
    """
    if spread == 1.0:
        return float(np.radians(facing + turn)), posture
    some = min(spread, 1.0)
    usual = (np.pi, 0.95, 0.0, -0.03, 0.0)
    shares = (some, spread, spread, spread, spread)
    varied = [m + share * (v - m) for m, v, share in zip(usual, posture, shares, strict=True)]
    return float(np.radians(some * facing + spread * turn)), varied


def build_posture(draws: dict[str, Array]) -> Posture:
    """Return the postures in ``draws``."""
    return Posture(*(draws[name] for name in ("phase", "energy", "head_yaw", "head_pitch", "bend")))


def transform_to_camera(solids: Primitives, shots: list[Shot], draws: dict[str, Array]) -> Primitives:
    """Transform people from their own coordinates to camera coordinates, at their place in the scene."""
    c, s = np.cos(draws["yaw"]), np.sin(draws["yaw"])
    zero, one = np.zeros_like(c), np.ones_like(c)
    # Columns: the person's left, up and forward directions in the world; yaw 0 is towards the camera.
    world = np.stack([c, zero, -s, zero, one, zero, -s, zero, -c], axis=1).reshape(-1, 3, 3)
    world[:, 0], world[:, 1], world[:, 2] = (
        np.stack([c, zero, -s], axis=1),
        np.stack([zero, one, zero], axis=1),
        np.stack([-s, zero, -c], axis=1),
    )
    rotation = np.stack([shot.camera.rotation() for shot in shots])
    place = np.stack([draws["x"], zero, draws["z"]], axis=1)
    place = place - np.stack([shot.camera.position() for shot in shots])
    return solids.transform(rotation @ world, np.einsum("bij,bj->bi", rotation, place))


def crop(solids: Primitives, shots: list[Shot], draws: dict[str, Array], size: Size, samples: int) -> Grid:
    """Return the detector's boxes as grids of samples.

    A box is the person's outline with uneven margins, sometimes cut on one side; its height in pixels
    follows the distance, from 0.55 to 1.25 times the nominal height. The grids extend ``MARGIN`` pixels
    beyond the boxes on the right and below.

    Args:
        solids: Solids in camera coordinates.
        shots, draws: Images and their variation.
        size: Nominal (height, width) in pixels.
        samples: Samples per pixel along each direction.
    """
    boxes = bounding_boxes(solids)
    left, top = np.nanmin(boxes[..., 0], axis=1), np.nanmin(boxes[..., 1], axis=1)
    right, bottom = np.nanmax(boxes[..., 2], axis=1), np.nanmax(boxes[..., 3], axis=1)
    tall = bottom - top
    wide = np.maximum(right - left, 0.30 * tall)
    middle = (left + right) / 2
    left = middle - wide / 2 - draws["pad_left"] * tall + draws["cut_left"] * wide
    right = middle + wide / 2 + draws["pad_right"] * tall - draws["cut_right"] * wide
    top = top - draws["pad_top"] * tall + draws["cut_top"] * tall
    bottom = bottom + draws["pad_bottom"] * tall - draws["cut_bottom"] * tall
    ratio = np.array([shot.camera.middle * 1.0 for shot in shots]) / draws["z"]
    scale = np.array([shot.camera.scale for shot in shots]) * ratio**0.6 * draws["size"]
    share = (bottom - top) / tall
    rows = np.round(size[0] * np.clip(scale, 0.55, 1.25) * np.clip(share, 0.6, 1.1)).astype(np.int64)
    step = (bottom - top) / rows
    columns = np.maximum(np.round((right - left) / step).astype(np.int64), 8)
    return Grid(
        left,
        top,
        step / samples,
        (rows + MARGIN) * samples,
        (columns + MARGIN) * samples,
        int(rows.max() + MARGIN) * samples,
        int(columns.max() + MARGIN) * samples,
    )
