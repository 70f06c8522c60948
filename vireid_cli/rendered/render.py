"""Render images of people: cast rays, shade, composite with the background, simulate the camera.

This module knows no files and no datasets: ``render`` takes shots and returns uint8 images, batched, in any
of the three spectra. ``tree`` writes them in a dataset's layout.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vireid_cli.rendered.attire import paint_lines
from vireid_cli.rendered.bodies import sculpt
from vireid_cli.rendered.cameras import Camera
from vireid_cli.rendered.materials import material_row
from vireid_cli.rendered.raycast import Grid, Hits, cast
from vireid_cli.rendered.scenes import ASPECT, render_plate
from vireid_cli.rendered.shade import Tables, shade, solid_table
from vireid_cli.rendered.shots import MARGIN, Shot, build_posture, crop, draw_shots, transform_to_camera
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
        self._plates: dict[tuple[Camera, int], Tensor] = {}
        self._plate_height = int(np.clip(4 * round(0.9 * size[0]), 96, 768))

    def prepare(self, camera: Camera, seed: int) -> Tensor:
        """Return a camera's plate, (4, height, width), rendered on the first call. Thread-safe."""
        key = (camera, seed)
        if key not in self._plates:
            self._plates[key] = torch.from_numpy(render_plate(camera, seed, self._plate_height)).to(
                self.device
            )
        return self._plates[key]

    @torch.no_grad()
    def render(self, shots: list[Shot]) -> list[Array]:
        """Render the shots in one batch and return (h, w, 3) uint8 RGB images of different sizes."""
        draws = draw_shots(shots)
        solids = transform_to_camera(
            sculpt([shot.person for shot in shots], build_posture(draws)), shots, draws
        )
        grid = crop(solids, shots, draws, self.size, SAMPLES)
        hits = cast(solids, grid, self.device)
        table = self._tensor(solid_table(solids, [shot.camera for shot in shots]))
        people, covered = shade(hits, grid, self._tables(shots, draws, grid, table))
        image = self._composite(shots, draws, grid, hits, people, covered)  # (B, h, w, 3) linear
        return self._develop(shots, draws, grid, image)

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self.device)

    def _column(self, values: list[float] | Array) -> Tensor:
        """Convert one number per image to (B, 1, 1)."""
        return self._tensor(np.asarray(values))[:, None, None]

    def _tables(self, shots: list[Shot], draws: dict[str, Array], grid: Grid, solids: Tensor) -> Tables:
        """Return the shader's look-up tables."""
        materials = [material_row(m, s.camera.spectrum) for s in shots for m in s.person.materials]
        # One man in four has a beard; it is a trait, so it depends on the person only.
        beard = [
            0.45 if s.person.hair in ("short", "shaven") and s.person.pid % 4 == 0 else 0.0 for s in shots
        ]
        images = np.stack(
            [grid.left, grid.top, grid.step, draws["fold_first"], draws["fold_second"], np.asarray(beard)]
        )
        paint = paint_lines([shot.person for shot in shots]).reshape(len(shots), 16).T
        return Tables(solids, self._tensor(np.array(materials).T), self._tensor(images), self._tensor(paint))

    def _composite(
        self,
        shots: list[Shot],
        draws: dict[str, Array],
        grid: Grid,
        hits: Hits,
        people: Tensor,
        covered: Tensor,
    ) -> Tensor:
        """Average the samples of each pixel and composite them with the background, (B, h, w, 3) linear."""
        share = _pool(covered[..., None].float())  # (B, h, w, 1)
        depth = torch.where(covered, hits.depth, torch.zeros_like(hits.depth))
        mean_depth = _pool(depth[..., None])[..., 0]
        shading = _occlusion(mean_depth, share[..., 0], reach=max(2, round(self.size[0] / 36)))
        return self._background(shots, draws, grid) * (1 - share) + _pool(people) * shading[..., None]

    def _background(self, shots: list[Shot], draws: dict[str, Array], grid: Grid) -> Tensor:
        """Sample the plates behind the crops, with shadows on the ground, (B, h, w, 3) linear."""
        height, width = grid.height // SAMPLES, grid.width // SAMPLES
        step = self._column(grid.step * SAMPLES)
        u = self._column(grid.left) + (torch.arange(width, device=self.device) + 0.5) * step  # (B, 1, w)
        v = self._column(grid.top) + (torch.arange(height, device=self.device)[:, None] + 0.5) * step
        u, v = u.expand(-1, height, -1), v.expand(-1, -1, width)
        half = self._column([shot.camera.half_width for shot in shots])
        points = torch.stack([u / half, v / (half * ASPECT)], dim=-1)  # (B, h, w, 2)
        result = torch.empty((len(shots), 4, height, width), device=self.device)
        first = 0
        while first < len(shots):
            last = first
            while last < len(shots) and shots[last].camera is shots[first].camera:
                last += 1
            plate = self.prepare(shots[first].camera, shots[first].seed)[None].expand(
                last - first, -1, -1, -1
            )
            result[first:last] = F.grid_sample(
                plate, points[first:last], padding_mode="border", align_corners=False
            )
            first = last
        dark = self._shadow(shots, draws, u, v) * result[:, 3]
        return (result[:, :3] * (1 - dark)[:, None]).permute(0, 2, 3, 1)

    def _shadow(self, shots: list[Shot], draws: dict[str, Array], u: Tensor, v: Tensor) -> Tensor:
        """Compute the darkness in [0, 1] of people's shadows: around the feet, and away from the light."""
        pitch = self._column([shot.camera.pitch for shot in shots])
        high = self._column([shot.camera.height for shot in shots])
        down = v * pitch.cos() + pitch.sin()
        reach = high / down.clamp(min=1e-3)
        x = u * reach - self._column(draws["x"])
        z = (pitch.cos() - v * pitch.sin()) * reach - self._column(draws["z"])
        contact = 0.6 * torch.exp(-(x * x + z * z) / 0.06)
        rays = [_shadow_vector(shot, draws, i) for i, shot in enumerate(shots)]
        dx, dz = self._column([ray[0] for ray in rays]), self._column([ray[1] for ray in rays])
        along = ((x * dx + z * dz) / (dx * dx + dz * dz)).clamp_(0.0, 1.0)
        off2 = (x - along * dx) ** 2 + (z - along * dz) ** 2
        width = 0.018 + 0.035 * along
        strength = self._column([shot.camera.shadow for shot in shots])
        streak = strength * (1 - 0.35 * along) * torch.exp(-off2 / width)
        return 1 - (1 - contact) * (1 - streak)

    def _develop(self, shots: list[Shot], draws: dict[str, Array], grid: Grid, image: Tensor) -> list[Array]:
        """Apply cast, exposure, blur, tone curve, noise and quantisation of the camera; crop to size."""
        cameras = [shot.camera for shot in shots]
        gains = self._tensor(np.array([c.gains for c in cameras]))[:, None, None, :]
        exposure = self._column([c.exposure for c in cameras] * draws["exposure"])[..., None]
        image = image * gains * exposure
        sharp = np.array([c.blur for c in cameras]) * draws["blur"] * (self.size[0] / 144) ** 0.7
        sideways = np.hypot(sharp, draws["motion"] * self.size[0] / 144)
        image = _blur(_blur(image, self._column(sideways)[..., None], 2), self._column(sharp)[..., None], 1)
        black = self._column([c.black for c in cameras])[..., None]
        # A shoulder keeps highlights distinct: 1 − exp(−1.35 x).
        image = black + (1 - black) * (1 - torch.exp(-1.35 * image))
        image = image.clamp_(1e-4, 1.0) ** self._column([c.contrast for c in cameras])[..., None]
        developed = image.cpu().numpy()
        rows, columns = grid.rows // SAMPLES - MARGIN, grid.columns // SAMPLES - MARGIN
        return [_expose(developed[i, : rows[i], : columns[i]], shot) for i, shot in enumerate(shots)]


def _pool(samples: Tensor) -> Tensor:
    """Average the 2 × 2 samples of each pixel: (B, 2h, 2w, C) → (B, h, w, C)."""
    top = samples[:, 0::2, 0::2] + samples[:, 0::2, 1::2]
    return (top + (samples[:, 1::2, 0::2] + samples[:, 1::2, 1::2])) * 0.25


def _occlusion(depth: Tensor, share: Tensor, reach: int) -> Tensor:
    """Compute a factor in [0.55, 1] that darkens points behind their surroundings.

    The depth buffer is compared with its local mean over the person (Luft et al. 2006, unsharp masking
    the depth buffer): less light reaches points between the legs, under arms and beside bags.

    Args:
        depth: Pooled depth times the covered share, (B, h, w).
        share: Covered share, (B, h, w).
        reach: A third of the window in pixels.
    """
    height, width = depth.shape[1:]
    # Means over windows that overlap by half, at every ``reach``-th pixel, then interpolation. The rim of
    # empty windows keeps the result independent of the size of the canvas.
    rim = (reach, 2 * reach - width % reach, reach, 2 * reach - height % reach)
    coarse = F.avg_pool2d(F.pad(torch.stack([depth, share], dim=1), rim), reach)
    coarse = F.avg_pool2d(F.pad(coarse, (1, 1, 1, 1)), 3, stride=1)
    fine = F.interpolate(coarse, scale_factor=float(reach), mode="bilinear", align_corners=False)
    pooled = fine[..., reach : reach + height, reach : reach + width]
    around = pooled[:, 0] / pooled[:, 1].clamp(min=1e-4)
    behind = depth / share.clamp(min=1e-4) - around
    return (1.0 - 4.0 * behind.clamp(min=0.0)).clamp_(0.55, 1.0)


def _shadow_vector(shot: Shot, draws: dict[str, Array], i: int) -> tuple[float, float]:
    """Return the vector from a person's feet to the shadow of the head, metres on the ground (X, Z)."""
    camera = shot.camera
    if camera.head > 0:
        # The illuminator is 0.4 m beside the lens.
        gone = shot.person.stature / max(camera.height - shot.person.stature, 0.5)
        return (float((draws["x"][i] - 0.4) * gone), float(draws["z"][i] * gone))
    x, y, z = camera.key_from
    return (-x / y * shot.person.stature, -z / y * shot.person.stature)


def _blur(image: Tensor, sigma: Tensor, dim: int) -> Tensor:
    """Blur along one axis of (B, h, w, C) with five taps of a Gaussian, borders repeated."""
    w1 = torch.exp(-0.5 / (sigma * sigma).clamp(min=1e-3))
    w2 = w1**4
    size = image.shape[dim]
    first, last = image.narrow(dim, 0, 1), image.narrow(dim, size - 1, 1)
    padded = torch.cat([first, first, image, last, last], dim=dim)

    def moved(offset: int) -> Tensor:
        return padded.narrow(dim, 2 + offset, size)

    total = (1 + 2 * w1 + 2 * w2).reciprocal()
    near, far = moved(-1) + moved(1), moved(-2) + moved(2)
    return (image * total).add_(near.mul_(w1 * total)).add_(far.mul_(w2 * total))


def _expose(image: Array, shot: Shot) -> Array:
    """Add sensor noise to (h, w, 3) in [0, 1] and round to uint8; infrared sensors have one channel."""
    rng, (high, low) = shot.noise(), shot.camera.noise
    grey = shot.camera.spectrum != "visible"
    noise = rng.standard_normal((*image.shape[:2], 1 if grey else 3), dtype=np.float32)
    signal = image[..., :1] if grey else image
    noisy = signal + noise * (low + (high - low) * signal)
    values = np.clip(np.rint(noisy * 255.0), 0, 255).astype(np.uint8)
    return np.repeat(values, 3, axis=2) if grey else values
