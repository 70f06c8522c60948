"""Wall-clock seconds of pieces of work that take turns, so that a slow minute strikes all alike."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping

from vireid_cli.engine.runtime import Runtime


def interleaved(
    works: Mapping[str, Callable[[], object]], repeats: int, runtime: Runtime
) -> dict[str, float]:
    """Median seconds of each piece of work, run in turn ``repeats`` times after one warm-up."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            runtime.synchronize()
            began = time.perf_counter()
            work()
            runtime.synchronize()
            if turn:
                taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in taken.items()}


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes; 0 where the system doesn't tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
