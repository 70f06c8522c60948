"""Procedural surfaces of the scenes: tiles, boards, plaster, leaves, books, house fronts, bricks.

A texture maps coordinates in metres to five numbers: linear RGB, near-infrared reflectance, heat.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray

# A texture: coordinates in metres and a lattice of random numbers → (N, 5): linear RGB, near infrared, heat.
Texture = Callable[[Array, Array, Array], Array]


def smooth_noise(x: Array, y: Array, lattice: Array) -> Array:
    """Compute value noise in [0, 1]: a repeated 64 × 64 lattice of random numbers at whole coordinates."""
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = x - x0, y - y0
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    i, j = x0.astype(np.int32) & 63, y0.astype(np.int32) & 63
    i1, j1 = (i + 1) & 63, ((j + 1) & 63) << 6
    j = j << 6
    flat = lattice.reshape(-1)
    low = flat[j + i] * (1 - fx) + flat[j + i1] * fx
    high = flat[j1 + i] * (1 - fx) + flat[j1 + i1] * fx
    return low * (1 - fy) + high * fy


def cloud(x: Array, y: Array, lattice: Array, octaves: int = 4) -> Array:
    """Compute fractal noise in [0, 1].

    Args:
        x, y: (N,) coordinates in units of the coarsest grain.
        lattice: (64, 64) random numbers in [0, 1].
        octaves: Number of grains, each half as large as the previous one and 0.55 times as strong.
    """
    total, weight, sum_ = np.zeros_like(x), 0.5, 0.0
    for k in range(octaves):
        total += weight * smooth_noise(x * 2**k + 17 * k, y * 2**k + 5 * k, lattice)
        sum_ += weight
        weight *= 0.55
    return total / sum_


def _mix(a: tuple[float, ...], b: tuple[float, ...], share: Array) -> Array:
    """Blend two surfaces, (N, 5)."""
    return np.asarray(a, np.float32) * (1 - share[:, None]) + np.asarray(b, np.float32) * share[:, None]


def _line(x: Array, period: float, width: float) -> Array:
    """Return 1 on thin lines with soft edges, every ``period`` metres, and 0 elsewhere."""
    distance = np.abs((x / period) % 1.0 - 0.5) * period
    return np.clip((width - (period / 2 - distance)) / width + 0.5, 0, 1)


def tiles(first: tuple[float, ...], joint: tuple[float, ...], side: float, uneven: float = 0.12) -> Texture:
    """Square tiles with joints and slight differences from tile to tile.

    Args:
        first, joint: Surfaces of the tiles and of the joints.
        side: Side of a tile, metres.
        uneven: Largest relative difference in brightness between tiles.
    """

    def texture(x: Array, y: Array, lattice: Array) -> Array:
        """Colours of points on a tiled floor."""
        i, j = np.floor(x / side).astype(int) % 64, np.floor(y / side).astype(int) % 64
        shade = 1 + uneven * (lattice[j, i] - 0.5) * 2 + 0.12 * (cloud(x * 3, y * 3, lattice) - 0.5)
        lines = np.maximum(_line(x, side, 0.012), _line(y, side, 0.012))
        return _mix(first, joint, lines) * shade[:, None]

    return texture


def planks(first: tuple[float, ...], second: tuple[float, ...], width: float) -> Texture:
    """Wooden boards along y."""

    def texture(x: Array, y: Array, lattice: Array) -> Array:
        """Colours of points on boards."""
        board = np.floor(x / width).astype(int) % 64
        end = np.floor((y + lattice[board, 3] * 3) / 1.8).astype(int) % 64
        grain = smooth_noise(x * 40, y * 2 + lattice[board, 5] * 30, lattice)
        share = 0.6 * lattice[board, end] + 0.4 * grain
        return _mix(first, second, share) * (1 - 0.4 * _line(x, width, 0.006))[:, None]

    return texture


def plaster(
    first: tuple[float, ...], stain: float = 0.12, skirting: tuple[float, ...] | None = None
) -> Texture:
    """A painted, blotchy wall, with a skirting board unless ``skirting`` is None."""

    def texture(x: Array, y: Array, lattice: Array) -> Array:
        """Colours of points on a painted wall."""
        shade = 1 + stain * (cloud(x * 0.8, y * 0.8, lattice) - 0.5) * 2
        wall = np.asarray(first) * shade[:, None]
        return wall if skirting is None else np.where((y < 0.12)[:, None], np.asarray(skirting), wall)

    return texture


def rough(first: tuple[float, ...], second: tuple[float, ...], grain: float) -> Texture:
    """Asphalt, gravel, grass, leaves: fractal mixture of two surfaces with grains of ``grain`` metres."""

    def texture(x: Array, y: Array, lattice: Array) -> Array:
        """Colours of points on rough ground."""
        coarse = cloud(x / (8 * grain), y / (8 * grain), lattice, 3)
        fine = cloud(x / grain, y / grain, lattice, 3)
        return _mix(first, second, np.clip(1.6 * (0.5 * coarse + 0.5 * fine) - 0.3, 0, 1))

    return texture


def shelves(case: tuple[float, ...]) -> Texture:
    """A book case: boards and spines of many colours."""

    def texture(x: Array, y: Array, lattice: Array) -> Array:
        """Colours of points on a book case."""
        shelf = np.floor(y / 0.36).astype(int) % 64
        spine = np.floor(x / 0.045 + 7 * shelf).astype(int) % 64
        pick = lattice[shelf, spine]
        other = lattice[(shelf + 9) % 64, spine]
        hue = np.stack(
            [pick, lattice[spine, shelf], other, 0.25 + 0.5 * lattice[(spine + 3) % 64, shelf]], axis=1
        )
        muted = 0.55 * hue[:, :3] + 0.45 * hue[:, :3].mean(axis=1, keepdims=True)
        books = np.concatenate([0.03 + 0.36 * muted**2, hue[:, 3:], np.full((len(x), 1), 0.1)], axis=1)
        gap = ((y / 0.36) % 1.0 > 0.62 + 0.3 * other) | ((y / 0.36) % 1.0 < 0.06)
        dark = np.where(((y / 0.36) % 1.0 < 0.06)[:, None], np.asarray(case), np.asarray(case) * 0.25)
        return np.where(gap[:, None], dark, books)

    return texture


def facade(wall: tuple[float, ...], glass: tuple[float, ...], width: float, floor: float) -> Texture:
    """A house front: plaster and rows of windows.

    Args:
        wall, glass: Surfaces of the wall and of the windows.
        width: Distance from window to window, metres.
        floor: Height of a storey, metres.
    """

    def texture(x: Array, y: Array, lattice: Array) -> Array:
        """Colours of points on a front with windows."""
        fx, fy = (x / width) % 1.0, ((y - 0.4) / floor) % 1.0
        window = (fx > 0.22) & (fx < 0.78) & (fy > 0.3) & (fy < 0.85) & (y > 0.4)
        frame = window & ((np.abs(fx - 0.5) < 0.015) | (fy > 0.82) | (fx < 0.245) | (fx > 0.755))
        i = np.floor(x / width).astype(int) % 64
        pane = np.asarray(glass) * (0.5 + lattice[i, 2] + 0.6 * fy)[:, None]
        shade = 1 + 0.16 * (cloud(x, y, lattice) - 0.5) - 0.25 * _line(y, 0.6, 0.02)
        front = np.asarray(wall) * shade[:, None]
        return np.where(
            frame[:, None], np.asarray((0.5, 0.5, 0.48, 0.5, 0.1)), np.where(window[:, None], pane, front)
        )

    return texture


def bricks(first: tuple[float, ...], joint: tuple[float, ...]) -> Texture:
    """A brick wall in stretcher bond."""

    def texture(x: Array, y: Array, lattice: Array) -> Array:
        """Colours of points on a brick wall."""
        row = np.floor(y / 0.075)
        shifted = x + 0.12 * (row % 2)
        brick = lattice[row.astype(int) % 64, np.floor(shifted / 0.24).astype(int) % 64]
        lines = np.maximum(_line(shifted, 0.24, 0.012), _line(y, 0.075, 0.012))
        return _mix(first, joint, lines) * (0.75 + 0.5 * brick)[:, None]

    return texture
