"""Pixels of an occluder: mask, image pyramid, and a warp that samples the best pyramid level."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np


@dataclass(frozen=True)
class Cutout:
    """Pixels of an occluder, with cached forms for placement and warping.

    Attributes:
        pixels: (h, w, 4) uint8 RGBA, not premultiplied.
    """

    pixels: np.ndarray

    @cached_property
    def mask(self) -> np.ndarray:
        """Mask of the opaque pixels, (h, w) uint8, 0 or 255."""
        return np.where(self.pixels[..., 3] > 127, 255, 0).astype(np.uint8)

    @cached_property
    def levels(self) -> list[np.ndarray]:
        """Image pyramid of premultiplied RGBA; each level has half the size of the previous one."""
        opaque = self.pixels[..., 3:].astype(np.float32) / 255.0
        first = np.concatenate([np.rint(self.pixels[..., :3] * opaque), self.pixels[..., 3:]], axis=-1)
        levels = [first.astype(np.uint8)]
        while min(levels[-1].shape[:2]) >= 16:
            h, w = levels[-1].shape[:2]
            levels.append(cv2.resize(levels[-1], ((w + 1) // 2, (h + 1) // 2), interpolation=cv2.INTER_AREA))
        return levels

    def warp(self, matrix: np.ndarray, scale: float, size: tuple[int, int]) -> np.ndarray:
        """Warp the occluder, from the smallest pyramid level that is not smaller than the result.

        Args:
            matrix: 2 × 3 map from pixels of the occluder to pixels of the result.
            scale: Scale of the map.
            size: (h, w) of the result.

        Returns:
            (h, w, 4) uint8 premultiplied RGBA.
        """
        level = 0
        while level + 1 < len(self.levels) and scale * 2 ** (level + 1) <= 1.0:
            level += 1
        pixels = self.levels[level]
        y, x = self.pixels.shape[0] / pixels.shape[0], self.pixels.shape[1] / pixels.shape[1]
        # the pixel centre i of a level has position (i + ½)·factor − ½ at full resolution
        fitted = matrix[:, :2] * (x, y)
        shift = matrix[:, 2] + matrix[:, :2] @ ((x - 1) / 2, (y - 1) / 2)
        whole = np.concatenate([fitted, shift[:, None]], axis=1)
        return np.asarray(cv2.warpAffine(pixels, whole, (size[1], size[0]), flags=cv2.INTER_LINEAR))
