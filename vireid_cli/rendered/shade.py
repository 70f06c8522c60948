"""Colour of each hit: normals, texture coordinates, patterns, light.

Only samples that hit a solid are shaded, in blocks that fit a processor's cache. All properties of a solid
are in small tables, indexed by its number, so that one pass serves all images, people and spectra.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vireid_cli.rendered.cameras import Camera
from vireid_cli.rendered.marks import COLUMNS as MARK_COLUMNS
from vireid_cli.rendered.materials import COLUMNS, Slot
from vireid_cli.rendered.primitives import Primitives
from vireid_cli.rendered.raycast import MISSED, Grid, Hits, depth_of, number_of

Array = np.ndarray
BLOCK = 1 << 16
_SLOTS = len(Slot)
_SOLID_COLUMNS = 31


@dataclass(frozen=True, slots=True)
class Tables:
    """Look-up tables of the shader.

    Attributes:
        solids: (31, B·P) float32: see ``solid_table``.
        materials: (M, B·S) float32, rows as ``materials.COLUMNS``.
        images: (I, B) float32: left, top, step, two fold offsets, beard, glasses.
        marks: (K·11, B) float32 each: tables of ``marks.mark_tables``, keyed by slot.
        channels: 1 where all images are grey, else 3.
    """

    solids: Tensor
    materials: Tensor
    images: Tensor
    marks: dict[int, Tensor]
    channels: int = 3


def solid_table(solids: Primitives, cameras: list[Camera]) -> Array:
    """Return the solids' properties in the shader's order, (31, B·P).

    Rows: frame (9), frame·origin (3), D (3), e, ambient gradient in the frame (3), key light in the
    frame (3), ambient, key offset, illuminator, texture height, metres per radian, border, two
    slots, painted.
    Light vectors are scaled by the light's strength.
    """
    up = np.array([-camera.rotation()[:, 1] for camera in cameras]) * -1.0
    key = np.array([camera.rotation() @ np.asarray(camera.key_from) for camera in cameras])
    key = key / np.linalg.norm(key, axis=1, keepdims=True)
    sky, ground, strength, wrap, head, middle = (
        np.array([getattr(camera, name) for camera in cameras])
        for name in ("sky", "ground", "key", "wrap", "head", "middle")
    )
    frame, shape = solids.frame, solids.level.shape
    gradient = np.einsum("bpri,bi->bpr", frame, up * (0.5 * (sky - ground))[:, None])
    towards = np.einsum("bpri,bi->bpr", frame, key * (strength / (1 + wrap))[:, None])
    local = np.einsum("bpri,bpi->bpr", frame, solids.origin)

    def spread(values: Array) -> Array:
        """Repeat values of each image for all its solids."""
        return np.broadcast_to(values[:, None], shape)

    rows = [
        *np.moveaxis(frame.reshape(*shape, 9), -1, 0),
        *np.moveaxis(local, -1, 0),
        *np.moveaxis(solids.diagonal, -1, 0),
        solids.linear,
        *np.moveaxis(gradient, -1, 0),
        *np.moveaxis(towards, -1, 0),
        spread(0.5 * (sky + ground)),
        spread(strength * wrap / (1 + wrap)),
        spread(head * middle**2),
        *np.moveaxis(solids.texture, -1, 0),
        np.clip(solids.border, -1e6, 1e6),
        *np.moveaxis(solids.slots, -1, 0),
        solids.painted,
    ]
    return np.stack([np.asarray(row, dtype=np.float64).reshape(-1) for row in rows])


@dataclass(frozen=True, slots=True)
class PeopleLayer:
    """The people's share of each pixel.

    Attributes:
        radiance: (C, B, h, w) float32, linear, times the covered share of the pixel; one channel where no
            camera of the batch is visible, else three.
        depth: (B, h, w) float32, mean depth in metres times the covered share.
        share: (B, h, w) float32, covered share of the pixel, in quarters.
    """

    radiance: Tensor
    depth: Tensor
    share: Tensor


def shade(hits: Hits, grid: Grid, tables: Tables) -> PeopleLayer:
    """Compute the linear radiance of each pixel's hits towards the camera.

    A pixel with all 2 × 2 samples on one solid is shaded once, at its middle; at edges each sample is shaded.

    Args:
        hits: Result of ``raycast.cast``.
        grid: Samples of these hits.
        tables: Look-up tables on the hits' device.
    """
    quads = split_samples(hits.nearest)  # 4 × (B, h, w)
    missed = [quad == MISSED for quad in quads]
    shape = missed[0].shape
    share = sum(((~m).float() for m in missed), torch.zeros(shape, device=quads[0].device)).mul_(0.25)
    mean = torch.stack(
        [depth_of(quad).masked_fill_(m, 0.0) for quad, m in zip(quads, missed, strict=True)]
    ).mean(dim=0)
    differ = (quads[0] ^ quads[1]) | (quads[0] ^ quads[2]) | (quads[0] ^ quads[3])
    whole = (share == 1.0) & (number_of(differ) == 0)
    inner = whole.view(-1).nonzero()[:, 0]
    edge = ((share > 0) & ~whole).view(-1).nonzero()[:, 0]
    radiance = torch.zeros((tables.channels, share.numel()), device=share.device)
    first, flat = quads[0].view(-1), mean.view(-1)
    for at in inner.split(BLOCK):
        radiance[:, at] = _shade_at(at, number_of(first[at]), flat[at], (0.5, 0.5), shape, grid, tables)
    for k, place in enumerate(((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))):
        hit = edge[~missed[k].view(-1)[edge]]
        quad = quads[k].view(-1)
        for at in hit.split(BLOCK):
            solid = quad[at]
            colour = _shade_at(at, number_of(solid), depth_of(solid), place, shape, grid, tables)
            radiance[:, at] += 0.25 * colour
    return PeopleLayer(radiance.view(tables.channels, *shape), mean, share)


def split_samples(values: Tensor) -> list[Tensor]:
    """Split (B, 2h, 2w) into the samples of each pixel, left to right and top to bottom: 4 × (B, h, w)."""
    return [values[:, y::2, x::2].contiguous() for y in (0, 1) for x in (0, 1)]


def _shade_at(
    at: Tensor,
    index: Tensor,
    depth: Tensor,
    place: tuple[float, float],
    shape: torch.Size,
    grid: Grid,
    tables: Tables,
) -> Tensor:
    """Compute the radiance (C, n) at ``place``, in samples, inside the pixels with flat numbers ``at``."""
    pieces = tables.solids.shape[1] // tables.images.shape[1]
    area = shape[1] * shape[2]
    image = torch.div(at, area, rounding_mode="floor")
    inside = at - image * area
    y = torch.div(inside, shape[2], rounding_mode="floor")
    x = inside - y * shape[2]
    left, top, step, *extra = tables.images.index_select(1, image).unbind(0)
    u = (x.float().mul_(2.0).add_(place[0] + 0.5)).mul_(step).add_(left)
    v = (y.float().mul_(2.0).add_(place[1] + 0.5)).mul_(step).add_(top)
    owner = image * pieces + index.long()
    return _shade_block(depth, u, v, image, tables.solids.index_select(1, owner), tables, extra)


def _shade_block(
    t: Tensor, u: Tensor, v: Tensor, image: Tensor, solid: Tensor, tables: Tables, extra: list[Tensor]
) -> Tensor:
    """Compute the radiance (C, n) of n hits at depth ``t`` along (u, v, 1)."""
    f = solid.unbind(0)
    # The ray and the hit in the solid's frame.
    ray = [f[3 * r] * u + f[3 * r + 1] * v + f[3 * r + 2] for r in range(3)]
    q = [ray[r] * t - f[9 + r] for r in range(3)]
    normal = surface_normal(q, [f[12], f[13], f[14]], f[15])
    angle = torch.atan2(q[0], q[2])
    across, height = angle * f[26], q[1] + f[25]
    slot = torch.where(height > f[27], f[29], f[28])
    material = tables.materials.index_select(1, image * _SLOTS + slot.long()).unbind(0)
    m = dict(zip(COLUMNS, material, strict=True))
    normal = _fold(normal, across, height, m["folds"], extra)
    light = _light(normal, ray, t, f, u, v)
    torso = f[30] > 0
    share = _pattern(across, height, (q[2] > 0) & torso, m)
    hollow = torch.cos(across * (m["relief_u"] * 6.2832)) * torch.cos(height * (m["relief_v"] * 6.2832))
    light = light * (1.0 - m["relief"] * (0.5 + 0.5 * hollow) ** 2)
    light = light * _features(slot, q, height, extra[2], extra[3])
    names = ("red", "green", "blue")[: tables.channels]
    colours = [torch.lerp(m[f"{c}1"], m[f"{c}2"], share) for c in names]
    _mark(colours, slot, torch.where(torso, q[0], across), height, q[2], tables.marks, image)
    return torch.stack([light * colour for colour in colours])


def _mark(
    colours: list[Tensor], slot: Tensor, x: Tensor, height: Tensor, front: Tensor,
    marks: dict[int, Tensor], image: Tensor,
) -> None:  # fmt: skip
    """Draw straps, openings, badges and bands over the colours (n,), in place.

    Args:
        colours: One or three colours.
        slot: Material slots.
        x: Lateral coordinate on the torso, distance around the limb elsewhere, metres.
        height: Texture height, metres.
        front: Depth coordinate; positive in front.
        marks: Tables of ``marks.mark_tables``, keyed by slot.
        image: Number of the hit's image.
    """
    for number, table in marks.items():
        at = (slot == number).nonzero()[:, 0]
        if len(at):
            part = [values[at] for values in colours]
            draw_marks(part, x[at], height[at], front[at], table.index_select(1, image[at]))
            for colour, values in zip(colours, part, strict=True):
                colour[at] = values


def draw_marks(colours: list[Tensor], x: Tensor, height: Tensor, front: Tensor, rows: Tensor) -> None:
    """Draw one garment's marks over the colours (n,), in place; ``rows`` is (K·11, n)."""
    size = len(MARK_COLUMNS)
    for first in range(0, rows.shape[0], size):
        factor, slope, offset, half, low, high, folded, side, *dye = rows[first : first + size].unbind(0)
        lateral = torch.where(folded > 0, x.abs(), x)
        off = (factor * lateral + slope * height + offset).abs()
        # Edges are 6 mm soft, which stands for the average over a pixel.
        within = torch.minimum(half - off, torch.minimum(height - low, high - height))
        cover = within.mul_(1 / 0.006).add_(0.5).clamp_(0.0, 1.0)
        cover = cover * (front * side >= 0)
        for colour, value in zip(colours, dye, strict=False):
            colour.lerp_(value, cover)


def surface_normal(q: list[Tensor], diagonal: list[Tensor], linear: Tensor) -> list[Tensor]:
    """Compute outward unit normals in a solid's frame: the gradient of  qᵀ D q + 2 e q_axial − h.

    Args:
        q: Three (n,) coordinates on the surface: lateral, axial, depth.
        diagonal: Three (n,), D.
        linear: (n,), e.
    """
    return _unit([diagonal[0] * q[0], diagonal[1] * q[1] + linear, diagonal[2] * q[2]])


def _unit(vector: list[Tensor]) -> list[Tensor]:
    scale = (vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2).rsqrt_()
    return [v * scale for v in vector]


def _fold(
    normal: list[Tensor], across: Tensor, height: Tensor, depth: Tensor, extra: list[Tensor]
) -> list[Tensor]:
    """Tilt the normals by folds: two families of bent waves, shifted by this image's offsets."""
    first, second = extra[0], extra[1]
    lengthwise = torch.sin(height * 34.0 + first + 2.2 * torch.sin(across * 11.0 + second))
    crosswise = torch.sin(across * 23.0 + second + 1.8 * torch.sin(height * 13.0 + first))
    return _unit([normal[0] + depth * crosswise, normal[1] + depth * lengthwise, normal[2]])


def _light(
    normal: list[Tensor], ray: list[Tensor], t: Tensor, f: tuple[Tensor, ...], u: Tensor, v: Tensor
) -> Tensor:
    """Compute the irradiance: ambient light from above and below, main light, illuminator at the lens."""
    ambient = f[22] + normal[0] * f[16] + normal[1] * f[17] + normal[2] * f[18]
    key = (f[23] + normal[0] * f[19] + normal[1] * f[20] + normal[2] * f[21]).clamp_(min=0.0)
    length2 = u * u + v * v + 1.0
    facing = -(normal[0] * ray[0] + normal[1] * ray[1] + normal[2] * ray[2]) * length2.rsqrt()
    return ambient + key + f[24] * facing.clamp_(min=0.0) / (t * t * length2)


def _pattern(across: Tensor, height: Tensor, front: Tensor, m: dict[str, Tensor]) -> Tensor:
    """Compute the share of the second dye at each point, in [0, 1]."""

    def wave(x: Tensor) -> Tensor:
        """A soft rectangular wave with period 1, in [0, 1]."""
        return ((x - x.floor() - 0.5).abs() * 2 - m["duty"]).mul_(m["sharpness"]).add_(0.5).clamp_(0.0, 1.0)

    along = wave(across * m["frequency_u"] + m["phase_u"])
    over = wave(height * m["frequency_v"] + m["phase_v"])
    k, bent = m["motif"] * 6.2832, m["bent"]
    motif = torch.cos(across * k + 6.3 * m["phase_u"] + bent * 1.9 * torch.sin(height * (k * 0.8)))
    motif = motif + torch.cos(height * k + 6.3 * m["phase_v"] + bent * 1.9 * torch.sin(across * (k * 0.6)))
    # A print covers 24 by 18 centimetres on the front of the chest.
    framed = ((across.abs() < 0.12) & ((height - 0.34).abs() < 0.09) & front) | (m["window"] == 0)
    motif = (motif * 3.5 + 0.4 * bent - 1.2 * (1 - bent)).clamp_(0.0, 1.0) * framed
    return (m["weight_u"] * along + m["weight_v"] * over + m["weight_motif"] * motif).clamp_(0.0, 1.0)


def _features(slot: Tensor, q: list[Tensor], height: Tensor, beard: Tensor, glasses: Tensor) -> Tensor:
    """Compute the factor on a face's light: below 1 at eyes, brows, mouth, beard and glasses, 1 elsewhere."""
    face = (slot == float(Slot.FACE)) & (q[2] > 0)
    side = q[0].abs()
    eyes = ((side - 0.031).abs() < 0.013) & ((height - 0.020).abs() < 0.008)
    brows = ((side - 0.033).abs() < 0.018) & ((height - 0.040).abs() < 0.005)
    lenses = (glasses > 0) & (side > 0.008) & ((height - 0.020).abs() < 0.017)
    mouth = (side < 0.024) & ((height + 0.052).abs() < 0.005)
    dark = torch.where(eyes | brows, 0.30, torch.where(mouth, 0.6, 1.0))
    dark = torch.where(lenses, 0.5, dark)
    dark = torch.where((height < -0.035) & (beard > 0), dark * beard, dark)
    return torch.where(face, dark, torch.ones_like(dark))
