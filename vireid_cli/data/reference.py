"""The field's way of doing the same, image by image: what the benchmarks measure against.

Nothing of it is used in training; tests use it as a second opinion.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as vision

from vireid_cli.data.augment import Draws
from vireid_cli.types import Size


def pil_chain(images: np.ndarray, draws: Draws, pad: int = 10, value: int = 0) -> Tensor:
    """The field's chain, for the benchmark: to PIL, pad, crop, mirror, to tensor, one image at a time.

    Args:
        images: (B, H, W, 3) uint8.
        draws: The same draws as ``apply`` takes; colours, linear and erasing are not part of the chain.
        pad: Pixels added on each side.
        value: Grey level of the border.

    Returns:
        (B, 3, H, W) float32 in [0, 1].
    """
    height, width = images.shape[1:3]
    top, left, flip = draws.top.tolist(), draws.left.tolist(), draws.flip.tolist()
    done = []
    for i, pixels in enumerate(images):
        image = vision.pad(vision.to_pil_image(pixels), [pad], fill=value)
        image = vision.crop(image, top[i], left[i], height, width)
        done.append(vision.to_tensor(vision.hflip(image) if flip[i] else image))
    return torch.stack(done)


def pil_decode(paths: list[Path], size: Size) -> np.ndarray:
    """The field's preparation, for the benchmark: PIL decoding and Lanczos, one thread.

    Args:
        paths: N image files.
        size: (H, W).

    Returns:
        (N, H, W, 3) uint8 RGB.
    """
    return np.stack(
        [
            np.asarray(Image.open(path).convert("RGB").resize((size[1], size[0]), Image.Resampling.LANCZOS))
            for path in paths
        ]
    )
