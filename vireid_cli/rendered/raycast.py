"""Batched ray–quadric intersection in torch: the first solid along each ray.

Rays start at the camera. With direction d = (u, v, 1), a ray meets a quadric  pᵀ A p + 2 bᵀ p + c = 0  at
t = c / (√Δ − b·d) with Δ = (b·d)² − c dᵀ A d, a polynomial of degree two along an image row. Its three
coefficients per row are computed in float64, the samples in float32. Only the rows and columns inside a
solid's exact bounding box are computed; the loop runs over solids, not over images or rows.

The nearest hit of a sample is one 32-bit integer: the bits of its depth, positive floats being ordered like
integers, with the solid's number in the last seven of them. Depths are thus exact to 2⁻¹⁶ of themselves, a
tenth of a millimetre, and one minimum updates depth and number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vireid_cli.rendered.primitives import Primitives

Array = np.ndarray


NUMBER_BITS = 7
"""Bits of a solid's number; an image has fewer than 2⁷ solids."""

LAST = (1 << NUMBER_BITS) - 1
"""Mask of the number."""

MISSED = torch.iinfo(torch.int32).max
"""A sample without a hit."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Samples of B images on the plane z = 1 of their cameras.

    Sample (x, y) looks along (left + (x + ½)·step, top + (y + ½)·step, 1).

    Attributes:
        left, top, step: (B,) float64, tangents.
        rows, columns: (B,) int64, number of samples inside the image; the canvas may be larger.
        height, width: Size of the canvas in samples.
    """

    left: Array
    top: Array
    step: Array
    rows: Array
    columns: Array
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Hits:
    """The first hit of each sample.

    Attributes:
        nearest: (B, height, width) int32: depth and number of the solid in one integer, ``MISSED`` without a
            hit.
    """

    nearest: Tensor

    @property
    def depth(self) -> Tensor:
        """(B, height, width) float32, t along (u, v, 1), the distance along the optical axis in metres;
        infinite without a hit."""
        return depth_of(self.nearest).masked_fill(self.nearest == MISSED, torch.inf)

    @property
    def index(self) -> Tensor:
        """(B, height, width) int16, number of the solid; −1 without a hit."""
        return number_of(self.nearest).to(torch.int16).masked_fill(self.nearest == MISSED, -1)


def depth_of(nearest: Tensor) -> Tensor:
    """Return the depth in packed hits, float32."""
    return (nearest & ~LAST).view(torch.float32)


def number_of(nearest: Tensor) -> Tensor:
    """Return the solid's number in packed hits, int32."""
    return nearest & LAST


def bounding_boxes(solids: Primitives) -> Array:
    """Compute tight boxes (B, P, 4) on the plane z = 1: left, top, right, bottom; NaN for absent solids.

    The outline of an ellipsoid {c + L x, |x| ≤ 1} is the dual conic L Lᵀ − c cᵀ; its tangents u = k solve
    a quadratic. A cone's box is the hull of the boxes of its two balls.
    """
    scaled = solids.frame[:, :, None] * solids.bound_radii[..., None]  # (B, P, 2, 3 axes, 3)
    spread = np.einsum("bpeij,bpeik->bpejk", scaled, scaled)
    c = solids.bound_centre
    dual = spread - c[..., :, None] * c[..., None, :]
    zz = dual[..., 2, 2]
    sides = []
    for axis in (0, 1):
        mixed = dual[..., axis, 2]
        root = np.sqrt(np.maximum(mixed**2 - dual[..., axis, axis] * zz, 0.0))
        both = np.stack([(mixed + root) / zz, (mixed - root) / zz])
        sides.append((both.min(axis=(0, -1)), both.max(axis=(0, -1))))
    boxes = np.stack([sides[0][0], sides[1][0], sides[0][1], sides[1][1]], axis=-1)
    return np.where(present(solids)[..., None], boxes, np.nan)


def present(solids: Primitives) -> Array:
    """Whether a solid exists in an image, (B, P) bool."""
    return solids.bound_radii[:, :, 0, 0] > 0


def cast(solids: Primitives, grid: Grid, device: torch.device) -> Hits:
    """Find the first solid along every sample's ray.

    Args:
        solids: Solids in camera coordinates.
        grid: Samples to cast.
        device: Device of the computation.
    """
    count = len(grid.left)
    nearest = torch.full((count * grid.height * grid.width,), MISSED, dtype=torch.int32, device=device)
    boxes = np.where(present(solids)[..., None], bounding_boxes(solids), 0.0)
    origin = np.stack([grid.left, grid.top], axis=1)[:, None]
    low = np.floor((boxes[..., :2] - origin) / grid.step[:, None, None] - 0.5).astype(np.int64)
    high = np.ceil((boxes[..., 2:] - origin) / grid.step[:, None, None] + 0.5).astype(np.int64)
    limit = np.stack([grid.columns, grid.rows], axis=1)[:, None]
    low, high = np.clip(low, 0, limit), np.clip(high, 0, limit)
    size = (high - low) * (present(solids) & (high > low).all(axis=2))[..., None]
    rows, ends = _row_coefficients(solids, grid, low, size)
    widths = size[..., 0].max(axis=0)
    floats = torch.from_numpy(rows[:10].astype(np.float32)).to(device)
    starts = torch.from_numpy(rows[10].astype(np.int64)).to(device)
    for k in np.flatnonzero(widths):
        part = slice(int(ends[k]), int(ends[k + 1]))
        _keep_nearest(nearest, int(k), floats[:, part], starts[part], int(widths[k]))
    # Rows are as long as the widest box: samples beyond an image's own columns are ignored.
    place = torch.arange(grid.width, device=device)
    beyond = (place >= torch.from_numpy(grid.columns).to(device)[:, None])[:, None]
    return Hits(nearest.view(count, grid.height, grid.width).masked_fill_(beyond, MISSED))


def _row_coefficients(solids: Primitives, grid: Grid, low: Array, size: Array) -> tuple[Array, Array]:
    """Compute the polynomials along the rows of all boxes, (11, R) float64, solid by solid.

    Columns: Δ's three, b·d's two, c, axial two, axial range (low, high, both with the origin's part added),
    and the flat position of the row's first sample.

    Args:
        solids: Solids in camera coordinates.
        grid: Samples.
        low: (B, P, 2) first column and row of the boxes.
        size: (B, P, 2) width and height of the boxes; zero for absent solids.

    Returns:
        The polynomials, and the first row of each solid, (P + 1,).
    """
    count, pieces = size.shape[:2]
    heights = size[..., 1].T.reshape(-1)  # (P·B,)
    pair = np.repeat(np.arange(pieces * count), heights)
    k, image = pair // count, pair % count
    first = np.cumsum(heights) - heights
    y = np.arange(len(pair)) - first[pair] + low[image, k, 1]
    x = np.minimum(low[..., 0], grid.width - size[..., 0].max(axis=0))[image, k]
    step = grid.step[image]
    u, v = grid.left[image] + (x + 0.5) * step, grid.top[image] + (y + 0.5) * step
    d = np.stack([u, v, np.ones_like(u)], axis=1)
    ai, bi, ci = (part[image, k] for part in solids.quadric())
    ad = np.einsum("rij,rj->ri", ai, d)
    bd = np.einsum("ri,ri->r", bi, d)
    bx = bi[:, 0] * step
    axis = solids.frame[image, k, 1]
    along = np.einsum("ri,ri->r", axis, d)
    offset = np.einsum("ri,ri->r", axis, solids.origin[image, k])
    rows = [
        bx**2 - ci * ai[:, 0, 0] * step**2,
        2 * (bd * bx - ci * ad[:, 0] * step),
        bd**2 - ci * np.einsum("ri,ri->r", d, ad),
        bx,
        bd,
        ci,
        axis[:, 0] * step,
        along,
        solids.low[image, k] + offset,
        solids.high[image, k] + offset,
        (image * grid.height + y) * grid.width + x,
    ]
    ends = np.concatenate([[0], np.cumsum(heights.reshape(pieces, count).sum(axis=1))])
    return np.stack(rows), ends


def _keep_nearest(nearest: Tensor, k: int, rows: Tensor, starts: Tensor, width: int) -> None:
    """Intersect the boxes' samples with one solid and store the hits that are nearer, in place.

    Args:
        nearest: Flat packed hits.
        k: Number of the solid.
        rows: (10, R) polynomials of ``_row_coefficients``.
        starts: (R,) flat position of each row's first sample.
        width: Samples of the longest row.
    """
    columns = torch.arange(width, device=nearest.device)
    j = columns.to(torch.float32)[None]  # (1, w)
    d2, d1, d0, b1, b0, c, s1, s0, low, high = rows[..., None].unbind(0)  # (R, 1)
    delta = (j * d2).add_(d1).mul_(j).add_(d0)  # (R, w)
    met = delta > 0
    t = delta.clamp_(min=0.0).sqrt_().sub_((j * b1).add_(b0))
    t = t.reciprocal_().mul_(c)
    axial = (j * s1).add_(s0).mul_(t)
    met &= axial >= low
    met &= axial <= high
    met &= t > 0
    packed = t.view(torch.int32).bitwise_and_(~LAST).bitwise_or_(k)
    at = (starts[:, None] + columns).view(-1)
    packed = packed.masked_fill_(met.logical_not_(), MISSED).view(-1)
    nearest.put_(at, torch.minimum(packed, nearest.take(at)))
