"""Textures of surfaces: cloth, wood, metal, leaves. Random values come from the generator of the occluder."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Array = np.ndarray
RGB = tuple[float, float, float]
Texture = Callable[[Array, Array, Array], Array]


def noise(rng: np.random.Generator, grain: int = 32) -> Callable[[Array, Array], Array]:
    """Return smooth noise in [−1, 1] over (u, v), with ``grain`` cells per side."""
    cells = rng.standard_normal((grain, grain)).astype(np.float32)
    field = cv2.resize(np.pad(cells, 1, mode="wrap"), (258, 258), interpolation=cv2.INTER_CUBIC)[1:-1, 1:-1]
    field = np.clip(field / 2.0, -1.0, 1.0)
    return lambda u, v: np.asarray(field[(u * 255).astype(np.int64) % 256, (v * 255).astype(np.int64) % 256])


def shade(colour: RGB, rng: np.random.Generator, amount: float = 0.12, grain: int = 24) -> Texture:
    """One colour with coarse and fine variations: cloth, paint, skin."""
    soft, fine = noise(rng, grain), noise(rng, 96)

    def paint(u: Array, v: Array, points: Array) -> Array:
        """The colour with its variations."""
        return np.asarray(
            np.asarray(colour) * (1 + amount * (0.7 * soft(u, v) + 0.5 * fine(u, v)))[..., None]
        )

    return paint


def stripes(
    first: RGB, second: RGB, count: float, rng: np.random.Generator, along: str = "u", width: float = 0.5
) -> Texture:
    """Stripes of two colours."""
    rough = noise(rng, 48)

    def paint(u: Array, v: Array, points: Array) -> Array:
        """One of the two colours by position."""
        where = ((u if along == "u" else v) * count) % 1.0 < width
        return np.asarray(np.where(where[..., None], first, second) * (1 + 0.08 * rough(u, v))[..., None])

    return paint


def checks(first: RGB, second: RGB, count: float, rng: np.random.Generator) -> Texture:
    """A woven check: crossing bands of two colours."""
    rough = noise(rng, 64)

    def paint(u: Array, v: Array, points: Array) -> Array:
        """The mixture of both bands."""
        a = ((u * count) % 1.0 < 0.5).astype(float) + ((v * count) % 1.0 < 0.5).astype(float)
        mixed = (a / 2)[..., None]
        return np.asarray(
            ((1 - mixed) * first + mixed * np.asarray(second)) * (1 + 0.07 * rough(u, v))[..., None]
        )

    return paint


def wood(colour: RGB, rng: np.random.Generator) -> Texture:
    """Grain along u."""
    warp = noise(rng, 12)

    def paint(u: Array, v: Array, points: Array) -> Array:
        """The colour with its grain."""
        rings = np.sin(40 * v + 5 * warp(u, v))
        return np.asarray(np.asarray(colour) * (1 + 0.14 * rings)[..., None])

    return paint


def by_height(levels: list[tuple[float, RGB]], rng: np.random.Generator) -> Texture:
    """Bands of colour by height in metres; the colour of a level applies below its height."""
    rough = noise(rng, 48)

    def paint(u: Array, v: Array, points: Array) -> Array:
        """The colour of each point's level."""
        colour = np.empty(points.shape)
        colour[:] = levels[-1][1]
        for height, value in reversed(levels[:-1]):
            colour = np.where(points[..., 2:] < height, value, colour)
        return np.asarray(colour * (1 + 0.06 * rough(u, v))[..., None])

    return paint


def vivid(rng: np.random.Generator) -> RGB:
    """Draw a random colour of paint, luggage or cloth."""
    table = [
        (0.62, 0.09, 0.09), (0.1, 0.18, 0.45), (0.08, 0.3, 0.18), (0.75, 0.75, 0.73), (0.09, 0.09, 0.1),
        (0.42, 0.43, 0.45), (0.72, 0.55, 0.12), (0.33, 0.12, 0.32), (0.16, 0.42, 0.55), (0.5, 0.3, 0.16),
    ]  # fmt: skip
    base = np.asarray(table[int(rng.integers(len(table)))])
    return tuple(np.clip(base * rng.uniform(0.85, 1.15), 0.03, 0.95))
