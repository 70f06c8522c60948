"""Number of processor cores available to this process, and of the processes that may share them."""

from __future__ import annotations

import os


def cores() -> int:
    """Number of processor cores available to this process; respects its CPU affinity."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def most_processes() -> int:
    """Largest accepted number of processes or threads of one command: four for each core, at least 16.

    More of them do not compute faster, and hundreds make a machine unusable.
    """
    return max(16, 4 * cores())
