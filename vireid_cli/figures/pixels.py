"""Pixels that figures draw: floats in [0, 1] or uint8, RGB, channel last."""

from __future__ import annotations

import numpy as np


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Convert pixels in [0, 1] to uint8, rounded, which draws four times faster; return uint8 unchanged."""
    if image.dtype == np.uint8:
        return image
    return (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def checked_pixels(name: str, images: np.ndarray, dimensions: int = 3) -> None:
    """Check that an array holds RGB pixels, channel last, as floats in [0, 1] or uint8.

    Args:
        name: Name of the array, for the message.
        images: (…, H, W, 3) floats in [0, 1] or uint8, with ``dimensions`` axes.
        dimensions: Number of axes: 3 for one image, 4 for several.

    Raises:
        ValueError: Wrong shape, a data type other than float or uint8, or values outside [0, 1].
    """
    if images.ndim != dimensions or images.shape[-1] != 3 or 0 in images.shape[-3:]:
        shape = "(H, W, 3)" if dimensions == 3 else "(k, H, W, 3)"
        raise ValueError(f"{name}: expected {shape}, not {images.shape}")
    if images.dtype == np.uint8:
        return
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"{name}: expected floats in [0, 1], not {images.dtype}")
    if images.size and not (images.min() >= -1e-6 and images.max() <= 1.0 + 1e-6):  # NaN fails, too
        raise ValueError(f"{name}: values outside of [0, 1]: {images.min():.3g} to {images.max():.3g}")
