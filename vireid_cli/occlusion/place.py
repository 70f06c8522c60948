"""Where an occluder stands and how large it is (METHODS 5.4, steps 2 to 4).

The scale is found by repeated section: the part of the rotated mask that lies in the frame is summed from its
summed-area table for many scales at once, so that no image is warped before the scale is known. Two rounds of
24 sections narrow the scale as nine bisections would, to a five-hundredth of the widest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from vireid_cli.occlusion.policy import Epsilon

SECTIONS, ROUNDS = 24, 2
WIDEST = 1.5
"""Largest width of an occluder's box over the image's."""
MASK_SIDE = 96
"""Longer side in pixels at which a mask's area is measured."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A fixed point of the box, in pixels of the frame; fractions say which point of the box it is.

    Attributes:
        x: Column in the frame.
        y: Row in the frame.
        across: 0 left edge … 1 right edge of the box.
        down: 0 top … 1 bottom of the box.
    """

    x: float
    y: float
    across: float
    down: float


@dataclass(frozen=True, slots=True)
class Placed:
    """A scale and what it covers.

    Attributes:
        scale: Frame pixels per pixel of the cut-out.
        left: Left edge of the rotated box in the frame.
        top: Its top edge.
        width: Of the rotated box in the frame.
        height: Of the rotated box in the frame.
        covered: Share of the frame's area.
    """

    scale: float
    left: float
    top: float
    width: float
    height: float
    covered: float


def anchor_of(placement: str, frame: tuple[int, int], rng: np.random.Generator) -> Anchor:
    """Draw an anchor. Things at the side stand on the ground, as a person or a pole does (our reading)."""
    height, width = frame
    a, b = rng.random(), rng.random()
    if placement == "bottom":
        return Anchor((0.2 + 0.6 * a) * width, (0.9 + 0.15 * b) * height, 0.5, 1.0)
    if placement in ("left", "right"):
        x = -0.05 + 0.35 * a
        return Anchor((x if placement == "left" else 1.0 - x) * width, (0.9 + 0.15 * b) * height, 0.5, 1.0)
    if placement == "top":
        return Anchor((0.2 + 0.6 * a) * width, (-0.1 + 0.15 * b) * height, 0.5, 0.0)
    return Anchor((0.2 + 0.6 * a) * width, (0.2 + 0.6 * b) * height, 0.5, 0.5)


def rotation(size: tuple[int, int], angle: float, flip: bool) -> tuple[np.ndarray, tuple[float, float]]:
    """2 × 3 map from a cut-out to its rotated, expanded canvas, and that canvas' (height, width).

    Args:
        size: (h, w) of the cut-out.
        angle: Degrees, counter-clockwise.
        flip: Mirror first.
    """
    height, width = size
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    tall, wide = height * abs(cos) + width * abs(sin), height * abs(sin) + width * abs(cos)
    sign = -1.0 if flip else 1.0
    matrix = np.array([[cos * sign, sin, 0.0], [-sin * sign, cos, 0.0]])
    matrix[:, 2] = (wide / 2, tall / 2) - matrix[:, :2] @ (width / 2, height / 2)
    return matrix, (tall, wide)


class MaskArea:
    """Area of a rotated mask within any rectangle."""

    def __init__(self, mask: np.ndarray, angle: float, flip: bool) -> None:
        """Rotate a mask and sum it.

        Args:
            mask: (h, w) uint8, 255 inside.
            angle: Degrees.
            flip: Mirror first.
        """
        self.matrix, (tall, wide) = rotation((mask.shape[0], mask.shape[1]), angle, flip)
        shrink = min(1.0, MASK_SIDE / max(tall, wide))
        canvas = (max(1, math.ceil(wide * shrink)), max(1, math.ceil(tall * shrink)))
        small = cv2.warpAffine(mask, self.matrix * shrink, canvas, flags=cv2.INTER_LINEAR)
        rows, columns = np.flatnonzero(small.max(axis=1) > 127), np.flatnonzero(small.max(axis=0) > 127)
        if not len(rows):
            rows, columns = np.array([0, small.shape[0] - 1]), np.array([0, small.shape[1] - 1])
        self.top, self.left = rows[0] / shrink, columns[0] / shrink
        small = small[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        self.height, self.width = small.shape[0] / shrink, small.shape[1] / shrink
        self.cell = 1.0 / shrink
        self.sums = cv2.integral((small > 127).astype(np.uint8))

    def covered(self, anchor: Anchor, scales: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
        """(n,) share of the frame that the mask covers at each of n scales."""
        left = anchor.x - anchor.across * self.width * scales
        top = anchor.y - anchor.down * self.height * scales
        x = self._cells(np.stack([-left, frame[1] - left]) / scales, self.sums.shape[1])  # (2, n)
        y = self._cells(np.stack([-top, frame[0] - top]) / scales, self.sums.shape[0])
        corners = self._sums_at(y[:, None], x[None, :])  # (2, 2, n): upper and lower × left and right
        inner = corners[1, 1] - corners[0, 1] - corners[1, 0] + corners[0, 0]
        area = np.maximum(inner, 0.0) * self.cell**2
        return np.asarray(area * scales**2 / (frame[0] * frame[1]))

    def _cells(self, position: np.ndarray, count: int) -> np.ndarray:
        """Positions in the summed-area table of cut-out pixels counted from the tight box's corner."""
        return np.asarray(np.clip(position / self.cell, 0.0, count - 1.0))

    def _sums_at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Bilinear values of the summed-area table."""
        s = self.sums
        i = np.minimum(y.astype(np.int64), s.shape[0] - 2)
        j = np.minimum(x.astype(np.int64), s.shape[1] - 2)
        a, b = y - i, x - j
        upper = (1 - b) * s[i, j] + b * s[i, j + 1]
        lower = (1 - b) * s[i + 1, j] + b * s[i + 1, j + 1]
        return np.asarray((1 - a) * upper + a * lower)

    def place(self, anchor: Anchor, scale: float, frame: tuple[int, int]) -> Placed:
        """The box at a scale, and the share of the frame that the mask covers there."""
        height, width = self.height * scale, self.width * scale
        left, top = anchor.x - anchor.across * width, anchor.y - anchor.down * height
        covered = float(self.covered(anchor, np.array([scale]), frame)[0])
        return Placed(scale, left, top, width, height, covered)

    def find(self, anchor: Anchor, epsilon: float, reading: Epsilon, frame: tuple[int, int]) -> Placed:
        """The scale at which ε is reached, no wider than 1.5 frames; the nearest where it can't be."""
        widest = WIDEST * frame[1] / self.width
        if reading == "height_ratio":
            return self.place(anchor, min(widest, epsilon * frame[0] / self.height), frame)
        if reading == "width_ratio":
            return self.place(anchor, min(widest, epsilon * frame[1] / self.width), frame)
        low, high = 0.0, widest
        best, error = widest, np.inf
        for _ in range(ROUNDS):
            scales = np.linspace(low, high, SECTIONS + 1)[1:]
            covered = self.covered(anchor, scales, frame)
            errors = np.abs(covered - epsilon)
            nearest = int(np.argmin(errors))
            if errors[nearest] < error:
                best, error = float(scales[nearest]), float(errors[nearest])
            enough = np.flatnonzero(covered >= epsilon)
            if not enough.size:
                break  # not even the widest reaches it
            first = int(enough[0])
            low, high = (float(scales[first - 1]) if first else low), float(scales[first])
        return self.place(anchor, best, frame)
