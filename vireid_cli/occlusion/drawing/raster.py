"""Render surfaces as a shaded RGBA cut-out: dense points, depth buffer, light and contact shade.

Surfaces are sampled more densely than pixels, at twice the final resolution. The nearest point of each pixel
defines its colour, and the image is averaged down.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vireid_cli.occlusion.drawing.surfaces import Array, Patch

SIDE = 224
"""Longer side of a cut-out in pixels."""
OVER = 2
STEP = 0.8
"""Maximum distance of two neighbouring samples, in pixels of the oversampled image."""
LIGHT = np.array([-0.45, -0.55, 0.7]) / np.linalg.norm([-0.45, -0.55, 0.7])
"""Direction towards the light: (right, away from the viewer, up)."""


def draw(patches: Sequence[Patch], yaw: float, pitch: float = 8.0) -> Array:
    """Render surfaces from the front: (h, w, 4) uint8 RGBA, cropped to the opaque pixels.

    Args:
        patches: Surfaces of one object.
        yaw: Rotation about the upright axis in degrees; at 0 the viewer sees the object's right side.
        pitch: Angle in degrees by which the viewer looks down.
    """
    view = _view(yaw, pitch)
    coarse = [patch.points(*_grid(17, 17)) @ view for patch in patches]
    low = np.min([p.reshape(-1, 3).min(0) for p in coarse], axis=0)
    high = np.max([p.reshape(-1, 3).max(0) for p in coarse], axis=0)
    scale = OVER * SIDE / max(high[0] - low[0], high[2] - low[2])
    width, height = (int(np.ceil((high[k] - low[k]) * scale)) + 4 for k in (0, 2))
    samples = [_sample(patch, view, points, scale) for patch, points in zip(patches, coarse, strict=True)]
    points, colours = (np.concatenate([s[k] for s in samples]) for k in range(2))
    column = np.clip(((points[:, 0] - low[0]) * scale + 2).astype(np.int64), 0, width - 1)
    row = np.clip(((high[2] - points[:, 2]) * scale + 2).astype(np.int64), 0, height - 1)
    order = np.argsort(
        -points[:, 1], kind="stable"
    )  # far first: the nearest point of a pixel is written last
    pixel = (row * width + column)[order]
    image, depth = np.zeros((height * width, 3), np.float32), np.full(height * width, np.nan, np.float32)
    image[pixel], depth[pixel] = colours[order], points[order, 1]
    return _finish(image.reshape(height, width, 3), depth.reshape(height, width))


def _view(yaw: float, pitch: float) -> Array:
    """Return the (3, 3) matrix from world axes to (right, away, up), applied from the right."""
    a, b = np.radians(yaw), np.radians(pitch)
    turn = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
    look = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    # at yaw 0 the viewer is at y = −∞ and sees the right side of the object; x points right
    return np.asarray(turn @ look.T)


def _grid(m: int, n: int) -> tuple[Array, Array]:
    u, v = np.meshgrid(np.linspace(0, 1, m), np.linspace(0, 1, n), indexing="ij")
    return u, v


def _sample(patch: Patch, view: Array, coarse: Array, scale: float) -> tuple[Array, Array]:
    """Sample a surface: (k, 3) points in view axes and their (k, 3) shaded colours."""
    steps = [np.linalg.norm(np.diff(coarse, axis=k), axis=-1).max() * scale * 16 for k in (0, 1)]
    m, n = (int(np.clip(np.ceil(step / STEP), 4, 1600)) for step in steps)
    u, v = _grid(m, n)
    world = patch.points(u, v)
    points = world @ view
    normal = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    normal *= np.where(normal[..., 1:2] > 0, -1.0, 1.0)  # towards the viewer, at −∞ of the second axis
    base = (
        patch.colour(u, v, world) if callable(patch.colour) else np.broadcast_to(patch.colour, points.shape)
    )
    return points.reshape(-1, 3), _shade(base, normal, patch.gloss).reshape(-1, 3).astype(np.float32)


def _shade(base: Array, normal: Array, gloss: float) -> Array:
    """Shade colours with sky light, one lamp and its highlight."""
    half = LIGHT + np.array([0.0, -1.0, 0.0])
    half = half / np.linalg.norm(half)
    lamp = np.maximum(normal @ LIGHT, 0.0)
    sky = 0.42 + 0.2 * normal[..., 2]
    highlight = gloss * np.maximum(normal @ half, 0.0) ** 28
    return np.asarray(base * (sky + 0.62 * lamp)[..., None] + highlight[..., None])


def _finish(image: Array, depth: Array) -> Array:
    """Close pinholes, darken surfaces behind a near edge, average down, and crop."""
    seen = np.isfinite(depth).astype(np.uint8)
    closed = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    holes = (closed > 0) & (seen == 0)
    grown = cv2.dilate(image, np.ones((3, 3), np.uint8))
    image = np.where(holes[..., None], grown, image)
    known = np.where(seen > 0, depth, 0.0).astype(np.float32)
    far = float(np.nanmax(depth)) + 0.2
    near = cv2.blur(np.where(seen > 0, known, far).astype(np.float32), (19, 19))
    span = max(1e-3, float(np.nanmax(depth) - np.nanmin(depth)))
    shade = 1.0 - 0.55 * np.clip((known - near) / (0.25 * span), 0.0, 1.0) * seen
    image = image * shade[..., None]
    opaque = closed.astype(np.float32)
    size = (max(1, image.shape[1] // OVER), max(1, image.shape[0] // OVER))
    alpha = cv2.resize(opaque, size, interpolation=cv2.INTER_AREA)
    colour = cv2.resize(image.astype(np.float32) * opaque[..., None], size, interpolation=cv2.INTER_AREA)
    colour /= np.maximum(alpha, 1e-3)[..., None]
    tone = np.clip(colour, 0.0, 1.0) ** (1 / 1.25)
    rgba = np.concatenate([tone, alpha[..., None]], axis=-1)
    rows, columns = np.flatnonzero(alpha.max(1) > 0.5), np.flatnonzero(alpha.max(0) > 0.5)
    cut = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.asarray(np.rint(255 * cut).astype(np.uint8))
