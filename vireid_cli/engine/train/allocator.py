"""Freed memory kept for the next training step, on a CPU."""

from __future__ import annotations

import ctypes
import sys

import torch

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
"""Numbers of malloc's parameters in glibc's malloc.h."""

AT_A_TIME = 64 * 2**20
"""Bytes that are asked of the system at least."""


def keep_freed_memory(device: torch.device) -> bool:
    """Let the C library keep what a step frees, for the next one to use; whether it does now.

    It hands every large piece back to the system, which then clears it again page by page: a tenth of
    a step's time, more for large batches. The process is as large as its largest step until it ends.
    Nothing is done on a GPU, whose memory PyTorch keeps by itself, nor where the C library is not glibc.
    """
    if device.type != "cpu" or not sys.platform.startswith("linux"):
        return False
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if change is None:
        return False
    # Never to the system what is free at the end of the heap (−1), and nothing outside of the heap.
    return all(
        change(ctypes.c_int(name), ctypes.c_int(value)) == 1
        for name, value in ((TRIM_THRESHOLD, -1), (TOP_PAD, AT_A_TIME), (MMAP_MAX, 0))
    )
