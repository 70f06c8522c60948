"""Position and scale of an occluder (docs/methods.md#occluder-placement, steps 2 to 4).

A section search determines the scale. A summed-area table yields the area of the rotated mask within the
frame for many scales at once, so that no image is warped before the scale is known. Two rounds of 24 sections
narrow the scale as nine bisections would, to a five-hundredth of the largest one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from vireid_cli.occlusion.policy import Epsilon

SECTIONS, ROUNDS = 24, 2
FRACTIONS = np.arange(1, SECTIONS + 1) / SECTIONS
WIDEST = 1.5
"""Maximum ratio of the width of an occluder's box to the width of the image."""
MASK_SIDE = 96
"""Longer side in pixels of the reduced mask for area measurements."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """Point of the occluder's box at a fixed position of the frame.

    Attributes:
        x: Column in the frame, in pixels.
        y: Row in the frame, in pixels.
        across: Position in the box, from 0 at the left edge to 1 at the right edge.
        down: Position in the box, from 0 at the top to 1 at the bottom.
    """

    x: float
    y: float
    across: float
    down: float


@dataclass(frozen=True, slots=True)
class Placed:
    """Scale and box of an occluder, and its share of the frame.

    Attributes:
        scale: Frame pixels per pixel of the cut-out.
        left: Left edge of the rotated box, in frame pixels.
        top: Top edge of the rotated box, in frame pixels.
        width: Width of the rotated box, in frame pixels.
        height: Height of the rotated box, in frame pixels.
        covered: Covered share of the frame's area, in [0, 1].
    """

    scale: float
    left: float
    top: float
    width: float
    height: float
    covered: float


def anchor_of(placement: str, frame: tuple[int, int], rng: np.random.Generator) -> Anchor:
    """Draw a random anchor. Occluders at the sides stand on the ground, like people or poles (our reading).

    Args:
        placement: bottom, left, right, top or float.
        frame: (height, width) of the image in pixels.
        rng: Random generator; two numbers are drawn.
    """
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
    """Return the 2 × 3 map from a cut-out to its rotated, expanded canvas, and (height, width) of the canvas.

    Args:
        size: (h, w) of the cut-out.
        angle: Rotation in degrees, counter-clockwise.
        flip: Whether to mirror before the rotation.
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
        """Rotate a mask and compute its summed-area table.

        Args:
            mask: (h, w) uint8, 255 inside.
            angle: Rotation in degrees, counter-clockwise.
            flip: Whether to mirror before the rotation.
        """
        self.matrix, (tall, wide) = rotation((mask.shape[0], mask.shape[1]), angle, flip)
        shrink = min(1.0, MASK_SIDE / max(tall, wide))
        canvas = (max(1, math.ceil(wide * shrink)), max(1, math.ceil(tall * shrink)))
        small = cv2.warpAffine(mask, self.matrix * shrink, canvas, flags=cv2.INTER_LINEAR)
        solid = cv2.threshold(small, 127, 1, cv2.THRESH_BINARY)[1]
        left, top, width, height = cv2.boundingRect(solid)
        if not width:
            left, top, width, height = 0, 0, *canvas
        self.left, self.top = left / shrink, top / shrink
        self.height, self.width = height / shrink, width / shrink
        self.cell = 1.0 / shrink
        sums = cv2.integral(solid[top : top + height, left : left + width])
        self.cells = np.array([[width], [height], [width], [height]], dtype=np.float64)
        self.row = width + 2
        # an additional row and column, so that positions on the far edge interpolate without a special case
        self.sums = cv2.copyMakeBorder(sums, 0, 1, 0, 1, cv2.BORDER_REPLICATE).ravel()

    def covered(self, anchor: Anchor, scales: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
        """Compute the share of the frame that the mask covers at each scale: (n,) for (n,) ``scales``."""
        # edges of the frame in cells of the mask: left, upper, right, lower
        fixed = np.array([[anchor.across * self.width], [anchor.down * self.height]] * 2)
        reach = np.array([[0.0], [0.0], [frame[1]], [frame[0]]]) - [[anchor.x], [anchor.y]] * 2
        edges = np.clip((fixed + reach / scales) / self.cell, 0.0, self.cells)  # (4, n)
        whole = edges.astype(np.int64)
        x, y = (edges - whole).reshape(2, 2, -1).swapaxes(0, 1)  # (2, n): fractions at both ends
        j, i = whole.reshape(2, 2, -1).swapaxes(0, 1)
        at = i[:, None] * self.row + j  # (2, 2, n): upper and lower × left and right
        s, y = self.sums, y[:, None]
        upper = s[at] + x * (s[at + 1] - s[at])
        at = at + self.row
        lower = s[at] + x * (s[at + 1] - s[at])
        corners = upper + y * (lower - upper)
        inner = corners[1, 1] - corners[0, 1] - corners[1, 0] + corners[0, 0]
        return np.asarray(inner * (scales * self.cell) ** 2 / (frame[0] * frame[1]))

    def place(self, anchor: Anchor, scale: float, frame: tuple[int, int]) -> Placed:
        """Return the box at a scale, and the covered share of the frame."""
        covered = float(self.covered(anchor, np.array([scale]), frame)[0])
        return self._placed(anchor, scale, covered)

    def _placed(self, anchor: Anchor, scale: float, covered: float) -> Placed:
        height, width = self.height * scale, self.width * scale
        left, top = anchor.x - anchor.across * width, anchor.y - anchor.down * height
        return Placed(scale, left, top, width, height, covered)

    def fit(self, anchor: Anchor, epsilon: float, reading: Epsilon, frame: tuple[int, int]) -> Placed:
        """Return the scale with the smallest error of ε, up to a width of 1.5 frames.

        Args:
            anchor: Fixed point of the box.
            epsilon: Requested share in (0, 1].
            reading: Quantity that ε limits: area, height or width relative to the frame.
            frame: (height, width) of the image in pixels.
        """
        widest = WIDEST * frame[1] / self.width
        if reading == "height_ratio":
            return self.place(anchor, min(widest, epsilon * frame[0] / self.height), frame)
        if reading == "width_ratio":
            return self.place(anchor, min(widest, epsilon * frame[1] / self.width), frame)
        low, high = 0.0, widest
        best, reached = widest, np.inf
        for _ in range(ROUNDS):
            scales = low + (high - low) * FRACTIONS
            covered = self.covered(anchor, scales, frame)
            nearest = int(np.abs(covered - epsilon).argmin())
            if abs(covered[nearest] - epsilon) < abs(reached - epsilon):
                best, reached = float(scales[nearest]), float(covered[nearest])
            enough = covered >= epsilon
            first = int(enough.argmax())
            if not enough[first]:
                break  # the largest scale covers less than ε
            low, high = (float(scales[first - 1]) if first else low), float(scales[first])
        return self._placed(anchor, best, reached)
