"""Modality of an image by equality of its colour channels: infrared cameras deliver grey images."""

from __future__ import annotations

import numpy as np

from vireid_cli.types import Modality

TOLERANCE = 3.0
"""Largest ``channel_spread`` of an infrared image, in grey levels of 256.

Grey images that are stored with three equal channels keep them equal under JPEG of any quality (spread 0).
Grey images with independent noise of ±2 levels per channel reach 2.7 at quality 100 and 0.8 at quality 95.
Of 600 rendered visible images, the least colourful one has 6.3. A visible image without any colour is
indistinguishable by its channels, and an infrared image with a colour cast is not grey.
"""

UNSURE = 2.0
"""Factor around the tolerance within which a decision is reported as close."""


def channel_spread(pixels: np.ndarray) -> np.ndarray:
    """Mean difference between the largest and the smallest channel of a pixel, in grey levels.

    Args:
        pixels: (N, H, W, 3) uint8.

    Returns:
        (N,) float32; 0 for grey images.
    """
    spread = pixels.max(axis=3) - pixels.min(axis=3)  # (N, H, W) uint8, never negative
    return spread.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)


def modality_codes(spread: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """Decide modalities: (N,) uint8, infrared where the spread is at most the tolerance."""
    return np.where(spread <= tolerance, Modality.INFRARED.code, Modality.VISIBLE.code).astype(np.uint8)


def are_close(spread: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """(N,) bool: spreads within a factor of ``UNSURE`` of the tolerance; false for a tolerance of 0."""
    return (spread > tolerance / UNSURE) & (spread < tolerance * UNSURE)
