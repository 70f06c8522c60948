"""Render images of people: cast rays and shade in batches, then develop each image.

This module knows no files and no datasets: ``render`` takes shots and returns uint8 images, batched, in any
of the three spectra. ``tree`` writes them in a dataset's layout.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vireid_cli.rendered.bodies import sculpt
from vireid_cli.rendered.cameras import Camera
from vireid_cli.rendered.develop import PersonLayer, View, develop
from vireid_cli.rendered.marks import mark_tables
from vireid_cli.rendered.materials import Material, material_row
from vireid_cli.rendered.occluders import draw_occluder, place_occluders
from vireid_cli.rendered.raycast import Grid, cast
from vireid_cli.rendered.scenes import render_plate
from vireid_cli.rendered.shade import Tables, shade, solid_table
from vireid_cli.rendered.shots import Shot, build_posture, crop, draw_shots, transform_to_camera
from vireid_cli.types import Size

Array = np.ndarray
SAMPLES = 2
"""Samples per pixel along each direction."""


class Renderer:
    """Renderer of shots; caches the background plate of each camera.

    Args:
        size: Nominal (height, width) of a crop in pixels; sizes vary around it.
        device: Device of the computation, e.g. ``cpu`` or ``cuda``.
    """

    def __init__(self, size: Size, device: str | torch.device = "cpu") -> None:
        self.size = size
        self.device = torch.device(device)
        self._plates: dict[tuple[Camera, int], Array] = {}
        self._plate_height = int(np.clip(4 * round(0.9 * size[0]), 96, 768))

    def prepare(self, camera: Camera, seed: int) -> Array:
        """Return a camera's plate, (height, width, 4), rendered on the first call. Thread-safe."""
        key = (camera, seed)
        if key not in self._plates:
            plate = render_plate(camera, seed, self._plate_height).transpose(1, 2, 0)
            self._plates[key] = np.ascontiguousarray(plate)
        return self._plates[key]

    @torch.no_grad()
    def render(self, shots: list[Shot]) -> list[Array]:
        """Render the shots in one batch and return (h, w, 3) uint8 RGB images of different sizes."""
        draws = draw_shots(shots)
        people = [shot.person for shot in shots]
        solids = transform_to_camera(sculpt(people, build_posture(draws)), shots, draws)
        grid = crop(solids, shots, draws, self.size, SAMPLES)
        objects = [shot.person.materials[0] for shot in shots]
        if any(shot.dials.occlusion > 0 for shot in shots):
            occluders = [draw_occluder(shot) for shot in shots]
            objects = [occluder.material for occluder in occluders]
            solids = solids.join(place_occluders(shots, occluders, draws))
        hits = cast(solids, grid, self.device)
        table = self._tensor(solid_table(solids, [shot.camera for shot in shots]))
        pixels = shade(hits, grid, self._tables(shots, draws, grid, table, objects))
        radiance = pixels.radiance.permute(1, 2, 3, 0).cpu().numpy()  # (B, h, w, C)
        depth, share = pixels.depth.cpu().numpy(), pixels.share.cpu().numpy()
        images = []
        for i, shot in enumerate(shots):
            view = _view(grid, i)
            at = i, slice(view.height), slice(view.width)
            layer = PersonLayer(radiance[at], depth[at], share[at])
            values = {name: float(column[i]) for name, column in draws.items()}
            plate = self.prepare(shot.camera, shot.seed)
            images.append(develop(shot, values, view, layer, plate, self.size[0]))
        return images

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self.device)

    def _tables(
        self,
        shots: list[Shot],
        draws: dict[str, Array],
        grid: Grid,
        solids: Tensor,
        objects: list[Material],
    ) -> Tables:
        """Return the shader's look-up tables; ``objects`` are the materials of the occluders."""
        materials = [
            material_row(material, shot.camera.spectrum)
            for shot, thing in zip(shots, objects, strict=True)
            for material in (*shot.person.materials, thing)
        ]
        beard = np.array([0.45 if s.person.beard else 0.0 for s in shots])
        glasses = np.array([float(s.person.glasses) for s in shots])
        images = np.stack(
            [grid.left, grid.top, grid.step, draws["fold_first"], draws["fold_second"], beard, glasses]
        )
        marks = mark_tables([s.person.marks for s in shots], [s.camera.spectrum for s in shots])
        grey = all(s.camera.spectrum != "visible" for s in shots)
        return Tables(
            solids,
            self._tensor(np.array(materials).T),
            self._tensor(images),
            {int(slot): self._tensor(table) for slot, table in marks.items()},
            1 if grey else 3,
        )


def _view(grid: Grid, i: int) -> View:
    """Return the directions of image ``i``'s pixels."""
    return View(
        float(grid.left[i]),
        float(grid.top[i]),
        float(grid.step[i]) * SAMPLES,
        int(grid.rows[i]) // SAMPLES,
        int(grid.columns[i]) // SAMPLES,
    )
