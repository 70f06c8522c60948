"""Pad, crop and mirror a batch of uint8 images without a loop over images.

A few images at a time are written between margins, those to be mirrored backwards; there every run of
``width`` pixels is a row of one overlapping view, so that all crops are one gather of whole rows, as fast
as copying memory. On the CPU the few images stay in the cache in between.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import torch
from torch import Tensor

from vireid_cli.types import Size

BLOCK_BYTES = 2 << 20
"""Bytes of images that the CPU works on at once: about a core's second-level cache."""


def crop_flip(
    images: Tensor, top: Tensor, left: Tensor, flip: Tensor, pad: int, value: int, crop: Size | None = None
) -> Tensor:
    """Pad, crop and mirror, on uint8.

    Args:
        images: (B, H, W, 3) uint8, contiguous.
        top: (B,) int64, first row of the crop in the padded image.
        left: (B,) int64, first column.
        flip: (B,) bool, mirrored after cropping.
        pad: Pixels added on each side.
        value: Grey level of the border, 0..255.
        crop: (H', W') that is cut out; None: the size of the images.

    Returns:
        (B, H', W', 3) uint8.
    """
    count, tall, wide, _ = images.shape
    height, width = crop or (tall, wide)
    if not pad and (height, width) == (tall, wide):
        return change_struck(images.clone(), flip, _mirror)
    step = images_at_once(images)
    some, margins, pitch = min(step, count), wide + 2 * pad, tall + pad
    # Images one below the other between margins of the border's level; two neighbours share theirs.
    rows = images.new_full((pad + some * pitch, margins, 3), value)
    inner = rows[pad:].unflatten(0, (some, pitch))[:, :tall, pad : pad + wide]  # (n, H, W, 3)
    runs = rows.as_strided((len(rows) * margins - width + 1, width * 3), (3, 1))
    nth = torch.arange(count, device=images.device) % step
    left = torch.where(flip, margins - width - left, left)  # a crop of what is mirrored already
    starts = (nth * pitch + top) * margins + left  # (B,)
    starts = starts[:, None] + torch.arange(height, device=images.device) * margins  # (B, H')
    cut = images.new_empty((count, height, width, 3))
    for first in range(0, count, step):
        block = slice(first, first + step)
        _write(images[block], flip[block], inner)
        torch.index_select(runs, 0, starts[block].flatten(), out=cut[block].view(-1, width * 3))
    return cut


def _write(images: Tensor, flip: Tensor, into: Tensor) -> None:
    """Copy images (n, H, W, 3) into the first n of ``into``, mirrored where ``flip`` (n,) is true."""
    into = into[: len(images)]
    if not _may_count(images.device):
        into.copy_(torch.where(flip[:, None, None, None], images.flip(2), images))
        return
    into.copy_(images)
    index = flip.nonzero()[:, 0]
    into.numpy()[index.numpy()] = _mirror(images.index_select(0, index)).numpy()


def _mirror(images: Tensor) -> Tensor:
    """Mirror (n, H, W, 3), in place on the CPU, where OpenCV is fast with pixels of three bytes."""
    if not _may_count(images.device):
        return images.flip(2)
    if len(images):
        rows = images.flatten(0, 1).numpy()  # (n·H, W, 3)
        cv2.flip(rows, 1, dst=rows)
    return images


def change_struck(images: Tensor, struck: Tensor, change: Callable[..., Tensor], *each: Tensor) -> Tensor:
    """The images with ``change(images, *each)`` in place of those where ``struck`` (B,) is true.

    On the CPU only the struck images are worked on, and written back into ``images``; an accelerator
    would have to wait to learn how many they are, so there all are worked on and the right ones kept.

    Args:
        images: (B, H, W, 3), contiguous, nobody else's.
        struck: (B,) bool.
        change: (n, H, W, 3) and n rows of ``each`` → (n, H, W, 3).
        each: (B, ...) tensors that go with the images.
    """
    if not _may_count(images.device):
        return torch.where(struck[:, None, None, None], change(images, *each), images)
    rows = images.flatten(1).numpy()
    for index in struck.nonzero()[:, 0].split(images_at_once(images)):
        changed = change(*(tensor.index_select(0, index) for tensor in (images, *each)))
        rows[index.numpy()] = changed.flatten(1).numpy()
    return images


def images_at_once(images: Tensor) -> int:
    """Images (B, H, W, 3) that are worked on at once: on the CPU what its cache holds, else all."""
    if images.device.type != "cpu":
        return max(1, len(images))
    return max(1, BLOCK_BYTES // max(1, images[:1].nbytes))


def _may_count(device: torch.device) -> bool:
    """Whether reading a count off the device costs nothing."""
    return device.type == "cpu"
