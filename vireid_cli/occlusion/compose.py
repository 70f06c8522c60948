"""Composite an occluder over an image: choose, warp, adapt, feather (docs/methods.md#occluder-placement).

Our readings: ε is drawn first, then a category that can reach it. Occluder, tilt and anchor are drawn up to
``TRIES`` times until the occluder reaches ε at a realistic size for its category; otherwise the best try is
used. The feather is at most as wide as the median depth of the mask, so that the tubes of a bicycle remain
opaque.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vireid_cli.occlusion.adapt import luminance, to_infrared
from vireid_cli.occlusion.categories import CATEGORIES, SIZE_RANGE
from vireid_cli.occlusion.cutout import Cutout
from vireid_cli.occlusion.library import Library, Occluder, Pool
from vireid_cli.occlusion.place import WIDEST, MaskArea, Placed, anchor_of
from vireid_cli.occlusion.policy import Policy
from vireid_cli.types import Modality

TRIES = 24
CLOSE = 0.01
"""Error of ε below which the search stops."""
INSIDE = 0.3
"""Minimum share of an occluder within the frame, reached at the outermost anchor."""


def file_stream(seed: int, dataset: str, split: str, path: str) -> np.random.Generator:
    """Return the random generator of a file: Philox with a hash of seed, dataset, split and path as key."""
    key = hashlib.sha256(f"{seed}\n{dataset}\n{split}\n{path}".encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def smoothstep(x: np.ndarray) -> np.ndarray:
    """Compute 3x² − 2x³, with x clipped to [0, 1]."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def feather(mask: np.ndarray, box: tuple[float, float]) -> np.ndarray:
    """Compute the opacity of a mask: ``smoothstep(d / r)`` with the depth d and r = max(2, 0.03·min(box)).

    Args:
        mask: (h, w) uint8, 0 or 255; pixels at the border of the array do not count as outline.
        box: Height and width of the whole occluder in pixels.

    Returns:
        (h, w) float32 in [0, 1].
    """
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_5)
    inside = depth[mask > 0][::8]
    radius = max(2.0, 0.03 * min(box))
    if inside.size:
        half = inside.size // 2
        radius = min(radius, max(1.0, float(np.partition(inside, half)[half])))
    return smoothstep((depth - np.float32(0.5)) / np.float32(radius))


def composite(image: np.ndarray, occluder: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Compute ``m·X + (1 − m)·o`` with the visibility m = 1 − alpha; pixels with m = 1 remain unchanged.

    Args:
        image: (h, w, 3) uint8.
        occluder: (h, w, 3) float32 in 0..255.
        alpha: (h, w) float32 in [0, 1].
    """
    mixed = occluder - image
    mixed *= alpha[..., None]
    mixed += image  # m·X + (1 − m)·o, in one product
    return np.asarray(cv2.convertScaleAbs(mixed))  # rounds


def run_lengths(mask: np.ndarray) -> list[int]:
    """Encode a mask as COCO's uncompressed run lengths, in column order and starting with zeros."""
    flat = np.asarray(mask, dtype=bool).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *counts] if flat.size and flat[0] else counts


def _sizes(occluder: Occluder) -> tuple[float, float, float, float]:
    """Ranges of the box's longer side and of its height, relative to the height of the frame."""
    return *SIZE_RANGE[occluder.size], *CATEGORIES[occluder.category].height


@dataclass(frozen=True, slots=True)
class Choice:
    """An occluder with its pose, and the error of ε and size."""

    index: int
    placement: str
    angle: float
    flip: bool
    area: MaskArea
    placed: Placed
    error: float


class Composer:
    """Composites occluders of a library over images.

    Args:
        library: Occluders.
        policy: Meaning and range of ε.
    """

    def __init__(self, library: Library, policy: Policy) -> None:
        self.library, self.policy = library, policy
        self.cutouts = [Cutout(pixels) for pixels in library.cutouts]
        rows = [
            (*cutout.mask.shape, np.count_nonzero(cutout.mask), *_sizes(occluder))
            for cutout, occluder in zip(self.cutouts, library.occluders, strict=True)
        ]
        self._extent = np.array(rows, dtype=np.float64).T  # (7, n): height, width, area, and _sizes
        self._pools: dict[tuple[str, str], dict[str, list[int]]] = {}
        for i, occluder in enumerate(library.occluders):
            for scene in ("indoor", "outdoor"):
                if occluder.scene in (scene, "both"):
                    pool = self._pools.setdefault((occluder.pool, scene), {})
                    pool.setdefault(occluder.category, []).append(i)

    def available(self, pool: Pool, scene: str) -> dict[str, list[int]]:
        """Indices of a pool's occluders for a scene, keyed by category; empty if there are none."""
        return self._pools.get((pool, scene)) or {}

    def occlude(
        self, image: np.ndarray, modality: Modality, scene: str, pool: Pool, rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Composite a random occluder over an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            modality: Modality of the image.
            scene: ``indoor`` or ``outdoor``.
            pool: ``train`` or ``test``.
            rng: Random generator of the file.

        Returns:
            The occluded image, and the entries for the line of the manifest.
        """
        frame = (image.shape[0], image.shape[1])
        epsilon = self.policy.low + (self.policy.high - self.policy.low) * rng.random()
        sigma = 0.5 + rng.random()
        choice = self._choose(epsilon, scene, pool, frame, rng)
        covered, mask = self._paint(image, modality, choice, sigma)
        occluder, placed = self.library.occluders[choice.index], choice.placed
        box = (placed.left, placed.top, placed.width, placed.height)
        line = {
            "occluder": occluder.name,
            "category": occluder.category,
            "pool": occluder.pool,
            "scene": scene,
            "placement": choice.placement,
            "epsilon": round(epsilon, 6),
            "achieved": round(self._achieved(mask, placed, frame), 6),
            "box": [round(value, 2) for value in box],
            "angle": round(choice.angle, 4),
            "flip": choice.flip,
            "blur": round(sigma, 4) if modality is Modality.INFRARED else 0.0,
            "mask": {"size": list(frame), "counts": run_lengths(mask)},
        }
        return covered, line

    def _achieved(self, mask: np.ndarray, placed: Placed, frame: tuple[int, int]) -> float:
        if self.policy.epsilon == "height_ratio":
            return placed.height / frame[0]
        if self.policy.epsilon == "width_ratio":
            return placed.width / frame[1]
        return float(mask.mean())

    def _choose(
        self, epsilon: float, scene: str, pool: Pool, frame: tuple[int, int], rng: np.random.Generator
    ) -> Choice:
        """Draw occluders until one reaches ε at a realistic size; otherwise return the best of the tries."""
        groups = self.available(pool, scene)
        if self.policy.epsilon == "area":
            feasible = self._feasible(epsilon, frame)
            groups = {
                name: able
                for name, members in groups.items()
                if (able := [i for i in members if feasible[i]])
            }
            groups = groups or self.available(pool, scene)
        names = list(groups)
        best: Choice | None = None
        for _ in range(TRIES):
            members = groups[names[int(rng.random() * len(names))]]
            choice = self._draw(members[int(rng.random() * len(members))], epsilon, frame, rng)
            if best is None or choice.error < best.error:
                best = choice
            if best.error <= CLOSE:
                break
        assert best is not None
        return best

    def _feasible(self, epsilon: float, frame: tuple[int, int]) -> list[bool]:
        """Whether each occluder, upright and of a realistic size, can cover this share of the frame."""
        heights, widths, areas, low, high, least, most = self._extent
        longer, pixels = np.maximum(heights, widths), frame[0] * frame[1]
        largest = np.minimum(WIDEST * frame[1] / widths, frame[0] * np.minimum(high / longer, most / heights))
        smallest = frame[0] * np.maximum(low / longer, least / heights)
        too_little, too_much = (
            areas * largest**2 < epsilon * pixels,
            areas * smallest**2 > epsilon * pixels / INSIDE,
        )
        feasible: list[bool] = (~(too_little | too_much)).tolist()
        return feasible

    def _draw(self, index: int, epsilon: float, frame: tuple[int, int], rng: np.random.Generator) -> Choice:
        """Draw a pose of one occluder, and compute its error of ε and size."""
        occluder = self.library.occluders[index]
        category = CATEGORIES[occluder.category]
        angle = float((2 * rng.random() - 1) * category.tilt)
        flip = bool(rng.random() < 0.5) and category.mirrored
        placement = occluder.placements[int(rng.random() * len(occluder.placements))]
        anchor = anchor_of(placement, frame, rng)
        area = MaskArea(self.cutouts[index].mask, angle, flip)
        placed = area.fit(anchor, epsilon, self.policy.epsilon, frame)
        reached = {
            "area": placed.covered,
            "height_ratio": placed.height / frame[0],
            "width_ratio": placed.width / frame[1],
        }[self.policy.epsilon]
        low, high, least, most = _sizes(occluder)
        size, tall = max(placed.height, placed.width) / frame[0], placed.height / frame[0]
        misfit = max(0.0, low / size - 1.0, size / high - 1.0, least / tall - 1.0, tall / most - 1.0)
        return Choice(index, placement, angle, flip, area, placed, abs(reached - epsilon) + 0.2 * misfit)

    def _paint(
        self, image: np.ndarray, modality: Modality, choice: Choice, sigma: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the occluded image and the mask of the occluder, (H, W) bool."""
        placed, frame = choice.placed, (image.shape[0], image.shape[1])
        margin = int(max(2.0, 0.03 * min(placed.height, placed.width))) + 3
        top, left = max(int(placed.top) - 3, -margin), max(int(placed.left) - 3, -margin)
        bottom = min(int(placed.top + placed.height) + 4, frame[0] + margin)
        right = min(int(placed.left + placed.width) + 4, frame[1] + margin)
        mask = np.zeros(frame, dtype=bool)
        if bottom <= top or right <= left:
            return image.copy(), mask
        matrix = choice.area.matrix * placed.scale
        matrix[:, 2] += (
            placed.left - choice.area.left * placed.scale - left,
            placed.top - choice.area.top * placed.scale - top,
        )
        warped = self.cutouts[choice.index].warp(matrix, placed.scale, (bottom - top, right - left))
        solid = cv2.threshold(warped[..., 3], 127, 255, cv2.THRESH_BINARY)[1]
        alpha = feather(solid, (placed.height, placed.width))
        rows = slice(max(0, -top), frame[0] - top)
        columns = slice(max(0, -left), frame[1] - left)
        warped, solid, alpha = warped[rows, columns], solid[rows, columns], alpha[rows, columns]
        inside = solid > 0
        if not inside.any():
            return image.copy(), mask
        opacity = np.maximum(warped[..., 3:], 1, dtype=np.float32)
        colour = np.minimum(warped[..., :3] * (np.float32(255) / opacity), np.float32(255))
        if modality is Modality.INFRARED:
            colour = to_infrared(colour, inside, inside.astype(np.float32), luminance(image), sigma)
        area = (
            slice(max(0, top), max(0, top) + inside.shape[0]),
            slice(max(0, left), max(0, left) + inside.shape[1]),
        )
        result = image.copy()
        result[area] = composite(image[area], colour, alpha)
        mask[area] = inside
        return result, mask
