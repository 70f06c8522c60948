"""Decode one image file and resize it: the only place where pixels of a dataset are made.

Two rules, both antialiased (the filter widens where the image shrinks), on uint8:

* ``lanczos``: Pillow's Lanczos filter, which every public release of the field uses.
* ``bicubic``: torch's cubic filter, the only rule of earlier versions. On 200 made-up photographs of
  180–500 pixels height brought to 288×144 it differs from the first by 0.45 grey levels on average and
  5 at most, and takes about half the time.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from PIL import Image

from vireid_cli.types import Resize, Size

IMPLEMENTATIONS: dict[Resize, str] = {"lanczos": "lanczos-pillow", "bicubic": "cubic-antialias"}
"""Name of each rule's implementation, kept beside each pixel file."""

FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
"""Three channels of 8 bits; the orientation tag is not obeyed, as the field's code does not."""


class BadImage(ValueError):
    """An image file that can't be read; the text says why."""


def decode(data: bytes) -> np.ndarray:
    """Pixels of an encoded image, (h, w, 3) uint8 RGB.

    Raises:
        BadImage: Empty, cut short, or no image at all.
    """
    if not data:
        raise BadImage("empty file")
    if cut_short(data):
        raise BadImage("truncated")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), FLAGS)
    except cv2.error as error:
        raise BadImage("not an image that can be decoded") from error
    if pixels is None or pixels.size == 0:
        raise BadImage("not an image that can be decoded")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def cut_short(data: bytes) -> bool:
    """Whether a JPEG, PNG or BMP ends before its own end mark.

    Decoders fill the missing part of such a file with grey and say nothing. Inside a JPEG's scan the
    byte FF is always escaped, so an end mark (FF D9) must follow the last scan's start (FF DA); an
    embedded thumbnail has both of its own, earlier.
    """
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda") or b"\xff\xda" not in data
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-64:]
    if data.startswith(b"BM"):
        return len(data) < int.from_bytes(data[2:6], "little")
    return False


def resize(pixels: np.ndarray, size: Size, rule: Resize) -> np.ndarray:
    """Bring (h, w, 3) uint8 to ``size`` = (height, width); the same array where it has that size."""
    if pixels.shape[:2] == size:
        return pixels
    if rule == "bicubic":
        return resize_all(pixels[None], size)[0]
    image = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.LANCZOS)
    return np.array(image)  # a copy of its own, which can be written to


def resize_all(pixels: np.ndarray, size: Size) -> np.ndarray:
    """Bring (N, h, w, 3) uint8 to a size at once by ``bicubic``, in less than half the time of N calls."""
    if pixels.shape[1:3] == size:
        return pixels
    rows = np.require(pixels, requirements=["C", "W"])  # torch wants memory that it could write to
    images = torch.from_numpy(rows).permute(0, 3, 1, 2)  # (N, 3, h, w), channels last
    resized = torch.nn.functional.interpolate(images, size, mode="bicubic", antialias=True)
    return np.ascontiguousarray(resized.permute(0, 2, 3, 1).numpy())  # (N, H, W, 3)
