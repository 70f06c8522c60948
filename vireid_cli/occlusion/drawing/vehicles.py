"""Cars, buses, trucks, bicycles, motorcycles. All face along +x."""

from __future__ import annotations

import numpy as np

from vireid_cli.occlusion.drawing.surfaces import Array, Colour, Patch, box, disc, ellipsoid, torus, tube
from vireid_cli.occlusion.drawing.textures import RGB, by_height, shade, vivid

GLASS: RGB = (0.1, 0.13, 0.16)
RUBBER: RGB = (0.05, 0.05, 0.055)
STEEL: RGB = (0.6, 0.61, 0.63)


def _wheel(x: float, y: float, radius: float, rng: np.random.Generator, wide: float = 0.1) -> list[Patch]:
    """A tyre with its rim, standing at (x, y)."""
    out = np.sign(y) * wide
    return [
        torus((x, y, radius), radius * 0.8, radius * 0.2, shade(RUBBER, rng), 0.05),
        disc((x, y + 0.6 * out, radius), radius * 0.66, shade((0.45, 0.46, 0.48), rng, 0.3, 8), 0.4),
        disc((x, y + 0.65 * out, radius), radius * 0.2, shade(RUBBER, rng), 0.3),
    ]


def car(rng: np.random.Generator) -> list[Patch]:
    """A passenger car, about 4.3 m."""
    paint, dark = vivid(rng), shade(RUBBER, rng)
    coat = shade(paint, rng, 0.02)
    roof, rear, long = rng.uniform(1.42, 1.62), rng.uniform(-1.75, -1.35), rng.uniform(4.0, 4.5)
    ends, w = (-long / 2, long / 2), 0.88
    xs = [ends[0], ends[0] + 0.12, rear, -0.85, 0.25, 1.0, ends[1] - 0.5, ends[1] - 0.08, ends[1]]
    tops = [0.55, 0.92, 0.98, roof, roof, 0.97, 0.88, 0.72, 0.5]
    belt = 0.93

    def half(x: Array, z: Array) -> Array:
        """Half width: rounded at both ends, the cabin leaning in."""
        end = np.clip(1 - np.abs(2 * x / long) ** 6, 0.0, 1.0) ** 0.35
        return np.asarray(w * (0.72 + 0.28 * end) * (1 - 0.42 * np.clip(z - belt, 0.0, None)))

    def side(sign: float) -> Patch:
        """Return one flank: left or right by sign."""

        def points(u: Array, v: Array) -> Array:
            """Points of the flank below the roof line."""
            x = ends[0] + long * u
            z = 0.26 + (np.interp(x, xs, tops) - 0.26) * v
            return np.stack([x, sign * half(x, z), z], axis=-1)

        def colour(u: Array, v: Array, p: Array) -> Array:
            """Paint, windows, wheel arches and door lines."""
            x, z = p[..., 0], p[..., 2]
            base = coat(u, v, p)
            arch = np.hypot(np.abs(x + 0.02) - 1.3, z - 0.33) < 0.39
            line = (
                (np.abs(x + 0.28) < 0.012)
                | ((np.abs(x - 0.72) < 0.012) & (z < belt))
                | (np.abs(x + 1.1) < 0.012)
            )
            dull = (z < 0.36) | arch | (line & (z > 0.4)) | (np.abs(z - belt) < 0.014)
            base = np.where(_glazed(x, z, belt, np.interp(x, xs, tops), rear)[..., None], GLASS, base)
            base = np.where(dull[..., None], 0.25 * np.asarray(RUBBER) + 0.02, base)
            handle = (np.abs(z - 0.82) < 0.018) & ((np.abs(x + 0.1) < 0.09) | (np.abs(x + 0.95) < 0.09))
            return np.where(handle[..., None], STEEL, base)

        return Patch(points, colour, 0.35)

    def over(u: Array, v: Array) -> Array:
        """Points of bonnet, roof and boot."""
        x = ends[0] + long * u
        z = np.interp(x, xs, tops)
        return np.stack([x, (2 * v - 1) * half(x, z), z + 0.03 * (1 - (2 * v - 1) ** 2)], axis=-1)

    def over_colour(u: Array, v: Array, p: Array) -> Array:
        """Paint with both windscreens."""
        x = p[..., 0]
        screen = ((x > 0.32) & (x < 0.97)) | ((x < -0.95) & (x > rear + 0.08))
        return np.where((screen & (np.abs(2 * v - 1) < 0.92))[..., None], GLASS, coat(u, v, p))

    body = [side(1), side(-1), Patch(over, over_colour, 0.4), *_ends(ends, w, coat, rng)]
    body += _wheels_and_mirrors(coat, rng)
    return [*body, *box((0, 0, 0.36), (long - 0.5, 1.4, 0.24), dark, 0.0, 0.05)]


def _glazed(x: Array, z: Array, belt: float, top: Array, rear: float) -> Array:
    """Whether points of a car's flank are on a window."""
    pillar = (np.abs(x + 0.28) < 0.045) | (x < rear + 0.28)
    return np.asarray((z > belt + 0.02) & (z < top - 0.07) & ~pillar)


def _wheels_and_mirrors(coat: Colour, rng: np.random.Generator) -> list[Patch]:
    patches: list[Patch] = []
    for x in (-1.32, 1.28):
        for y in (0.8, -0.8):
            patches += _wheel(x, y, 0.33, rng)
    mirrors = [ellipsoid((0.72, y, 0.98), (0.07, 0.1, 0.07), coat, 0.3) for y in (0.95, -0.95)]
    return patches + mirrors


def _ends(ends: tuple[float, float], w: float, coat: object, rng: np.random.Generator) -> list[Patch]:
    """Bumpers, lamps, number plates, grille."""
    patches = []
    for sign, x in ((-1, ends[0]), (1, ends[1])):
        patches += box((x - 0.12 * sign, 0, 0.52), (0.36, 1.9 * w, 0.42), coat, 0.3, 0.12)  # type: ignore[arg-type]
        patches += box((x + 0.06 * sign, 0, 0.5), (0.02, 0.52, 0.12), (0.85, 0.85, 0.8), 0.1, 0.005)
        patches += box((x + 0.05 * sign, 0, 0.33), (0.05, 1.5 * w, 0.1), shade(RUBBER, rng), 0.1, 0.02)
        lamp: RGB = (0.9, 0.9, 0.85) if sign > 0 else (0.6, 0.05, 0.05)
        for y in (0.62, -0.62):
            patches += box((x - 0.05 * sign, y, 0.69), (0.26, 0.34, 0.14), lamp, 0.9, 0.05)
    return [*patches, *box((ends[1] + 0.05, 0, 0.66), (0.03, 0.7, 0.11), shade(RUBBER, rng), 0.3, 0.01)]


def bus(rng: np.random.Generator) -> list[Patch]:
    """The front 8 m of a city bus, with windows, doors and lamps."""
    paint, band = vivid(rng), vivid(rng)
    return [*_coach(8.0, 2.5, 3.0, paint, band, 1.35, 2.45, 1.15, rng), *_face(4.0, 2.3, 1.15, 2.6, rng)]


def truck(rng: np.random.Generator) -> list[Patch]:
    """A box truck: cab, load, wheels."""
    paint, load = vivid(rng), ((0.82, 0.82, 0.8), vivid(rng))[int(rng.integers(2))]
    patches = box((-0.9, 0, 2.0), (4.6, 2.4, 2.5), shade(load, rng, 0.04), 0.15, 0.05)
    patches += box(
        (2.35, 0, 1.55),
        (1.7, 2.2, 1.9),
        by_height([(1.5, paint), (2.25, GLASS), (9, paint)], rng),
        0.35,
        0.18,
        0.92,
    )
    patches += box((0.2, 0, 0.6), (6.2, 0.9, 0.3), shade(RUBBER, rng), 0.1)
    patches += _face(3.2, 2.0, 1.52, 2.2, rng)
    patches += box((-3.22, 0, 2.0), (0.03, 0.03, 2.2), shade(RUBBER, rng), 0.1, 0.01)
    for y in (0.98, -0.98):
        patches += box((-3.2, y, 0.85), (0.05, 0.3, 0.14), (0.65, 0.06, 0.05), 0.6, 0.02)
        for x in (-2.3, -1.3, 2.3):
            patches += _wheel(x, y, 0.48, rng, 0.2)
    return patches


def _coach(
    long: float,
    wide: float,
    tall: float,
    paint: RGB,
    band: RGB,
    sill: float,
    head: float,
    pitch: float,
    rng: np.random.Generator,
) -> list[Patch]:
    """A long body with a row of windows on each side, and wheels."""
    body = by_height([(0.75, band), (0.82, STEEL), (tall - 0.35, paint), (tall, band)], rng)

    def colour(u: Array, v: Array, p: Array) -> Array:
        """Paint, windows and doors."""
        x, y, z = p[..., 0], p[..., 1], p[..., 2]
        phase = ((x + long / 2) / pitch) % 1.0
        flank = np.abs(y) > wide / 2 - 0.12
        pane = (z > sill) & (z < head) & (phase > 0.07) & (phase < 0.93) & (np.abs(x) < long / 2 - 0.15)
        door = (
            flank
            & (np.abs(x - long * 0.36) < 0.55)
            & (z > 0.5)
            & (z < head)
            & (np.abs(x - long * 0.36) > 0.03)
        )
        end = (
            (np.abs(x) > long / 2 - 0.1)
            & (np.abs(y) < wide / 2 - 0.15)
            & (z > sill - 0.15)
            & (z < head + 0.1)
        )
        return np.where(((flank & pane) | door | end)[..., None], GLASS, body(u, v, p))

    patches = box((0, 0, (tall + 0.4) / 2), (long, wide, tall - 0.4), colour, 0.35, 0.14)
    for y in (wide / 2 - 0.1, -wide / 2 + 0.1):
        for x in (-long * 0.28, long * 0.22):
            patches += _wheel(x, y, 0.5, rng, 0.2)
    return patches


def _face(x: float, wide: float, low: float, high: float, rng: np.random.Generator) -> list[Patch]:
    """The front end: windscreen, grille, lamps, plate."""
    patches = box((x + 0.03, 0, (low + high) / 2), (0.04, wide * 0.88, high - low), GLASS, 0.5, 0.02)
    patches += box((x + 0.05, 0, 0.62), (0.06, wide * 0.95, 0.22), shade(RUBBER, rng), 0.2, 0.03)
    patches += box((x + 0.05, 0, 0.95), (0.05, wide * 0.5, 0.2), shade((0.12, 0.12, 0.13), rng), 0.3, 0.02)
    patches += box((x + 0.1, 0, 0.62), (0.02, 0.5, 0.12), (0.85, 0.85, 0.8), 0.1, 0.005)
    for y in (wide * 0.38, -wide * 0.38):
        patches += box((x + 0.05, y, 0.92), (0.08, 0.3, 0.2), (0.92, 0.92, 0.85), 0.9, 0.05)
        patches += box((x - 0.1, y * 1.35, high - 0.25), (0.1, 0.14, 0.4), shade(RUBBER, rng), 0.2, 0.04)
    return patches


def bicycle(rng: np.random.Generator) -> list[Patch]:
    """A city bicycle."""
    paint, black = shade(vivid(rng), rng, 0.04), shade(RUBBER, rng)
    r, back, front, crank, seat, head = (
        0.34,
        (-0.52, 0, 0.36),
        (0.54, 0, 0.36),
        (-0.06, 0, 0.3),
        (-0.2, 0, 0.86),
        (0.38, 0, 0.84),
    )
    patches: list[Patch] = []
    for hub in (back, front):
        patches += [torus(hub, r, 0.026, black), torus(hub, r - 0.035, 0.012, STEEL, 0.5)]
        for angle in np.linspace(0, np.pi, 10, endpoint=False):
            d = (r - 0.03) * np.array([np.cos(angle), 0, np.sin(angle)])
            patches.append(tube([np.asarray(hub) - d, np.asarray(hub) + d], [0.004, 0.004], STEEL, 0.3))
    tubes = [(crank, seat), (crank, head), (seat, head), (back, crank), (back, seat), (front, head)]
    patches += [tube(ends, [0.022, 0.022], paint, 0.5) for ends in tubes]
    patches += [
        tube([seat, (-0.23, 0, 0.97)], [0.016, 0.016], STEEL, 0.5),
        ellipsoid((-0.24, 0, 0.99), (0.14, 0.08, 0.035), black, 0.2),
        tube([head, (0.36, 0, 1.02)], [0.018, 0.018], STEEL, 0.5),
        tube([(0.3, -0.3, 1.04), (0.4, 0, 1.03), (0.3, 0.3, 1.04)], [0.017, 0.017, 0.017], black, 0.3),
        torus((crank[0], -0.04, crank[2]), 0.09, 0.014, STEEL, 0.5),
        tube([(crank[0], 0.1, 0.15), (crank[0], -0.1, 0.45)], [0.014, 0.014], STEEL, 0.4),
        ellipsoid((crank[0], 0.14, 0.14), (0.06, 0.05, 0.02), black),
        ellipsoid((crank[0], -0.14, 0.46), (0.06, 0.05, 0.02), black),
    ]
    if rng.random() < 0.5:
        patches += box(
            (0.56, 0, 0.9), (0.26, 0.34, 0.24), shade((0.4, 0.28, 0.16), rng, 0.4, 64), 0.05, 0.03, 1.15
        )
    return patches


def motorcycle(rng: np.random.Generator) -> list[Patch]:
    """A motorcycle; with a tall screen it resembles a scooter."""
    paint, black = shade(vivid(rng), rng, 0.03), shade(RUBBER, rng)
    back, front = (-0.68, 0, 0.32), (0.72, 0, 0.32)
    patches: list[Patch] = []
    for hub in (back, front):
        patches += [
            torus(hub, 0.25, 0.075, black),
            *_wheel(hub[0], -0.001, 0.2, rng, 0.06),
            disc((hub[0], 0.05, 0.32), 0.2, STEEL, 0.4),
        ]
    patches += [
        tube([(0.72, 0.08, 0.32), (0.48, 0.08, 0.95)], [0.035, 0.035], STEEL, 0.6),
        tube([(0.72, -0.08, 0.32), (0.48, -0.08, 0.95)], [0.035, 0.035], STEEL, 0.6),
        tube([(0.4, -0.36, 1.05), (0.46, 0, 1.0), (0.4, 0.36, 1.05)], [0.02, 0.02, 0.025], black, 0.4),
        ellipsoid((0.2, 0, 0.86), (0.32, 0.15, 0.15), paint, 0.7),
        ellipsoid((-0.3, 0, 0.82), (0.36, 0.14, 0.08), black, 0.2),
        ellipsoid((-0.66, 0, 0.82), (0.24, 0.1, 0.09), paint, 0.6),
        ellipsoid((0.56, 0, 0.9), (0.1, 0.12, 0.12), (0.88, 0.88, 0.82), 0.9),
        ellipsoid((0.7, 0, 0.62), (0.26, 0.08, 0.06), paint, 0.5),
        tube(
            [(0.2, -0.16, 0.35), (-0.3, -0.2, 0.28), (-0.95, -0.22, 0.36)], [0.035, 0.05, 0.055], STEEL, 0.7
        ),
        tube([(-0.15, 0, 0.6), (-0.68, 0.08, 0.34)], [0.04, 0.035], black),
        tube([(0.45, 0, 0.9), (0.3, 0, 0.4)], [0.05, 0.05], black),
    ]
    patches += box((0.05, 0, 0.5), (0.5, 0.3, 0.38), shade((0.3, 0.3, 0.31), rng, 0.5, 40), 0.4, 0.1)
    patches += box((0.5, 0, 1.12), (0.04, 0.32, 0.3), (0.2, 0.22, 0.25), 0.7, 0.02, 0.7, -0.4)
    return patches
