"""Carried objects: backpacks, handbags, suitcases, umbrellas."""

from __future__ import annotations

import numpy as np

from vireid_cli.occlusion.drawing.surfaces import Array, Patch, box, ellipsoid, torus, tube
from vireid_cli.occlusion.drawing.textures import RGB, checks, shade, stripes, vivid

DARK: RGB = (0.08, 0.08, 0.09)


def backpack(rng: np.random.Generator) -> list[Patch]:
    """Body, pocket, side nets, grip and zips; its outside faces −y."""
    main, second = vivid(rng), vivid(rng)
    cloth, trim = shade(main, rng, 0.16), shade(DARK, rng)
    patches = box((0, 0, 0.25), (0.32, 0.2, 0.5), cloth, 0.05, 0.09, 0.88)
    patches += box((0, -0.1, 0.16), (0.26, 0.1, 0.24), shade(second, rng, 0.16), 0.05, 0.05)
    patches += box((0, -0.15, 0.26), (0.2, 0.012, 0.012), trim, 0.3, 0.005) + box(
        (0, -0.1, 0.37), (0.24, 0.012, 0.012), trim, 0.3, 0.005
    )
    patches.append(torus((0, 0.0, 0.5), 0.045, 0.012, trim))
    for x in (-0.11, 0.11):
        patches += [
            tube([(x, 0.1, 0.46), (x * 1.35, 0.2, 0.3), (x * 1.2, 0.1, 0.06)], [0.02, 0.026, 0.014], trim)
        ]
        patches += box((x * 1.45, 0, 0.13), (0.06, 0.13, 0.2), trim, 0.05, 0.03)
    return patches


def handbag(rng: np.random.Generator) -> list[Patch]:
    """A bag with a flap, a clasp and two handles; faces −y."""
    leather = vivid(rng)
    coat = checks(leather, vivid(rng), 10, rng) if rng.random() < 0.3 else shade(leather, rng, 0.12)
    edge = shade(tuple(0.55 * np.asarray(leather)), rng)
    patches = box((0, 0, 0.13), (0.34, 0.13, 0.26), coat, 0.3, 0.04, 0.82)
    patches += box((0, -0.066, 0.19), (0.28, 0.02, 0.13), edge, 0.3, 0.02) + box(
        (0, -0.085, 0.14), (0.03, 0.012, 0.03), (0.8, 0.65, 0.3), 0.9, 0.006
    )
    for y in (-0.045, 0.045):
        arc = [(0.1 * np.cos(a), y, 0.25 + 0.13 * np.sin(a)) for a in np.linspace(0, np.pi, 9)]
        patches.append(_strap(arc, edge))
    return patches


def _strap(line: list[tuple[float, float, float]], colour: object) -> Patch:
    """A band along an upright arc."""
    path = np.asarray(line)
    knots = np.linspace(0, 1, len(path))

    def points(u: Array, v: Array) -> Array:
        """A tube around the line of the strap."""
        centre = np.stack([np.interp(u, knots, path[:, k]) for k in range(3)], axis=-1)
        out = np.stack([np.cos(np.pi * u), np.zeros_like(u), np.sin(np.pi * u)], axis=-1)
        angle = (2 * np.pi * v)[..., None]
        return np.asarray(centre + 0.011 * (np.cos(angle) * out + np.sin(angle) * np.array([0, 1, 0])))

    return Patch(points, colour, 0.3)  # type: ignore[arg-type]


def suitcase(rng: np.random.Generator) -> list[Patch]:
    """A ribbed shell on wheels with its handle drawn out; faces −y."""
    shell, tall = vivid(rng), rng.uniform(0.55, 0.75)
    trim = shade(DARK, rng)
    patches = box(
        (0, 0, 0.06 + tall / 2),
        (0.45, 0.25, tall),
        stripes(shell, tuple(0.8 * np.asarray(shell)), 9, rng, "u", 0.8),
        0.4,
        0.06,
    )
    patches += box((0, 0, 0.06 + tall / 2), (0.46, 0.03, tall + 0.01), trim, 0.3, 0.015)
    for x in (-0.18, 0.18):
        patches += [ellipsoid((x, y, 0.035), (0.035, 0.03, 0.035), trim, 0.3) for y in (-0.08, 0.08)]
        patches.append(
            tube([(x * 0.5, 0.06, tall), (x * 0.5, 0.06, tall + 0.38)], [0.01, 0.01], (0.7, 0.7, 0.72), 0.6)
        )
    patches.append(tube([(-0.11, 0.06, tall + 0.39), (0.11, 0.06, tall + 0.39)], [0.022, 0.022], trim, 0.3))
    return [*patches, *box((0, -0.13, tall * 0.75), (0.14, 0.02, 0.03), trim, 0.3, 0.01)]


def umbrella(rng: np.random.Generator) -> list[Patch]:
    """An open canopy of eight panels, its shaft and grip."""
    first, second = vivid(rng), vivid(rng)
    plain = rng.random() < 0.5

    def canopy(u: Array, v: Array) -> Array:
        """Eight sagging sectors."""
        sector = (v * 8) % 1.0
        sag = 1 - 0.07 * np.sin(np.pi * sector)
        r = 0.6 * u * sag
        z = 0.32 * (1 - u**1.9) - 0.03 * u * np.sin(np.pi * sector)
        return np.stack([r * np.cos(2 * np.pi * v), r * np.sin(2 * np.pi * v), 0.75 + z], axis=-1)

    def paint(u: Array, v: Array, p: Array) -> Array:
        """Sectors in two colours, with dark ribs."""
        odd = (np.floor(v * 8) % 2 == 0) | plain
        rib = np.minimum((v * 8) % 1.0, 1 - (v * 8) % 1.0) < 0.03
        colour = np.where(odd[..., None], first, second)
        return np.where(rib[..., None], 0.6 * colour, colour)

    return [
        Patch(canopy, paint, 0.15),
        tube([(0, 0, 0.12), (0, 0, 1.14)], [0.01, 0.01], (0.5, 0.5, 0.52), 0.6),
        tube([(0, 0, 0.0), (0, 0, 0.16)], [0.02, 0.018], shade(DARK, rng), 0.3),
        tube([(0, 0, 1.06), (0, 0, 1.16)], [0.012, 0.006], shade(DARK, rng), 0.3),
    ]
