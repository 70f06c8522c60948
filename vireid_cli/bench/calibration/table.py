"""The calibration table: real values, accepted ranges, and the values of a tree.

Sources of the real values: patch means and spectra of SYSU-MM01's public example image (5 people, 6 cameras),
reflectance of the USGS spectral library splib07a at 850 nm, image counts of the dataset's description, Rank-1
of HOG from Wu et al. (ICCV 2017). The accepted ranges are wider than the errors of these values, and narrower
than their distance to the first version of the renderer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.bench.calibration.cloth import measure_materials
from vireid_cli.bench.calibration.pixels import (
    BANDS,
    INFRARED,
    VISIBLE,
    Garments,
    image_paths,
    measure_garments,
    measure_slopes,
)
from vireid_cli.bench.naive import measure_tree
from vireid_cli.data.locate import locate
from vireid_cli.dial_defaults import DIALS
from vireid_cli.engine.session import Session
from vireid_cli.rendered import read_manifest
from vireid_cli.rendered.dials import Dials
from vireid_cli.rendered.manifest import VERSION
from vireid_cli.rendered.population import Person, draw_person

PEOPLE = 2000
"""Maximum number of people for the statistics of materials."""


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    """One line of the table.

    Attributes:
        name: Name of the quantity.
        real: Published or measured value of real images.
        low, high: Accepted range; None for a quantity without a range.
        values: Values of the tree: one, or one per camera, pair of cameras or part.
    """

    name: str
    real: str
    low: float | None
    high: float | None
    values: tuple[float, ...]

    @property
    def inside(self) -> bool | None:
        """Whether all values are in the accepted range; None without a range or without a value."""
        known = [value for value in self.values if not np.isnan(value)]
        if not known or self.low is None or self.high is None:
            return None
        return all(self.low <= value <= self.high for value in known)

    def describe(self) -> dict[str, Any]:
        """Convert the row to JSON values; NaN becomes None."""
        return {
            "name": self.name,
            "real": self.real,
            "low": self.low,
            "high": self.high,
            "values": [None if np.isnan(value) else value for value in self.values],
            "inside": self.inside,
        }


def calibrate(root: Path, *, slope_images: int = 400) -> list[CalibrationRow]:
    """Measure every row on a tree in SYSU-MM01's layout.

    The manifest of a rendered tree defines the materials; other trees have no values for them.

    Args:
        root: Root folder of the tree.
        slope_images: Maximum number of crops per modality for the spectra.

    Raises:
        DataError: An image or a list of the tree is unreadable.
    """
    root = Path(root)
    paths = image_paths(root)
    garments = measure_garments(paths)
    slopes = measure_slopes(paths, slope_images)
    return [
        *_garment_rows(garments),
        *_slope_rows(slopes),
        *material_rows(rendered_people(root)),
        *_difficulty_rows(root),
        *_count_rows(garments),
    ]


def _garment_rows(garments: Garments) -> Iterator[CalibrationRow]:
    """Correlations between cameras and grey levels."""
    for part in ("torso", "legs"):
        same = garments.correlations(part, VISIBLE, VISIBLE)
        yield CalibrationRow(
            f"{part} luminance, visible and visible camera", ".76 to .94", 0.70, 0.97, tuple(same)
        )
    for part in ("torso", "legs"):
        between = garments.correlations(part, INFRARED, INFRARED)
        yield CalibrationRow(f"{part} luminance, infrared cameras 3 and 6", ".88", 0.85, 1.0, tuple(between))
    for part in ("torso", "legs"):
        across = garments.correlations(part, VISIBLE, INFRARED)
        real = "-.11 to .25, pooled .04"
        yield CalibrationRow(
            f"{part} luminance, mean over visible and infrared", real, -0.1, 0.25, (_mean(across),)
        )
    yield CalibrationRow(
        "torso level, infrared (0 to 255)", "175 to 203", 150, 205, _levels(garments, "torso")
    )
    yield CalibrationRow("legs level, infrared (0 to 255)", "147 to 186", 145, 200, _levels(garments, "legs"))
    third, sixth = _levels(garments, "background")
    yield CalibrationRow("background beside the torso, camera 3", "149", 135, 163, (third,))
    yield CalibrationRow("background beside the torso, camera 6", "120", 106, 134, (sixth,))
    torso, legs = (tuple(garments.level(VISIBLE, part)) for part in ("torso", "legs"))
    yield CalibrationRow("torso level, visible (0 to 255)", "57 to 98", 50, 125, torso)
    yield CalibrationRow("legs level, visible (0 to 255)", "40 to 79", 35, 125, legs)


def _levels(garments: Garments, part: str) -> tuple[float, ...]:
    return tuple(garments.level(INFRARED, part))


def _slope_rows(slopes: dict[str, list[float]]) -> Iterator[CalibrationRow]:
    """Slopes of the amplitude spectra."""
    known: dict[str, tuple[tuple[str, float, float], ...]] = {
        "visible": (("1.30", 1.25, 1.35), ("1.47", 1.37, 1.62), ("2.00", 1.9, 2.1)),
        "infrared": (("1.39", 1.34, 1.44), ("1.64", 1.54, 1.79), ("2.18", 2.1, 2.3)),
    }
    for name, values in slopes.items():
        for (low, high), (real, least, most), value in zip(BANDS, known[name], values, strict=True):
            yield CalibrationRow(
                f"amplitude slope {low} to {high} cycles/pixel, {name}", real, least, most, (value,)
            )


def rendered_people(root: Path) -> Iterator[Person]:
    """People of a rendered tree, at most ``PEOPLE``.

    None if the tree has no manifest or is of another version of the renderer.
    """
    manifest = read_manifest(root)
    if manifest is not None and manifest["version"] == VERSION:
        known = manifest["parameters"]
        dials = Dials(**{name: known.get(name, usual) for name, usual in DIALS.items()})
        for pid in range(1, min(int(known["ids"]), PEOPLE) + 1):
            yield dials.dress(draw_person(int(manifest["seed"]), pid))


def material_rows(people: Iterable[Person]) -> Iterator[CalibrationRow]:
    """Rows about the near-infrared reflectance of clothes, hair and skin."""
    values = measure_materials(people)
    known: dict[str, tuple[str, str, float, float]] = {
        "cloth_above_half": ("share of cloth above .5 at 850 nm", ".79", 0.70, 0.88),
        "cloth_dark": ("share of cloth below .2", "0 to .05", 0.0, 0.08),
        "dark_cloth_bright": ("share of dark cloth above .4", ".89", 0.80, 0.97),
        "cloth_correlation": ("cloth: luminance and reflectance", ".33", -0.1, 0.5),
        "prints_dark": ("share of pigment prints that stay dark", ".33", 0.23, 0.43),
        "dark_plastics_dark": ("share of dark bags and shoes that stay dark", ".71", 0.61, 0.81),
        "hair_low": ("dark hair, 5 % quantile", ".15", 0.13, 0.22),
        "hair_high": ("dark hair, 95 % quantile", ".35", 0.28, 0.37),
        "skin_low": ("skin, 5 % quantile", ".35", 0.33, 0.45),
        "skin_high": ("skin, 95 % quantile", ".65", 0.55, 0.67),
    }
    for key, (name, real, low, high) in known.items():
        yield CalibrationRow(name, real, low, high, (values[key],))


def _difficulty_rows(root: Path) -> Iterator[CalibrationRow]:
    """Rank-1 of matchers without learning, in multiples of chance.

    Over sets of 76 people, Rank-1 of HOG varies with a standard deviation of 0.45 times chance.
    """
    known = {"pixels": ("-", 0.5, 3.2), "histograms": ("-", 0.5, 3.2), "hog": ("2.5", 1.0, 4.0)}
    for name, score in measure_tree(root).items():
        real, low, high = known[name]
        yield CalibrationRow(
            f"{name}: Rank-1 over chance, test people", real, low, high, (score.times_chance,)
        )


def _count_rows(garments: Garments) -> Iterator[CalibrationRow]:
    """Images of each person and camera."""
    seen = garments.images.sum(axis=1) / np.maximum((garments.images > 0).sum(axis=1), 1)
    others = float(seen[2:].mean())
    real = "400+ beside 20: 20"
    yield CalibrationRow(
        "images a person, cameras 1 to 6", "400+, 400+, 20, 20, 20, 20", None, None, tuple(seen)
    )
    yield CalibrationRow("cameras 1 and 2 over the others", real, 1.2, 25.0, tuple(seen[:2] / others))


def _mean(values: list[float]) -> float:
    return float(np.nanmean(values))


def calibration(session: Session, *, root: Path | None = None) -> dict[str, Any]:
    """Measure the calibration table of a tree in SYSU-MM01's layout; by default the located dataset's."""
    located = locate("sysu", session.data_dir, root)
    manifest = read_manifest(located.root)
    rows = [row.describe() for row in calibrate(located.root)]
    return {
        "root": str(located.root),
        "rendered": located.rendered,
        "version": manifest["version"] if manifest else None,
        "inside": sum(row["inside"] is True for row in rows),
        "ranges": sum(row["inside"] is not None for row in rows),
        "rows": rows,
    }
