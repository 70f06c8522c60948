"""People in clothes, and dogs."""

from __future__ import annotations

import numpy as np

from vireid_cli.occlusion.drawing.surfaces import Patch, box, ellipsoid, tube
from vireid_cli.occlusion.drawing.textures import RGB, checks, shade, stripes, vivid

SKIN: tuple[RGB, ...] = ((0.82, 0.62, 0.5), (0.62, 0.43, 0.32), (0.38, 0.25, 0.18), (0.88, 0.7, 0.58))
HAIR: tuple[RGB, ...] = ((0.06, 0.05, 0.05), (0.25, 0.15, 0.08), (0.45, 0.32, 0.16), (0.5, 0.5, 0.5))


def person(rng: np.random.Generator) -> list[Patch]:
    """A standing or striding person, 1.6 to 1.85 m; faces along +x."""
    skin, hair = SKIN[int(rng.integers(4))], HAIR[int(rng.integers(4))]
    top, legs = vivid(rng), ((0.1, 0.14, 0.28), (0.08, 0.08, 0.09), (0.35, 0.3, 0.24))[int(rng.integers(3))]
    cloth = (shade(top, rng), checks(top, vivid(rng), 14, rng), stripes(top, vivid(rng), 12, rng))[
        int(rng.integers(3))
    ]
    stride, wide = rng.uniform(-0.22, 0.22), rng.uniform(0.9, 1.15)
    patches = _legs(rng, skin, legs, stride, wide) + _arms(rng, skin, cloth, -stride, wide)
    hem = 0.86 if rng.random() < 0.6 else 0.66
    patches.append(
        tube(
            [(0, 0, hem), (0, 0, 0.95), (0.01, 0, 1.12), (0.02, 0, 1.32), (0, 0, 1.43), (0, 0, 1.5)],
            [0.17 * wide, 0.172 * wide, 0.155 * wide, 0.19 * wide, 0.17 * wide, 0.06],
            cloth, 0.04, 0.66,
        )
    )  # fmt: skip
    patches += [
        tube([(0, 0, 1.44), (0.01, 0, 1.58)], [0.058, 0.052], shade(skin, rng, 0.05)),
        ellipsoid((0.02, 0, 1.64), (0.1, 0.078, 0.118), shade(skin, rng, 0.05), 0.12),
        ellipsoid((-0.012, 0, 1.665), (0.104, 0.089, 0.118), shade(hair, rng, 0.35), 0.15, 0.0, 0.62),
    ]
    if rng.random() < 0.35:
        patches += box((-0.19, 0, 1.2), (0.16, 0.3, 0.42), shade(vivid(rng), rng), 0.06, 0.07, 0.85)
    if rng.random() < 0.3:
        brim = vivid(rng)
        patches.append(ellipsoid((0.005, 0, 1.69), (0.115, 0.097, 0.095), shade(brim, rng), 0.05, 0.0, 0.5))
        patches.append(ellipsoid((0.11, 0, 1.69), (0.08, 0.08, 0.012), shade(brim, rng)))
    return patches


def _legs(rng: np.random.Generator, skin: RGB, legs: RGB, stride: float, wide: float) -> list[Patch]:
    patches = []
    short = rng.random() < 0.2
    cloth = shade(legs, rng, 0.16)
    for side, step in ((1, stride), (-1, -stride)):
        y = 0.095 * side * wide
        knee, foot = (0.03 + step * 0.5, y, 0.48), (step * 0.95, y, 0.08)
        patches.append(tube([(0, y, 0.93), knee], [0.1 * wide, 0.075 * wide], cloth, 0.03))
        patches.append(
            tube([knee, foot], [0.075 * wide, 0.055], shade(skin, rng, 0.05) if short else cloth, 0.03)
        )
        patches.append(
            ellipsoid((foot[0] + 0.06, y, 0.05), (0.135, 0.05, 0.052), shade((0.1, 0.09, 0.09), rng), 0.25)
        )
    patches.append(ellipsoid((0, 0, 0.9), (0.13 * wide, 0.18 * wide, 0.13), cloth))
    return patches


def _arms(rng: np.random.Generator, skin: RGB, cloth: object, swing: float, wide: float) -> list[Patch]:
    patches = []
    bare = rng.random() < 0.3
    for side, step in ((1, swing), (-1, -swing)):
        shoulder, elbow = (0, 0.19 * side * wide, 1.42), (step * 0.5, 0.235 * side * wide, 1.14)
        hand = (step * 0.9 + 0.06, 0.24 * side * wide, 0.88)
        patches += [
            ellipsoid(shoulder, (0.07, 0.065, 0.068), cloth),  # type: ignore[arg-type]
            tube([shoulder, elbow], [0.062, 0.05], cloth, 0.04),  # type: ignore[arg-type]
            tube([elbow, hand], [0.05, 0.038], shade(skin, rng, 0.05) if bare else cloth, 0.04),  # type: ignore[arg-type]
            ellipsoid((hand[0] + 0.01, hand[1], hand[2] - 0.05), (0.04, 0.03, 0.07), shade(skin, rng, 0.05)),
        ]
    return patches


def dog(rng: np.random.Generator) -> list[Patch]:
    """A dog that stands, nose along +x."""
    coat = ((0.45, 0.3, 0.16), (0.12, 0.11, 0.11), (0.72, 0.6, 0.42), (0.8, 0.78, 0.74))[int(rng.integers(4))]
    fur, dark = shade(coat, rng, 0.3, 64), shade((0.07, 0.06, 0.06), rng)
    build = rng.uniform(0.85, 1.2)
    patches = [
        tube([(-0.36, 0, 0.5), (-0.1, 0, 0.5), (0.2, 0, 0.52), (0.34, 0, 0.56)],
             [0.1 * build, 0.125 * build, 0.15 * build, 0.1], fur),
        ellipsoid((-0.34, 0, 0.5), (0.13, 0.11 * build, 0.13), fur),
        ellipsoid((0.27, 0, 0.54), (0.14, 0.13 * build, 0.15), fur),
        tube([(0.26, 0, 0.58), (0.44, 0, 0.76)], [0.11, 0.085], fur),
        ellipsoid((0.48, 0, 0.8), (0.12, 0.095, 0.1), fur),
        tube([(0.52, 0, 0.78), (0.68, 0, 0.74)], [0.062, 0.042], fur),
        ellipsoid((0.69, 0, 0.76), (0.025, 0.03, 0.022), dark, 0.5),
        tube([(-0.44, 0, 0.55), (-0.6, 0, 0.64), (-0.68, 0, 0.8)], [0.045, 0.035, 0.018], fur),
        tube([(0.34, 0, 0.66), (0.4, 0, 0.71)], [0.115, 0.11], shade(vivid(rng), rng)),
    ]  # fmt: skip
    for side in (1, -1):
        patches.append(ellipsoid((0.44, 0.085 * side, 0.82), (0.05, 0.02, 0.085), shade(coat, rng, 0.4)))
        patches.append(ellipsoid((0.57, 0.06 * side, 0.83), (0.016, 0.012, 0.016), dark, 0.8))
        for x, bend in ((0.27, 0.03), (-0.36, -0.07)):
            y, step = 0.075 * side * build, rng.uniform(-0.06, 0.06)
            patches.append(
                tube([(x, y, 0.5), (x + bend, y, 0.26), (x + step, y, 0.05)], [0.078, 0.045, 0.032], fur)
            )
            patches.append(ellipsoid((x + step + 0.03, y, 0.03), (0.055, 0.036, 0.032), fur))
    return patches
