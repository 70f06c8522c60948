"""One image at the size of a model, with its modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vireid_cli.data.grey import channel_spread, modality_codes
from vireid_cli.errors import UsageError
from vireid_cli.types import Modality


@dataclass(frozen=True, slots=True)
class ReadImage:
    """One image at the size of a model.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        modality: Given modality, or the one that the pixels decided.
        spread: Channel spread in grey levels; see ``data.grey``.
    """

    pixels: np.ndarray
    modality: Modality
    spread: float


def decide(pixels: np.ndarray, modality: Modality | None, tolerance: float) -> ReadImage:
    """Return pixels with their modality, decided by their channels if it is None."""
    spread = channel_spread(pixels[None])
    return ReadImage(pixels, modality or Modality.of(modality_codes(spread, tolerance)[0]), float(spread[0]))


def to_colour(pixels: np.ndarray) -> np.ndarray:
    """Convert an array with one or three channels to (H, W, 3)."""
    grey = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 1)
    if (
        pixels.dtype != np.uint8
        or not (grey or (pixels.ndim == 3 and pixels.shape[2] == 3))
        or not pixels.size
    ):
        raise UsageError(
            f"An array of shape {pixels.shape} and type {pixels.dtype} is not an image.",
            "Pass (H, W, 3) RGB or (H, W) grey pixels as uint8.",
        )
    return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2) if grey else pixels


def parse_modality(name: Modality | str) -> Modality:
    """Return the modality of this name.

    Raises:
        UsageError: The name is unknown.
    """
    try:
        return Modality(name)
    except ValueError:
        names: Sequence[str] = [modality.value for modality in Modality]
        raise UsageError(f"There is no modality '{name}'.", f"Choose: {' or '.join(names)}") from None
