"""Objects in streets and rooms: benches, chairs, plants, signs, lights, meters, poles, bins, fences."""

from __future__ import annotations

import cv2
import numpy as np

from vireid_cli.occlusion.drawing.surfaces import (
    Array,
    Patch,
    box,
    disc,
    ellipsoid,
    revolve,
    sheet,
    torus,
    tube,
)
from vireid_cli.occlusion.drawing.textures import RGB, shade, stripes, vivid, wood

METAL: RGB = (0.36, 0.37, 0.39)
OAK: RGB = (0.5, 0.34, 0.2)


def bench(rng: np.random.Generator) -> list[Patch]:
    """Slats on two frames; seen from the front at yaw 90."""
    plank, iron = wood(tuple(np.asarray(OAK) * rng.uniform(0.7, 1.2)), rng), shade(METAL, rng)
    long, patches = rng.uniform(1.3, 1.8), []
    for x in (-0.2, -0.07, 0.06, 0.19):
        patches += box((x, 0, 0.45), (0.11, long, 0.04), plank, 0.1, 0.012)
    for z in (0.6, 0.74, 0.88):
        patches += box((-0.28 - 0.1 * (z - 0.6), 0, z), (0.035, long, 0.11), plank, 0.1, 0.012)
    for y in (-0.4 * long, 0.4 * long):
        patches += [
            tube([(-0.26, y, 0.4), (-0.36, y, 0.95)], [0.025, 0.022], iron, 0.4),
            tube([(-0.24, y, 0.42), (-0.3, y, 0)], [0.028, 0.028], iron, 0.4),
            tube([(0.2, y, 0.42), (0.24, y, 0)], [0.028, 0.028], iron, 0.4),
            tube(
                [(-0.26, y, 0.66), (0.0, y, 0.68), (0.22, y, 0.64), (0.22, y, 0.44)], [0.022] * 4, iron, 0.4
            ),
        ]
    return patches


def chair(rng: np.random.Generator) -> list[Patch]:
    """A wooden chair or an office chair."""
    if rng.random() < 0.45:
        cloth, iron = shade(vivid(rng), rng), shade((0.1, 0.1, 0.11), rng)
        patches = box((0.02, 0, 0.5), (0.5, 0.5, 0.1), cloth, 0.03, 0.05) + box(
            (-0.24, 0, 0.86), (0.08, 0.46, 0.56), cloth, 0.03, 0.04
        )
        patches += [
            tube([(0, 0, 0.46), (0, 0, 0.12)], [0.035, 0.04], iron, 0.4),
            tube([(-0.2, 0, 0.45), (-0.28, 0, 0.65)], [0.03, 0.03], iron),
        ]
        for a in np.linspace(0, 2 * np.pi, 5, endpoint=False):
            end = (0.3 * np.cos(a), 0.3 * np.sin(a), 0.07)
            patches += [
                tube([(0, 0, 0.13), end], [0.03, 0.02], iron, 0.4),
                ellipsoid((end[0], end[1], 0.035), (0.035, 0.035, 0.035), iron),
            ]
        for y in (-0.27, 0.27):
            patches += [
                tube([(-0.1, y, 0.5), (-0.1, y, 0.68)], [0.018, 0.018], iron),
                *box((0, y, 0.7), (0.3, 0.06, 0.035), iron, 0.2),
            ]
        return patches
    plank = wood(tuple(np.asarray(OAK) * rng.uniform(0.6, 1.4)), rng)
    patches = box((0, 0, 0.45), (0.44, 0.44, 0.04), plank, 0.15, 0.015)
    for y in (-0.19, 0.19):
        patches += box((0.19, y, 0.22), (0.045, 0.045, 0.44), plank, 0.15, 0.01) + box(
            (-0.2, y, 0.48), (0.045, 0.045, 0.96), plank, 0.15, 0.01
        )
        patches += box((0, y, 0.2), (0.38, 0.03, 0.03), plank, 0.1)
    for z in (0.64, 0.77, 0.9):
        patches += box((-0.2, 0, z), (0.025, 0.36, 0.07), plank, 0.15, 0.01)
    return patches


def potted_plant(rng: np.random.Generator) -> list[Patch]:
    """A pot with a shrub of bent leaves."""
    clay = ((0.55, 0.27, 0.16), (0.75, 0.73, 0.7), (0.2, 0.21, 0.23))[int(rng.integers(3))]
    patches = [
        revolve(
            [
                (0.0, 0.0),
                (0.15, 0.0),
                (0.2, 0.34),
                (0.225, 0.34),
                (0.225, 0.4),
                (0.19, 0.4),
                (0.18, 0.36),
                (0.0, 0.36),
            ],
            shade(clay, rng),
            0.15,
        )
    ]
    green = np.array((0.12, 0.34, 0.1)) * rng.uniform(0.7, 1.25)
    tall, broad = rng.uniform(0.55, 0.95), rng.uniform(0.05, 0.12)
    for _ in range(int(rng.integers(46, 70))):
        turn, rise, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 1.0) * tall, rng.uniform(0.15, 0.45)
        patches.append(_leaf(turn, rise, reach, broad, tuple(green * rng.uniform(0.6, 1.4)), rng))
    return patches


def _leaf(
    turn: float, rise: float, reach: float, broad: float, colour: RGB, rng: np.random.Generator
) -> Patch:
    """A leaf that grows out of the stem, rises and hangs over."""
    out, side = np.array([np.cos(turn), np.sin(turn), 0]), np.array([-np.sin(turn), np.cos(turn), 0])

    def points(u: Array, v: Array) -> Array:
        """A blade that rises and hangs over."""
        width = broad * np.sin(np.pi * np.clip(u, 0, 1) ** 0.7) * (2 * v - 1)
        height = 0.38 + rise * (1.5 * u - 0.75 * u**2) + 0.15 * np.abs(width)
        return np.asarray(
            (reach * u)[..., None] * out + width[..., None] * side + height[..., None] * np.array([0, 0, 1])
        )

    def paint(u: Array, v: Array, p: Array) -> Array:
        """Green with a light vein."""
        vein = np.where(np.abs(2 * v - 1) < 0.08, 1.35, 1.0) * (0.8 + 0.35 * u)
        return np.asarray(np.asarray(colour) * vein[..., None])

    return Patch(points, paint, 0.2)


def fire_hydrant(rng: np.random.Generator) -> list[Patch]:
    """A pillar hydrant with three outlets."""
    paint = shade(((0.7, 0.1, 0.07), (0.8, 0.6, 0.08), (0.12, 0.3, 0.5))[int(rng.integers(3))], rng, 0.2)
    patches = [
        revolve([(0.0, 0), (0.19, 0), (0.19, 0.05), (0.13, 0.06), (0.125, 0.5), (0.17, 0.51), (0.17, 0.56),
                 (0.14, 0.57), (0.13, 0.66), (0.09, 0.73), (0.04, 0.76), (0.04, 0.82), (0, 0.82)], paint, 0.4)
    ]  # fmt: skip
    for angle in (0.0, 90.0, -90.0):
        d = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle)), 0])
        at = np.array([0, 0, 0.42])
        r = 0.085 if angle == 0 else 0.06
        patches += [
            tube([at, at + 0.19 * d], [r * 0.8, r * 0.8], paint, 0.3),
            tube([at + 0.17 * d, at + 0.22 * d, at + 0.221 * d], [r, r, 0.001], paint, 0.3),
        ]
    return patches


def bin(rng: np.random.Generator) -> list[Patch]:
    """A wheeled bin or a round litter bin."""
    paint = shade(vivid(rng), rng)
    if rng.random() < 0.5:
        patches = box((0, 0, 0.52), (0.5, 0.46, 0.9), paint, 0.15, 0.04, 1.18)
        patches += box((0.02, 0, 1.0), (0.66, 0.6, 0.07), paint, 0.2, 0.03)
        patches += box((0.3, 0, 0.75), (0.02, 0.2, 0.14), (0.85, 0.85, 0.82), 0.1, 0.005)
        for y in (-0.26, 0.26):
            patches += [torus((-0.2, y, 0.1), 0.07, 0.03, shade((0.05, 0.05, 0.05), rng))]
        return patches
    dark = shade((0.06, 0.06, 0.06), rng)
    patches = [
        revolve(
            [(0, 0), (0.24, 0), (0.26, 0.8), (0.28, 0.8), (0.28, 0.84), (0.2, 0.84), (0.19, 0.7)],
            stripes((0.25, 0.26, 0.28), (0.1, 0.1, 0.11), 40, rng, "v", 0.7),
            0.3,
        ),
        revolve([(0.29, 0.96), (0.24, 1.02), (0.1, 1.07), (0.0, 1.08)], paint, 0.3),
        revolve([(0.2, 0.8), (0.0, 0.79)], dark),
    ]
    return [
        *patches,
        *(
            tube(
                [(0.25 * np.cos(a), 0.25 * np.sin(a), 0.82), (0.26 * np.cos(a), 0.26 * np.sin(a), 0.98)],
                [0.015, 0.015],
                dark,
            )
            for a in (0.8, 2.4, 3.9, 5.5)
        ),
    ]


def fence(rng: np.random.Generator) -> list[Patch]:
    """Pickets, or an iron railing."""
    patches: list[Patch] = []
    if rng.random() < 0.5:
        plank = wood(((0.78, 0.76, 0.72), (0.4, 0.27, 0.16))[int(rng.integers(2))], rng)
        for x in np.arange(-1.0, 1.01, 0.16):
            patches += box((x, 0, 0.5), (0.11, 0.025, 1.0), plank, 0.1, 0.01)
        for z in (0.25, 0.78):
            patches += box((0, 0.04, z), (2.3, 0.04, 0.09), plank, 0.1, 0.01)
        return patches
    iron = shade(((0.08, 0.1, 0.09), (0.45, 0.46, 0.48))[int(rng.integers(2))], rng)
    for x in np.arange(-1.0, 1.01, 0.125):
        patches += [
            tube([(x, 0, 0.06), (x, 0, 1.08)], [0.017, 0.017], iron, 0.5),
            ellipsoid((x, 0, 1.11), (0.03, 0.03, 0.045), iron, 0.5),
        ]
    for z in (0.16, 0.98):
        patches += box((0, 0, z), (2.2, 0.04, 0.05), iron, 0.4, 0.01)
    return [
        *patches,
        *(p for x in (-1.08, 1.08) for p in box((x, 0, 0.6), (0.09, 0.09, 1.2), iron, 0.4, 0.01)),
    ]


def stop_sign(rng: np.random.Generator) -> list[Patch]:
    """An octagonal sign with its text, on a post; faces −y."""
    letters = np.full((200, 200, 3), (173, 15, 18), np.uint8)
    cv2.putText(letters, "STOP", (16, 124), cv2.FONT_HERSHEY_SIMPLEX, 2.05, (240, 240, 236), 12, cv2.LINE_AA)
    words = letters / 255.0
    radius = rng.uniform(0.32, 0.4)

    def points(u: Array, v: Array) -> Array:
        """An octagon in the x-z plane."""
        angle = 2 * np.pi * v + np.pi / 8
        edge = np.cos(np.pi / 8) / np.cos(((angle - np.pi / 8) % (np.pi / 4)) - np.pi / 8)
        r = radius * u * edge
        return np.stack([r * np.cos(angle), np.full_like(u, -0.05), 2.15 + r * np.sin(angle)], axis=-1)

    def paint(u: Array, v: Array, p: Array) -> Array:
        """The letters, inside a white border."""
        i = np.clip((0.5 - (p[..., 2] - 2.15) / (2 * radius)) * 199, 0, 199).astype(int)
        j = np.clip((0.5 + p[..., 0] / (2 * radius)) * 199, 0, 199).astype(int)
        return np.where((u > 0.92)[..., None], (0.93, 0.93, 0.92), words[i, j])

    return [
        Patch(points, paint, 0.15),
        tube([(0, 0, 0), (0, 0, 2.4)], [0.035, 0.035], shade(METAL, rng), 0.5),
    ]


def traffic_light(rng: np.random.Generator) -> list[Patch]:
    """Three lamps in a housing on a post; one is lit; faces −y."""
    case, tall = (
        shade(((0.07, 0.08, 0.08), (0.6, 0.5, 0.08))[int(rng.integers(2))], rng),
        rng.uniform(2.3, 2.8),
    )
    patches = [tube([(0, 0.12, 0), (0, 0.12, tall)], [0.07, 0.055], shade(METAL, rng), 0.4)]
    patches += box((0, 0, tall - 0.1), (0.36, 0.24, 1.0), case, 0.2, 0.05)
    lit = int(rng.integers(3))
    for k, colour in enumerate(((0.85, 0.1, 0.06), (0.9, 0.6, 0.08), (0.1, 0.75, 0.35))):
        z = tall + 0.22 - 0.32 * k
        lamp: RGB = colour if k == lit else tuple(0.28 * np.asarray(colour))
        patches += [disc((0, -0.13, z), 0.12, lamp, 0.5), _visor(z, case)]
    return patches


def _visor(z: float, case: object) -> Patch:
    def points(u: Array, v: Array) -> Array:
        """An open half tube above a lamp."""
        a = np.pi * (v * 1.1 - 0.05)
        return np.stack([0.135 * np.cos(a), -0.12 - 0.16 * u, z + 0.135 * np.sin(a)], axis=-1)

    return Patch(points, case, 0.1)  # type: ignore[arg-type]


def parking_meter(rng: np.random.Generator) -> list[Patch]:
    """A parking meter with a window, on a post; faces −y."""
    coat = shade(((0.3, 0.32, 0.35), (0.12, 0.25, 0.38), (0.5, 0.5, 0.48))[int(rng.integers(3))], rng)
    patches = [
        tube([(0, 0, 0), (0, 0, 1.05)], [0.04, 0.035], shade(METAL, rng), 0.5),
        revolve([(0.09, 0), (0.05, 0.05), (0.04, 0.06)], coat),
    ]
    patches += box((0, 0, 1.2), (0.22, 0.15, 0.32), coat, 0.4, 0.05, 1.1)
    patches += [
        ellipsoid((0, 0, 1.36), (0.121, 0.085, 0.13), coat, 0.5, 0.0, 0.5),
        ellipsoid((0, -0.065, 1.37), (0.08, 0.03, 0.07), (0.75, 0.8, 0.78), 0.8),
        *box((0, -0.085, 1.2), (0.11, 0.02, 0.06), (0.08, 0.08, 0.08), 0.3, 0.01),
        disc((0.04, -0.09, 1.12), 0.018, (0.7, 0.7, 0.68), 0.6),
    ]
    return patches


def pole(rng: np.random.Generator) -> list[Patch]:
    """A concrete post, a tall striped bollard, or a wooden mast with a plate."""
    kind = int(rng.integers(3))
    if kind == 0:
        return [
            tube([(0, 0, 0), (0, 0, 2.6)], [0.14, 0.11], shade((0.52, 0.51, 0.49), rng, 0.25, 64), 0.03),
            revolve([(0.2, 0), (0.2, 0.12), (0.14, 0.16)], shade((0.45, 0.45, 0.43), rng)),
        ]
    if kind == 1:
        return [
            tube(
                [(0, 0, 0), (0, 0, 2.2)],
                [0.1, 0.1],
                stripes((0.85, 0.84, 0.8), (0.7, 0.1, 0.08), 5, rng),
                0.3,
            ),
            ellipsoid((0, 0, 2.2), (0.1, 0.1, 0.07), (0.7, 0.1, 0.08), 0.3),
        ]
    return [
        tube([(0, 0, 0), (0, 0, 2.8)], [0.13, 0.1], wood((0.36, 0.26, 0.18), rng), 0.03),
        sheet(
            [(-0.1, -0.14, 1.5), (0.1, -0.14, 1.5), (0.1, -0.14, 1.8), (-0.1, -0.14, 1.8)],
            (0.8, 0.75, 0.3),
            0.2,
        ),
    ]
