"""Keep freed memory in the process for the next training step, on a CPU."""

from __future__ import annotations

import ctypes
import sys

import torch

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
"""Numbers of the parameters of ``mallopt`` in glibc's malloc.h."""

PAD_BYTES = 64 * 2**20
"""Least number of bytes that malloc requests from the system at once."""


def keep_freed_memory(device: torch.device) -> bool:
    """Configure glibc's malloc to reuse freed memory instead of returning it to the system.

    By default malloc returns large blocks, and the system clears their pages when they are allocated
    anew: a tenth of a step's time, more for large batches. The process then keeps the memory of its
    largest step until it ends. GPUs and other C libraries are not affected; PyTorch caches GPU memory.

    Returns:
        Whether the setting is active.
    """
    if device.type != "cpu" or not sys.platform.startswith("linux"):
        return False
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if change is None:
        return False
    # Never trim the heap's end (−1), and allocate nothing outside the heap (0 memory maps).
    return all(
        change(ctypes.c_int(name), ctypes.c_int(value)) == 1
        for name, value in ((TRIM_THRESHOLD, -1), (TOP_PAD, PAD_BYTES), (MMAP_MAX, 0))
    )
