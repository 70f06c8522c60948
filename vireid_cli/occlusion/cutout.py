"""An occluder's pixels at every size: its mask, halvings, and a warp that draws from the right one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np


@dataclass(frozen=True)
class Cutout:
    """An occluder's pixels in the forms that placing and warping need.

    Attributes:
        pixels: (h, w, 4) uint8 RGBA.
    """

    pixels: np.ndarray

    @cached_property
    def mask(self) -> np.ndarray:
        """(h, w) uint8, 0 or 255."""
        return np.where(self.pixels[..., 3] > 127, 255, 0).astype(np.uint8)

    @cached_property
    def levels(self) -> list[np.ndarray]:
        """Premultiplied RGBA, then halved by area again and again."""
        opaque = self.pixels[..., 3:].astype(np.float32) / 255.0
        first = np.concatenate([np.rint(self.pixels[..., :3] * opaque), self.pixels[..., 3:]], axis=-1)
        levels = [first.astype(np.uint8)]
        while min(levels[-1].shape[:2]) >= 16:
            h, w = levels[-1].shape[:2]
            levels.append(cv2.resize(levels[-1], ((w + 1) // 2, (h + 1) // 2), interpolation=cv2.INTER_AREA))
        return levels

    def warp(self, matrix: np.ndarray, scale: float, size: tuple[int, int]) -> np.ndarray:
        """Premultiplied RGBA (h, w, 4) under a 2 × 3 map of ``scale``, from the level just above it."""
        level = 0
        while level + 1 < len(self.levels) and scale * 2 ** (level + 1) <= 1.0:
            level += 1
        pixels = self.levels[level]
        y, x = self.pixels.shape[0] / pixels.shape[0], self.pixels.shape[1] / pixels.shape[1]
        # pixel centres of a level lie at (i + ½)·factor − ½ of the whole
        fitted = matrix[:, :2] * (x, y)
        shift = matrix[:, 2] + matrix[:, :2] @ ((x - 1) / 2, (y - 1) / 2)
        whole = np.concatenate([fitted, shift[:, None]], axis=1)
        return np.asarray(cv2.warpAffine(pixels, whole, (size[1], size[0]), flags=cv2.INTER_LINEAR))
