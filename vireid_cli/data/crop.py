"""Padding, cropping and mirroring of a batch of uint8 images without a loop over images.

The function copies a block of images into a padded buffer, some of them mirrored. In an overlapping view of
the buffer every run of ``width`` pixels is a row, so all crops are one gather of rows, as fast as a memory
copy. On the CPU the block fits the cache.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import torch
from torch import Tensor

from vireid_cli.types import Size

BLOCK_BYTES = 2 << 20
"""Size of a block of images on the CPU in bytes: about a core's second-level cache."""


def crop_flip(
    images: Tensor, top: Tensor, left: Tensor, flip: Tensor, pad: int, value: int, crop: Size | None = None
) -> Tensor:
    """Pad, crop and mirror uint8 images.

    Args:
        images: (B, H, W, 3) uint8, contiguous.
        top: (B,) int64, first row of the crop in the padded image.
        left: (B,) int64, first column of the crop.
        flip: (B,) bool, whether to mirror after cropping.
        pad: Width of the border in pixels.
        value: Grey level of the border, 0..255.
        crop: (H', W') of the result, by default the size of the images.

    Returns:
        (B, H', W', 3) uint8.
    """
    count, tall, wide, _ = images.shape
    height, width = crop or (tall, wide)
    if not pad and (height, width) == (tall, wide):
        return change_selected(images.clone(), flip, _mirror)
    step = images_at_once(images)
    block_size, margins, pitch = min(step, count), wide + 2 * pad, tall + pad
    # Images below each other with borders; adjacent images share the border between them.
    rows = images.new_full((pad + block_size * pitch, margins, 3), value)
    inner = rows[pad:].unflatten(0, (block_size, pitch))[:, :tall, pad : pad + wide]  # (n, H, W, 3)
    runs = rows.as_strided((len(rows) * margins - width + 1, width * 3), (3, 1))
    nth = torch.arange(count, device=images.device) % step
    left = torch.where(flip, margins - width - left, left)  # position in the mirrored image
    starts = (nth * pitch + top) * margins + left  # (B,)
    starts = starts[:, None] + torch.arange(height, device=images.device) * margins  # (B, H')
    cut = images.new_empty((count, height, width, 3))
    for first in range(0, count, step):
        block = slice(first, first + step)
        _write(images[block], flip[block], inner)
        torch.index_select(runs, 0, starts[block].flatten(), out=cut[block].view(-1, width * 3))
    return cut


def _write(images: Tensor, flip: Tensor, into: Tensor) -> None:
    """Copy images (n, H, W, 3) into the first n of ``into``; mirrors those with ``flip`` (n,)."""
    into = into[: len(images)]
    if not reads_without_wait(images.device):
        into.copy_(torch.where(flip[:, None, None, None], images.flip(2), images))
        return
    into.copy_(images)
    index = flip.nonzero()[:, 0]
    into.numpy()[index.numpy()] = _mirror(images.index_select(0, index)).numpy()


def _mirror(images: Tensor) -> Tensor:
    """Mirror (n, H, W, 3) horizontally; on the CPU in place with OpenCV, which is faster than torch."""
    if not reads_without_wait(images.device):
        return images.flip(2)
    if len(images):
        rows = images.flatten(0, 1).numpy()  # (n·H, W, 3)
        cv2.flip(rows, 1, dst=rows)
    return images


def change_selected(images: Tensor, selected: Tensor, change: Callable[..., Tensor], *each: Tensor) -> Tensor:
    """Replace selected images by ``change(images, *each)``.

    On the CPU the function changes only the selected images, in place. On an accelerator it changes all
    images and keeps the selected ones, because their number is only known after a synchronisation.

    Args:
        images: (B, H, W, 3), contiguous; overwritten on the CPU.
        selected: (B,) bool.
        change: Function of n images and n rows of each tensor in ``each``; returns (n, H, W, 3).
        each: (B, ...) tensors with one row per image.
    """
    if not reads_without_wait(images.device):
        return torch.where(selected[:, None, None, None], change(images, *each), images)
    rows = images.flatten(1).numpy()
    for index in selected.nonzero()[:, 0].split(images_at_once(images)):
        changed = change(*(tensor.index_select(0, index) for tensor in (images, *each)))
        rows[index.numpy()] = changed.flatten(1).numpy()
    return images


def images_at_once(images: Tensor) -> int:
    """Number of images (B, H, W, 3) per block: as many as fit the cache on the CPU, otherwise all."""
    if images.device.type != "cpu":
        return max(1, len(images))
    return max(1, BLOCK_BYTES // max(1, images[:1].nbytes))


def reads_without_wait(device: torch.device) -> bool:
    """Whether reading a count from the device needs no synchronisation."""
    return device.type == "cpu"
