"""Adapt an occluder to an infrared image (docs/methods.md#occluder-adaptation).

Steps: grey → mean and deviation of the target → 256-bin histogram of the target, blended 0.7 → blur at the
target's resolution → three equal channels. The paper defines this procedure also for thermal images (RegDB),
where grey levels of a visible object have no physical meaning.
"""

from __future__ import annotations

import cv2
import numpy as np

GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
BLEND = 0.7
EPSILON = 1e-6


def luminance(pixels: np.ndarray) -> np.ndarray:
    """Convert (…, 3) pixels to grey, float32 in the range of the pixels."""
    return np.asarray(pixels, dtype=np.float32) @ GREY


def normalise(grey: np.ndarray, mask: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Shift and scale ``grey`` so that its masked pixels have mean and deviation of ``target``.

    Args:
        grey: (h, w) float32.
        mask: (h, w) bool, pixels of the occluder.
        target: (H, W) float32.
    """
    inside = grey[mask]
    return np.asarray((grey - inside.mean()) / (inside.std() + EPSILON) * target.std() + target.mean())


def match_histogram(grey: np.ndarray, mask: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Map grey levels so that the masked pixels have the distribution of the target.

    The map is ``F_target⁻¹(F_occluder(g))`` over 256 bins, with the cumulative distributions F.

    Args:
        grey: (h, w), rounded and clipped to 0..255.
        mask: (h, w) bool, pixels of the occluder.
        target: (H, W), rounded and clipped to 0..255.
    """
    levels = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    cumulative = np.cumsum(np.bincount(levels[mask], minlength=256)) / max(1, int(mask.sum()))
    target_levels = np.clip(np.rint(target), 0, 255).astype(np.uint8)
    target_cumulative = np.cumsum(np.bincount(target_levels.ravel(), minlength=256)) / target_levels.size
    inverse = np.searchsorted(target_cumulative, cumulative - 1e-12, side="left")
    table = np.minimum(inverse, 255).astype(np.float32)
    return table[levels]


def blur_inside(grey: np.ndarray, alpha: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of the pixels that ``alpha`` covers, weighted by alpha so that background has no effect.

    Args:
        grey: (h, w) float32.
        alpha: (h, w) float32 in [0, 1].
        sigma: Standard deviation in pixels.
    """
    cover = cv2.GaussianBlur(alpha, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    premultiplied = cv2.GaussianBlur(grey * alpha, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.where(cover > 1e-3, premultiplied / np.maximum(cover, 1e-3), grey)


def to_infrared(
    occluder: np.ndarray, mask: np.ndarray, alpha: np.ndarray, target: np.ndarray, sigma: float
) -> np.ndarray:
    """Adapt the occluder to the grey levels of a target image: (h, w, 3) float32 in 0..255.

    Args:
        occluder: (h, w, 3) float32 RGB in 0..255 at the resolution of the target.
        mask: (h, w) bool, pixels of the occluder.
        alpha: (h, w) float32 opacity in [0, 1].
        target: (H, W) float32 grey levels of the whole target image, in 0..255.
        sigma: Standard deviation of the blur in pixels.
    """
    grey = normalise(luminance(occluder), mask, target)
    matched = match_histogram(grey, mask, target)
    mixed = BLEND * matched + (1.0 - BLEND) * np.clip(grey, 0.0, 255.0)
    soft = blur_inside(mixed.astype(np.float32), alpha, sigma)
    return np.repeat(soft[..., None], 3, axis=-1)  # (h, w, 3)
