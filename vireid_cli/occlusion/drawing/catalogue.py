"""The built-in library: ten people, and five variants of every other category; each has its own source."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vireid_cli.files import refuse_unwritable
from vireid_cli.occlusion.drawing import carried, living, street, vehicles
from vireid_cli.occlusion.drawing.raster import draw
from vireid_cli.occlusion.drawing.surfaces import Patch
from vireid_cli.occlusion.library import Library, Occluder, record_of, write_library
from vireid_cli.processors import cores
from vireid_cli.types import Progress

NAME = "builtin"
Design = Callable[[np.random.Generator], list[Patch]]

DESIGNS: dict[str, tuple[Design, tuple[float, ...], float]] = {
    "person": (living.person, (90, -90, 60, -60, 120, -120, 75, -75, 20, -150), 6),
    "dog": (living.dog, (0, 20, -25, 160, 60), 8),
    "car": (vehicles.car, (0, -90, 90, -60, 30), 7),
    "bus": (vehicles.bus, (-90, -70, 90, -60, -80), 5),
    "truck": (vehicles.truck, (-90, -60, 90, -35, 70), 5),
    "bicycle": (vehicles.bicycle, (0, 15, -20, 180, 30), 6),
    "motorcycle": (vehicles.motorcycle, (0, 20, -30, 165, -50), 6),
    "bench": (street.bench, (-90, -70, -60, -110, -50), 12),
    "chair": (street.chair, (-90, -55, -30, -130, 60), 14),
    "potted plant": (street.potted_plant, (0, 40, 80, 120, 200), 10),
    "fire hydrant": (street.fire_hydrant, (-90, -60, -30, -120, -75), 8),
    "bin": (street.bin, (-90, -60, -40, -120, -75), 10),
    "fence": (street.fence, (0, 0, 8, -8, 0), 4),
    "stop sign": (street.stop_sign, (0, 12, -15, 8, -20), 0),
    "traffic light": (street.traffic_light, (0, 20, -25, 35, -10), 0),
    "parking meter": (street.parking_meter, (0, 20, -25, 35, -40), 6),
    "pole": (street.pole, (0, 30, 60, 90, 15), 4),
    "umbrella": (carried.umbrella, (0, 10, 20, 30, 15), 6),
    "backpack": (carried.backpack, (0, 25, -30, 40, -15), 8),
    "handbag": (carried.handbag, (0, 20, -25, 35, -15), 10),
    "suitcase": (carried.suitcase, (0, 25, -30, 40, -15), 10),
}
"""Design, yaw of each variant and pitch of the view in degrees, keyed by category."""


def variants(categories: Sequence[str] = ()) -> list[tuple[str, int]]:
    """List (category, number) of the built-in occluders, of all categories by default."""
    return [(name, k) for name in categories or DESIGNS for k in range(len(DESIGNS[name][1]))]


def draw_occluder(category: str, number: int) -> np.ndarray:
    """Draw one built-in occluder, (h, w, 4) uint8 RGBA; deterministic."""
    design, yaws, pitch = DESIGNS[category]
    rng = np.random.Generator(np.random.Philox(key=zlib.crc32(category.encode()) * 1000 + number))
    return draw(design(rng), yaws[number], pitch)


def build_builtin(folder: Path, categories: Sequence[str] = (), progress: Progress | None = None) -> Library:
    """Draw the built-in occluders and write them as a library.

    Args:
        folder: Folder to write.
        categories: Categories to draw; all if empty.
        progress: Called with (drawn, total).

    Raises:
        DataError: The folder is not writable; raised before drawing.
    """
    refuse_unwritable(folder)
    selected = variants(categories)
    occluders: list[tuple[Occluder, np.ndarray]] = []
    with ThreadPoolExecutor(cores()) as pool:
        drawn = pool.map(lambda variant: draw_occluder(*variant), selected)
        for (category, number), cutout in zip(selected, drawn, strict=True):
            name = f"{category.replace(' ', '-')}-{number}"
            occluders.append((record_of(name, f"{NAME}/{name}", category), cutout))
            if progress:
                progress(len(occluders), len(selected))
    return write_library(folder, NAME, occluders)
