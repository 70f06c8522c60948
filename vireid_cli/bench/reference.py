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


def index_lists(labels: list[int]) -> dict[int, list[int]]:
    """The field's index, for the benchmark: for each label, one pass over all rows."""
    every = sorted(set(labels))
    return {label: [row for row, value in enumerate(labels) if value == label] for label in every}


def plan_by_loop(
    visible: dict[int, list[int]],
    infrared: dict[int, list[int]],
    steps: int,
    identities: int,
    images: int,
    random: np.random.Generator,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The field's epoch, for the benchmark: batch by batch, identity by identity.

    Args:
        visible: Rows of each label.
        infrared: The same.
        steps: Batches.
        identities: P.
        images: K.
        random: Where draws come from.

    Returns:
        Visible and infrared rows (P·K,) of each batch.
    """
    labels, plan = np.array(sorted(visible)), []
    for _ in range(steps):
        chosen = random.choice(labels, identities, replace=False)
        sides = [
            np.concatenate([random.choice(index[int(label)], images) for label in chosen])
            for index in (visible, infrared)
        ]
        plan.append((sides[0], sides[1]))
    return plan
