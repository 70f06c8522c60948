"""Brightness of garments by camera, and slopes of amplitude spectra, for a tree in SYSU-MM01's layout."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

import cv2
import numpy as np

from vireid_cli.errors import DataError
from vireid_cli.rendered.cameras import CAMERAS
from vireid_cli.types import Modality

Array = np.ndarray

VISIBLE, INFRARED = (
    tuple(c.camid for c in CAMERAS.values() if c.modality is modality)
    for modality in (Modality.VISIBLE, Modality.INFRARED)
)
GREY = np.array([0.114, 0.587, 0.299])
"""Luminance of OpenCV's channel order, blue first."""

PARTS = ("torso", "legs", "background")
HEIGHT, WIDTH = 110, 43
"""Size of SYSU-MM01's published thumbnails, the images of the real slopes."""

BANDS = ((0.05, 0.2), (0.05, 0.3), (0.1, 0.4))
"""Frequency ranges of the fitted slopes, in cycles per pixel."""


@dataclass(frozen=True, slots=True)
class Garments:
    """Mean grey levels (0 to 255) of each person in each camera.

    Attributes:
        levels: (cameras 6, people P, parts 3), NaN without an image of the person by the camera.
        images: (cameras 6, people P), number of images.
        pids: (P,) identities.
    """

    levels: Array
    images: Array
    pids: Array

    def correlation(self, first: int, second: int, part: str) -> float:
        """Compute Pearson's correlation of a part's levels between two cameras, over the people in both.

        The result is NaN for fewer than three people.
        """
        both = self.levels[[first - 1, second - 1], :, PARTS.index(part)]
        both = both[:, ~np.isnan(both).any(axis=0)]
        return float(np.corrcoef(both)[0, 1]) if both.shape[1] > 2 else float("nan")

    def correlations(self, part: str, firsts: Iterable[int], seconds: Iterable[int]) -> list[float]:
        """Compute correlations of a part over all pairs of two groups of cameras, or within one group."""
        one, other = tuple(firsts), tuple(seconds)
        pairs = combinations(one, 2) if one == other else ((a, b) for a in one for b in other)
        return [self.correlation(a, b, part) for a, b in pairs]

    def level(self, camids: Iterable[int], part: str) -> list[float]:
        """Mean grey level of a part in each of these cameras, over the people."""
        index = PARTS.index(part)
        return [float(np.nanmean(self.levels[camid - 1, :, index])) for camid in camids]


def image_paths(root: Path) -> dict[int, dict[int, list[Path]]]:
    """List the images of a tree in SYSU-MM01's layout, keyed by camera and identity.

    Raises:
        DataError: A camera has no image.
    """
    images: dict[int, dict[int, list[Path]]] = {}
    for camid in CAMERAS:
        paths = sorted((Path(root) / f"cam{camid}").glob("*/*.jpg"))
        if not paths:
            raise DataError(
                f"{root} has no image cam{camid}/<id>/<frame>.jpg.", "Use a tree in SYSU-MM01's layout."
            )
        people: dict[int, list[Path]] = {}
        for path in paths:
            people.setdefault(int(path.parent.name), []).append(path)
        images[camid] = people
    return images


def read_grey(path: Path) -> Array:
    """Load the luminance of an image file, (h, w) float64 in 0 to 255.

    Raises:
        DataError: The file is not a readable image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{path} is not a readable image.", "Render the tree again.")
    return image.astype(np.float64) @ GREY


def patch_levels(grey: Array) -> tuple[float, float, float]:
    """Compute the mean levels of torso, legs and background next to the torso in a crop (h, w)."""
    h, w = grey.shape
    middle, chest = slice(int(0.38 * w), int(0.62 * w)), slice(int(0.28 * h), int(0.42 * h))
    legs = grey[int(0.60 * h) : int(0.75 * h), middle]
    beside = grey[chest, [1, 2, -3, -2]] if w > 4 else grey[chest]
    return float(grey[chest, middle].mean()), float(legs.mean()), float(beside.mean())


def measure_garments(paths: dict[int, dict[int, list[Path]]]) -> Garments:
    """Compute the mean levels of torso, legs and background of each person in each camera."""
    pids = np.array(sorted({pid for people in paths.values() for pid in people}))
    levels = np.full((len(CAMERAS), len(pids), len(PARTS)), np.nan)
    images = np.zeros((len(CAMERAS), len(pids)), np.int64)
    for camid, people in paths.items():
        for pid, files in people.items():
            at = camid - 1, int(np.searchsorted(pids, pid))
            levels[at] = np.mean([patch_levels(read_grey(path)) for path in files], axis=0)
            images[at] = len(files)
    return Garments(levels, images, pids)


def mean_spectrum(images: Iterable[Array]) -> Array:
    """Compute the mean amplitude spectrum (110, 43) of crops, resized to 43 × 110 pixels, with a Hann window.

    Crops are centred and divided by their standard deviations, so that they have equal weights.
    """
    window = np.outer(np.hanning(HEIGHT), np.hanning(WIDTH))
    spectra = []
    for image in images:
        small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        small = small - small.mean()
        spectra.append(np.abs(np.fft.fft2(small * window)) / np.sqrt((small**2).mean() + 1e-9))
    return np.asarray(np.mean(spectra, axis=0))


def slope(spectrum: Array, low: float, high: float) -> float:
    """Fit the exponent α of an amplitude spectrum 1 / f^α between two frequencies, in cycles per pixel.

    The fit uses least squares of logarithms over eleven rings of equal width.
    """
    f = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.fftfreq(WIDTH)[None])
    edges = np.linspace(low, high, 12)
    rings = [(f >= a) & (f < b) for a, b in pairwise(edges)]
    points = np.log([(f[ring].mean(), spectrum[ring].mean()) for ring in rings if ring.any()])
    return float(-np.polyfit(points[:, 0], points[:, 1], 1)[0])


def measure_slopes(paths: dict[int, dict[int, list[Path]]], images: int = 400) -> dict[str, list[float]]:
    """Compute slopes of visible and infrared crops in each of ``BANDS``, over at most ``images`` crops."""
    rng = np.random.default_rng(0)
    slopes = {}
    for name, cameras in (("visible", VISIBLE), ("infrared", INFRARED)):
        files = [path for camid in cameras for people in paths[camid].values() for path in people]
        drawn = rng.choice(len(files), min(images, len(files)), replace=False)
        spectrum = mean_spectrum(read_grey(files[i]) for i in drawn)
        slopes[name] = [slope(spectrum, *band) for band in BANDS]
    return slopes
