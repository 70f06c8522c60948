"""Give an occluder the look of an infrared image (docs/methods.md#occluder-adaptation), in its order.

Grey → mean and deviation of the target → 256-bin histogram of the target, blended 0.7 → blur at the
target's resolution → three equal channels. For thermal images (RegDB) a grey-level match of a visible
object is not physically right; it is the defined procedure.
"""

from __future__ import annotations

import cv2
import numpy as np

GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
BLEND = 0.7
EPSILON = 1e-6


def luminance(pixels: np.ndarray) -> np.ndarray:
    """Grey of (…, 3) pixels, float32 in their own range."""
    return np.asarray(pixels, dtype=np.float32) @ GREY


def normalise(grey: np.ndarray, mask: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Bring the masked pixels of ``grey`` to mean and deviation of ``target``.

    Args:
        grey: (h, w) float32.
        mask: (h, w) bool, the occluder's own pixels; only they count.
        target: (H, W) float32.
    """
    inside = grey[mask]
    return np.asarray((grey - inside.mean()) / (inside.std() + EPSILON) * target.std() + target.mean())


def match_histogram(grey: np.ndarray, mask: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Map grey levels so that the masked pixels' distribution becomes the target's.

    A level goes to the smallest level whose share in the target reaches the level's own share:
    ``F_target⁻¹(F_occluder(g))`` over 256 bins.

    Args:
        grey: (h, w) in 0..255, rounded and clipped here.
        mask: (h, w) bool.
        target: (H, W) in 0..255.
    """
    levels = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    own = np.cumsum(np.bincount(levels[mask], minlength=256)) / max(1, int(mask.sum()))
    wanted = np.clip(np.rint(target), 0, 255).astype(np.uint8)
    theirs = np.cumsum(np.bincount(wanted.ravel(), minlength=256)) / wanted.size
    table = np.minimum(np.searchsorted(theirs, own - 1e-12, side="left"), 255).astype(np.float32)
    return table[levels]


def blur_inside(grey: np.ndarray, alpha: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of what ``alpha`` covers: premultiplied, so that no background bleeds in.

    Args:
        grey: (h, w) float32.
        alpha: (h, w) float32 in [0, 1].
        sigma: Pixels.
    """
    cover = cv2.GaussianBlur(alpha, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    premultiplied = cv2.GaussianBlur(grey * alpha, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.where(cover > 1e-3, premultiplied / np.maximum(cover, 1e-3), grey)


def to_infrared(
    occluder: np.ndarray, mask: np.ndarray, alpha: np.ndarray, target: np.ndarray, sigma: float
) -> np.ndarray:
    """The occluder as the target's camera could have seen it, (h, w, 3) float32 in 0..255.

    Args:
        occluder: (h, w, 3) float32 RGB in 0..255 at the target's resolution.
        mask: (h, w) bool.
        alpha: (h, w) float32 in [0, 1].
        target: (H, W) float32 grey of the whole target image.
        sigma: Of the blur, in pixels.
    """
    grey = normalise(luminance(occluder), mask, target)
    matched = match_histogram(grey, mask, target)
    mixed = BLEND * matched + (1.0 - BLEND) * np.clip(grey, 0.0, 255.0)
    soft = blur_inside(mixed.astype(np.float32), alpha, sigma)
    return np.repeat(soft[..., None], 3, axis=-1)  # (h, w, 3)
