"""Number of processor cores available to this process."""

from __future__ import annotations

import os


def cores() -> int:
    """Number of processor cores available to this process; respects its CPU affinity."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
