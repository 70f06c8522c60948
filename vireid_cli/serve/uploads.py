"""Decoding of uploaded images: the header is checked before a pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from vireid_cli.counts import size_name
from vireid_cli.data.decode import Decoder
from vireid_cli.data.formats import inspect
from vireid_cli.data.formats.header import BadImage
from vireid_cli.data.grey import channel_spread, modality_codes
from vireid_cli.data.resize import resize
from vireid_cli.serve.limits import RequestRefused, ServeLimits
from vireid_cli.types import Modality, Resize, Size

ModalityChoice = Literal["auto", "visible", "infrared"]


class ImageRules(Protocol):
    """Rules of a model for image files."""

    @property
    def size(self) -> Size:
        """(height, width) of the input."""
        ...

    @property
    def resize(self) -> Resize:
        """Resize rule."""
        ...

    @property
    def decoder(self) -> Decoder:
        """Decoder of image files."""
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
    name: str, data: bytes, choice: ModalityChoice, rules: ImageRules, limits: ServeLimits
) -> QueryImage:
    """Decode an upload and resize it as ``vireid prepare`` does.

    Args:
        name: File name of the upload, for messages.
        data: Content of the file.
        choice: Modality; ``auto`` decides by equality of the colour channels.
        rules: Rules of the model.
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
        pixels = rules.decoder.decode(data, given, header)
        modality = given or Modality.of(int(modality_codes(channel_spread(pixels[None]))[0]))
        if given is None and header.bits == 16:  # the range of 16-bit samples depends on the modality
            pixels = rules.decoder.decode(data, modality, header)
    except BadImage as error:
        raise RequestRefused(422, f"{name}: {error}.", "Upload JPEG, PNG, BMP, TIFF or WebP.") from error
    return QueryImage(name, modality, resize(pixels, rules.size, rules.resize))
