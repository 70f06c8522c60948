"""Pad, crop and mirror a batch of uint8 images without a padded copy and without a loop over images.

Every run of ``width`` pixels of the flat batch is a row of one overlapping view, so that all crops are one
gather of whole rows, as fast as copying memory. A run that reaches beyond its image's edge brings pixels of
a neighbouring row; they lie in the outermost ``pad`` columns and rows, which are then painted over.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import torch
from torch import Tensor
from torch.nn import functional as F

from vireid_cli.types import Size

WORD = 8
"""Bytes that are copied or masked at once, where the width of a row allows."""


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
    whole = (images.shape[1], images.shape[2])
    size = crop or whole
    if not pad and size == whole:
        return change_struck(images.clone(), flip, _mirror)
    cut = _gather(images, top - pad, left - pad, size)
    if pad:
        _paint(cut, top - pad, left - pad, whole, pad, value)
        # Runs of the first and the last image may reach beyond the batch's memory, where there is nothing
        # to read: these two are cut from padded copies.
        ends = slice(None, None, max(1, len(images) - 1))
        padded = F.pad(images[ends], (0, 0, pad, pad, pad, pad), value=value).contiguous()
        cut[ends] = _gather(padded, top[ends], left[ends], size)
    return change_struck(cut, flip, _mirror)


def _gather(images: Tensor, top: Tensor, left: Tensor, size: Size) -> Tensor:
    """Crops as runs of the flat batch: (B, H, W, 3), offsets (B,) that may be negative → (B, H', W', 3)."""
    count, tall, wide, _ = images.shape
    height, width = size
    pixels = count * tall * wide
    rows = (top[:, None] + torch.arange(height, device=images.device)).clamp(0, tall - 1)  # (B, H')
    rows = rows + torch.arange(count, device=images.device)[:, None] * tall
    start = (rows * wide + left[:, None]).clamp(0, pixels - width)
    runs = images.as_strided((pixels - width + 1, width * 3), (3, 1), images.storage_offset())
    return runs.index_select(0, start.flatten()).view(count, height, width, 3)


def _paint(cut: Tensor, top: Tensor, left: Tensor, whole: Size, pad: int, value: int) -> None:
    """Write the border's grey level, in place, where a crop reaches beyond its image of size ``whole``."""
    count, height, width, _ = cut.shape
    x = left[:, None] + torch.arange(width, device=cut.device)  # (B, W')
    y = top[:, None] + torch.arange(height, device=cut.device)  # (B, H')
    inside = ((x >= 0) & (x < whole[1])).to(torch.uint8).mul_(255)
    columns = inside[:, :, None].expand(-1, -1, 3).reshape(count, 1, width * 3)
    lanes, columns = _words(cut.view(count, height, width * 3)), _words(columns)
    rows = ((y >= 0) & (y < whole[0])).to(lanes.dtype).neg_()[:, :, None]  # all bits or none
    level = None
    if value:
        level = torch.full((WORD,), value, dtype=torch.uint8, device=cut.device).view(lanes.dtype)[:1]
    edge = -(-pad * 3 // lanes.element_size())
    for side in (slice(None, edge), slice(-edge, None)):
        _keep(lanes[:, :, side], columns[:, :, side], level)
    for side in (slice(None, pad), slice(-pad, None)):
        _keep(lanes[:, side], rows[:, side], level)


def _keep(lanes: Tensor, mask: Tensor, level: Tensor | None) -> None:
    """Keep the bits that the mask has, in place, and take the others from ``level``; None: they are 0."""
    lanes.bitwise_and_(mask)
    if level is not None:
        lanes.bitwise_or_(mask.bitwise_not() & level)


def _mirror(images: Tensor) -> Tensor:
    """(n, H, W, 3) mirrored; on the CPU by OpenCV.

    OpenCV mirrors single bytes and swaps channels by vector instructions, pixels of three bytes one by one:
    so whole rows are mirrored byte by byte, and their channels put back in order.
    """
    if images.device.type != "cpu" or not len(images):
        return images.flip(2)
    count, height, width, _ = images.shape
    rows = images.numpy().reshape(count * height, width * 3)
    pixels = cv2.flip(rows, 1).reshape(count * height, width, 3)
    cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR, dst=pixels)  # red and blue change places again
    return torch.from_numpy(pixels).view(count, height, width, 3)


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
    index = struck.nonzero()[:, 0]
    changed = change(*(tensor.index_select(0, index) for tensor in (images, *each)))
    _words(images.flatten(1))[index] = _words(changed.contiguous().flatten(1))
    return images


def _may_count(device: torch.device) -> bool:
    """Whether reading a count off the device costs nothing."""
    return device.type == "cpu"


def _words(rows: Tensor) -> Tensor:
    """The same memory with the last axis in words of 8 bytes where that comes out even."""
    return rows.view(torch.int64) if rows.shape[-1] * rows.element_size() % WORD == 0 else rows
