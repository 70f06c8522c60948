"""Parametric surfaces of the built-in occluders, in metres. Axes: x forward, y left, z up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Colour = tuple[float, float, float] | Callable[[Array, Array, Array], Array]
"""A colour in [0, 1], or a function of (u, v, points) that returns (m, n, 3) colours."""
Point = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Patch:
    """A surface over (u, v) in [0, 1]².

    Attributes:
        points: Function of (m, n) grids u and v that returns (m, n, 3) points.
        colour: Colour of the surface.
        gloss: Strength of the highlight, from 0.
    """

    points: Callable[[Array, Array], Array]
    colour: Colour
    gloss: float = 0.1


def tube(
    path: Sequence[Point], radii: Sequence[float], colour: Colour, gloss: float = 0.1, flat: float = 1.0
) -> Patch:
    """A tube along a polyline with a radius at each point; ``flat`` scales its cross-section along x."""
    line, width = np.asarray(path, dtype=np.float64), np.asarray(radii, dtype=np.float64)
    knots = np.linspace(0.0, 1.0, len(line))
    axis = line[-1] - line[0]
    side = np.cross(axis, (1.0, 0.0, 0.0) if abs(axis[0]) < 0.7 * np.linalg.norm(axis) else (0.0, 1.0, 0.0))
    side /= np.linalg.norm(side)
    other = np.cross(axis, side) / np.linalg.norm(axis)

    def points(u: Array, v: Array) -> Array:
        """Rings around the line."""
        centre = np.stack([np.interp(u, knots, line[:, k]) for k in range(3)], axis=-1)
        r = np.interp(u, knots, width)[..., None]
        angle = (2 * np.pi * v)[..., None]
        ring = r * (np.cos(angle) * side + np.sin(angle) * other)
        ring[..., 0] *= flat
        return np.asarray(centre + ring)

    return Patch(points, colour, gloss)


def ellipsoid(
    centre: Point, radii: Point, colour: Colour, gloss: float = 0.1, top: float = 0.0, low: float = 1.0
) -> Patch:
    """An ellipsoid, or its part between the polar angles ``top`` and ``low``, in units of π from the top."""
    c, r = np.asarray(centre), np.asarray(radii)

    def points(u: Array, v: Array) -> Array:
        """Points by polar angle and azimuth."""
        theta, phi = np.pi * (top + (low - top) * u), 2 * np.pi * v
        unit = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)
        return np.asarray(c + r * unit)

    return Patch(points, colour, gloss)


def torus(
    centre: Point, radius: float, thick: float, colour: Colour, gloss: float = 0.1, turn: float = 0.0
) -> Patch:
    """An upright ring in the x-z plane, turned about z by ``turn`` radians."""
    c = np.asarray(centre)

    def points(u: Array, v: Array) -> Array:
        """Points by the angles around the ring and around its tube."""
        a, b = 2 * np.pi * u, 2 * np.pi * v
        reach = radius + thick * np.cos(b)
        x, y, z = reach * np.cos(a), thick * np.sin(b), reach * np.sin(a)
        cos, sin = np.cos(turn), np.sin(turn)
        return np.asarray(c + np.stack([x * cos - y * sin, x * sin + y * cos, z], axis=-1))

    return Patch(points, colour, gloss)


def disc(centre: Point, radius: float, colour: Colour, gloss: float = 0.1, axis: int = 1) -> Patch:
    """A flat disc with its normal along ``axis``: 0, 1 or 2."""
    c = np.asarray(centre)

    def points(u: Array, v: Array) -> Array:
        """Points by radius and angle."""
        a, b = radius * u * np.cos(2 * np.pi * v), radius * u * np.sin(2 * np.pi * v)
        parts = [a, b]
        parts.insert(axis, np.zeros_like(a))
        return np.asarray(c + np.stack(parts, axis=-1))

    return Patch(points, colour, gloss)


def revolve(
    profile: Sequence[tuple[float, float]], colour: Colour, gloss: float = 0.1, at: Point = (0, 0, 0)
) -> Patch:
    """A surface of revolution about z with a profile of (radius, height) points."""
    line, c = np.asarray(profile, dtype=np.float64), np.asarray(at)
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    knots = length / length[-1]

    def points(u: Array, v: Array) -> Array:
        """Points by position on the profile and angle."""
        r, z = np.interp(u, knots, line[:, 0]), np.interp(u, knots, line[:, 1])
        return np.asarray(c + np.stack([r * np.cos(2 * np.pi * v), r * np.sin(2 * np.pi * v), z], axis=-1))

    return Patch(points, colour, gloss)


def box(
    centre: Point,
    size: Point,
    colour: Colour,
    gloss: float = 0.1,
    rounding: float = 0.02,
    taper: float = 1.0,
    tilt: float = 0.0,
) -> list[Patch]:
    """A box with rounded edges; ``taper`` scales its upper end in x and y, ``tilt`` turns it about y."""
    c, half = np.asarray(centre, dtype=np.float64), np.asarray(size, dtype=np.float64) / 2
    radius = min(rounding, float(half.min()))

    def face(axis: int, sign: float) -> Patch:
        """Return the face with this normal."""

        def points(u: Array, v: Array) -> Array:
            """Points of the face, with rounded edges."""
            q = [2 * u - 1, 2 * v - 1]
            q.insert(axis, np.full_like(u, sign))
            whole = np.stack(q, axis=-1) * half
            inner = np.clip(whole, -(half - radius), half - radius)
            out = whole - inner
            norm = np.linalg.norm(out, axis=-1, keepdims=True)
            p = inner + radius * out / np.maximum(norm, 1e-9)
            p[..., :2] *= 1 + (taper - 1) * (p[..., 2:] / half[2] + 1) / 2
            cos, sin = np.cos(tilt), np.sin(tilt)
            turned = p.copy()
            turned[..., 0], turned[..., 2] = (
                p[..., 0] * cos + p[..., 2] * sin,
                -p[..., 0] * sin + p[..., 2] * cos,
            )
            return np.asarray(c + turned)

        return Patch(points, colour, gloss)

    return [face(axis, sign) for axis in range(3) for sign in (-1.0, 1.0)]


def sheet(corners: Sequence[Point], colour: Colour, gloss: float = 0.1, bulge: float = 0.0) -> Patch:
    """A sheet with four corners that bulges along its normal by ``bulge`` metres in the middle."""
    a, b, c, d = (np.asarray(p, dtype=np.float64) for p in corners)
    normal = np.cross(b - a, d - a)
    normal = normal / np.linalg.norm(normal)

    def points(u: Array, v: Array) -> Array:
        """Bilinear interpolation of the corners, and the bulge."""
        s, t = u[..., None], v[..., None]
        flat = (1 - s) * ((1 - t) * a + t * d) + s * ((1 - t) * b + t * c)
        return np.asarray(flat + bulge * 16 * s * (1 - s) * t * (1 - t) * normal)

    return Patch(points, colour, gloss)
