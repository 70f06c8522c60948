"""The two kinds of solid in a body, as quadrics: ellipsoids and tapered capsules.

A tapered capsule is two balls and the cone that touches both. Neighbouring limbs share the balls at their
joints, so that each piece here is a single quadric; cones are cut at their circles of contact. Sections may
be elliptic: then the whole capsule, balls included, is stretched along one direction.

With q = p − origin in the piece's frame, the surface is  qᵀ D q + 2 e q_axial − h = 0:
an ellipsoid has D = diag(1/a², 1/b², 1/c²)·a², e = 0, h = a²; a cone of lateral radius k0 − k1 s has
D = diag(1, −k1², 1/ratio²), e = k0 k1, h = k0².
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

Array = np.ndarray
INFINITE = 1e9


@dataclass(frozen=True, slots=True)
class Primitives:
    """P quadrics for each of B images, float64, in one coordinate system.

    Attributes:
        origin: (B, P, 3).
        frame: (B, P, 3, 3), rows: lateral, axial and depth unit vectors.
        diagonal: (B, P, 3), D.
        linear: (B, P), e.
        level: (B, P), h.
        low, high: (B, P), limits of the axial range, metres from the origin along the axis.
        bound_centre: (B, P, 2, 3) centres of two ellipsoids; their hull holds the piece.
        bound_radii: (B, P, 2, 3) their radii along the frame's rows; zeros for absent pieces.
        slots: (B, P, 2) int64, the material before and beyond ``border``.
        border: (B, P), texture height at the start of the second material.
        texture: (B, P, 2), height added to the axial coordinate, and metres per radian around the axis.
        painted: (B, P), 1 for pieces with straps and openings (the torso).
    """

    origin: Array
    frame: Array
    diagonal: Array
    linear: Array
    level: Array
    low: Array
    high: Array
    bound_centre: Array
    bound_radii: Array
    slots: Array
    border: Array
    texture: Array
    painted: Array

    def transform(self, rotation: Array, shift: Array) -> Primitives:
        """Return the solids after p → rotation · p + shift, (B, 3, 3) and (B, 3)."""
        return Primitives(
            np.einsum("bij,bpj->bpi", rotation, self.origin) + shift[:, None],
            np.einsum("bij,bprj->bpri", rotation, self.frame),
            self.diagonal,
            self.linear,
            self.level,
            self.low,
            self.high,
            np.einsum("bij,bpej->bpei", rotation, self.bound_centre) + shift[:, None, None],
            self.bound_radii,
            self.slots,
            self.border,
            self.texture,
            self.painted,
        )

    def join(self, other: Primitives) -> Primitives:
        """Return the solids of both, for the same images."""
        return Primitives(
            *(np.concatenate([getattr(self, f.name), getattr(other, f.name)], axis=1) for f in fields(self))
        )

    def quadric(self) -> tuple[Array, Array, Array]:
        """Return (A, b, c) of  pᵀ A p + 2 bᵀ p + c = 0, of shapes (B, P, 3, 3), (B, P, 3), (B, P)."""
        a = np.einsum("bpri,bpr,bprj->bpij", self.frame, self.diagonal, self.frame)
        axis = self.frame[:, :, 1]
        ao = np.einsum("bpij,bpj->bpi", a, self.origin)
        b = self.linear[..., None] * axis - ao
        along = np.einsum("bpi,bpi->bp", axis, self.origin)
        c = np.einsum("bpi,bpi->bp", self.origin, ao) - 2 * self.linear * along - self.level
        return a, b, c


@dataclass(slots=True)
class Sculptor:
    """Collects pieces one by one; ``finish`` stacks them.

    Attributes:
        images: Number of images B, the rows of every argument.
    """

    images: int
    _rows: list[tuple[Array, ...]] = field(default_factory=list)

    def _add(self, *columns: Array | float | Sequence[Array | int] | Array) -> None:
        self._rows.append(tuple(np.asarray(column, dtype=np.float64) for column in columns))

    def _full(self, value: Array | float) -> Array:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (self.images,))

    def ellipsoid(
        self,
        centre: Array,
        radii: tuple[Array | float, Array | float, Array | float],
        frame: Array,
        slots: tuple[Array | int, Array | int],
        *,
        border: Array | float = INFINITE,
        height: Array | float = 0.0,
        around: Array | float = 0.1,
        low: Array | float = -INFINITE,
        high: Array | float = INFINITE,
        painted: bool = False,
        present: Array | bool = True,
    ) -> None:
        """Add an ellipsoid with (lateral, axial, depth) radii in metres, cut to [low, high] on its axis."""
        r = np.stack([self._full(x) for x in radii], axis=1)  # (B, 3)
        a2 = r[:, :1] ** 2
        mask = self._full(present)
        bound = np.stack([r, r], axis=1) * mask[:, None, None]
        self._add(
            centre, frame, a2 / r**2, self._full(0.0), a2[:, 0], self._full(low), self._full(high),
            np.stack([centre, centre], axis=1), bound,
            np.stack([self._full(s) for s in slots], axis=1), self._full(border),
            np.stack([self._full(height), self._full(around)], axis=1), self._full(float(painted)),
        )  # fmt: skip

    def cone(
        self,
        start: Array,
        end: Array,
        radii: tuple[Array | float, Array | float],
        left: Array,
        slots: tuple[Array | int, Array | int],
        *,
        ratio: Array | float = 1.0,
        border: Array | float = INFINITE,
        height: Array | float = 0.0,
        around: Array | float | None = None,
        flip: bool = False,
        painted: bool = False,
        present: Array | bool = True,
    ) -> Array:
        """Add the cone that touches the balls at both ends, and return its frame (B, 3, 3).

        Args:
            start, end: (B, 3) centres of the balls.
            radii: Lateral radii of the balls in metres.
            left: (B, 3) approximate lateral direction; orthogonalised against the axis.
            slots: Materials before and beyond ``border``.
            ratio: Depth radius over lateral radius.
            border: Texture height of the material border.
            height: Texture height of ``start``; it grows towards ``end``.
            around: Metres per radian of the texture; None uses the mean radius.
            flip: For an axis that points down: turn the depth direction so that it still points forward.
            painted: Whether the piece has straps and openings.
            present: Whether the piece exists.
        """
        frame, length = frame_along(start, end, left, flip=flip)
        r0, r1 = (self._full(r) for r in radii)
        sine = np.clip((r0 - r1) / length, -0.95, 0.95)
        cosine = np.sqrt(1 - sine**2)
        k0, k1 = r0 / cosine, sine / cosine
        scale = self._full(ratio)
        mask = self._full(present)
        one = np.ones(self.images)
        ends = np.stack([np.stack([r, r, r * scale], axis=1) for r in (r0, r1)], axis=1)  # (B, 2, 3)
        self._add(
            start, frame, np.stack([one, -(k1**2), 1 / scale**2], axis=1), k0 * k1, k0**2,
            r0 * sine, length + r1 * sine,
            np.stack([start, end], axis=1), ends * mask[:, None, None],
            np.stack([self._full(s) for s in slots], axis=1), self._full(border),
            np.stack([self._full(height), self._full((r0 + r1) / 2 if around is None else around)], axis=1),
            self._full(float(painted)),
        )  # fmt: skip
        return frame

    def finish(self) -> Primitives:
        """Stack all pieces, in the order of their addition."""
        stacked = [np.stack(column, axis=1) for column in zip(*self._rows, strict=True)]
        stacked[9] = stacked[9].astype(np.int64)
        return Primitives(*stacked)


def frame_along(start: Array, end: Array, left: Array, *, flip: bool = False) -> tuple[Array, Array]:
    """Return a frame with its second row from ``start`` to ``end``, and the distance: (B, 3, 3), (B,)."""
    axis = end - start
    length = np.linalg.norm(axis, axis=1)
    axis = axis / length[:, None]
    lateral = left - np.sum(left * axis, axis=1, keepdims=True) * axis
    lateral = lateral / np.linalg.norm(lateral, axis=1, keepdims=True)
    depth = np.cross(lateral, axis) * (-1.0 if flip else 1.0)
    return np.stack([lateral, axis, depth], axis=1), length
