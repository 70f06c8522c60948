"""One image at the size of a model, with its modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vireid_cli.data.decode import Decoder
from vireid_cli.data.formats import inspect
from vireid_cli.data.grey import TOLERANCE, channel_spread, modality_codes
from vireid_cli.data.resize import resize
from vireid_cli.errors import UsageError
from vireid_cli.types import Modality, Resize, Size


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


def read_image(
    data: bytes,
    decoder: Decoder,
    size: Size,
    rule: Resize,
    modality: Modality | None = None,
    tolerance: float = TOLERANCE,
) -> ReadImage:
    """Decode and resize an image as ``vireid prepare`` does; see ``Model.read``.

    Args:
        data: Content of the image file.
        decoder: Decoder of image files.
        size: (height, width) of the result.
        rule: Resize rule.
        modality: Modality of the image; None: its resized pixels decide.
        tolerance: Largest channel spread of an infrared image, in grey levels.

    Raises:
        BadImage: The content is damaged or no image; the message is the reason.
    """
    header = inspect(data)
    pixels = resize(decoder.decode(data, modality, header), size, rule)
    image = decide(pixels, modality, tolerance)
    ends = decoder.range_of(image.modality)
    if modality is None and header.bits == 16 and ends != decoder.range_of(None):
        pixels = resize(decoder.decode(data, image.modality, header), size, rule)
        return replace(image, pixels=pixels)
    return image


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
