"""Interleaved timing, so that fluctuations of the machine affect all functions alike."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping

from vireid_cli.engine.runtime import Runtime


def interleaved(
    works: Mapping[str, Callable[[], object]], repeats: int, runtime: Runtime
) -> dict[str, float]:
    """Call the functions in turn ``repeats`` times after a warm-up, and return the median seconds of each."""
    return {name: statistics.median(values) for name, values in seconds_of(works, repeats, runtime).items()}


def seconds_of(
    works: Mapping[str, Callable[[], object]], repeats: int, runtime: Runtime, *, calls: int = 1
) -> dict[str, list[float]]:
    """Call the functions in turn after a warm-up, and return the seconds of a call in each repetition.

    Args:
        works: Functions by name.
        repeats: Number of repetitions.
        runtime: Device that the functions use.
        calls: Calls per repetition. Several calls without a wait between them show the speed of a GPU that
            receives work in advance.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            runtime.synchronize()
            start = time.perf_counter()
            for _ in range(calls):
                work()
            runtime.synchronize()
            if turn:
                times[name].append((time.perf_counter() - start) / calls)
    return times


def peak_memory() -> int:
    """Peak resident size of this process in bytes; 0 on systems without this information."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
