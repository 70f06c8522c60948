"""Arrays and images in files, as tests write and read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np


def save_arrays(path: Path, **arrays: Any) -> None:
    """Write an uncompressed ``.npz`` file with these arrays, by their names."""
    np.savez(path, **arrays)


def read_image(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """The pixels of an image file, (H, W, 3) in BGR order unless ``flags`` asks for others; fails without."""
    pixels = cv2.imread(str(path), flags)
    assert pixels is not None, path
    return pixels


def decode_image(content: bytes | np.ndarray, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """The pixels of an encoded image, in the same form."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    assert pixels is not None
    return pixels
