"""Common implementations that process one image at a time, as the baseline of benchmarks and tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as vision

from vireid_cli.data.augment_draws import Draws
from vireid_cli.types import Size


def pil_chain(images: np.ndarray, draws: Draws, pad: int = 10, value: int = 0) -> Tensor:
    """Augment with PIL, one image at a time: pad, crop, mirror, convert to a tensor.

    Args:
        images: (B, H, W, 3) uint8.
        draws: Random draws, as for ``data.augment.apply``; the chain ignores colours, linear and erasing.
        pad: Pixels to add on each side.
        value: Grey level of the border.

    Returns:
        (B, 3, H, W) float32 in [0, 1].
    """
    height, width = images.shape[1:3]
    top, left, flip = draws.top.tolist(), draws.left.tolist(), draws.flip.tolist()
    tensors = []
    for i, pixels in enumerate(images):
        image = vision.pad(vision.to_pil_image(pixels), [pad], fill=value)
        image = vision.crop(image, top[i], left[i], height, width)
        tensors.append(vision.to_tensor(vision.hflip(image) if flip[i] else image))
    return torch.stack(tensors)


def pil_decode(paths: list[Path], size: Size) -> np.ndarray:
    """Decode and resize image files with PIL and Lanczos, in one thread.

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
    """Index rows by label, with one pass over all rows per label."""
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
    """Plan an epoch of P×K batches with loops over batches and identities.

    Args:
        visible: Visible rows, keyed by label.
        infrared: Infrared rows, keyed by label.
        steps: Number of batches.
        identities: P, identities per batch.
        images: K, images per identity and modality.
        random: Random generator.

    Returns:
        Visible and infrared rows of each batch, (P·K,) each.
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
