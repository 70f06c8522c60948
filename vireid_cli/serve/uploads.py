"""Decoding of uploaded images: the header is checked before a pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from vireid_cli.counts import size_name
from vireid_cli.data.formats import inspect
from vireid_cli.data.formats.header import BadImage
from vireid_cli.serve.limits import RequestRefused, ServeLimits
from vireid_cli.types import Modality

ModalityChoice = Literal["auto", "visible", "infrared"]


class ReadPixels(Protocol):
    """Result of ``ImageReader.read``."""

    @property
    def pixels(self) -> np.ndarray:
        """(height, width, 3) uint8 RGB at the size of the model."""
        ...

    @property
    def modality(self) -> Modality:
        """Given modality, or the one that the pixels decided."""
        ...


class ImageReader(Protocol):
    """Reader of image files, such as ``engine.model.Model``."""

    def read(self, data: bytes, modality: Modality | None = None) -> ReadPixels:
        """Decode and resize an image; its pixels decide the modality if it is None."""
        ...


@dataclass(frozen=True, slots=True)
class QueryImage:
    """A decoded upload.

    Attributes:
        name: File name of the upload; untrusted text.
        modality: Modality of the image.
        pixels: (height, width, 3) uint8 RGB at the size of the model.
    """

    name: str
    modality: Modality
    pixels: np.ndarray


def decode_upload(
    name: str, data: bytes, choice: ModalityChoice, model: ImageReader, limits: ServeLimits
) -> QueryImage:
    """Decode an upload as the model reads image files, ``vireid embed`` and ``vireid search`` included.

    Args:
        name: File name of the upload, for messages.
        data: Content of the file.
        choice: Modality; ``auto`` decides by equality of the colour channels.
        model: Model that reads the image.
        limits: Limits of the server.

    Raises:
        RequestRefused: Too many pixels (413), or no image that can be decoded (422).
    """
    given = None if choice == "auto" else Modality(choice)
    try:
        header = inspect(data)
        if header.width * header.height > limits.pixels:
            raise RequestRefused(
                413,
                f"{name}: {size_name((header.height, header.width))} pixels; "
                f"the limit is {limits.pixels:,} pixels.",
                "Upload a crop of one person.",
            )
        image = model.read(data, given)
    except BadImage as error:
        raise RequestRefused(422, f"{name}: {error}.", "Upload JPEG, PNG, BMP, TIFF or WebP.") from error
    return QueryImage(name, image.modality, image.pixels)
