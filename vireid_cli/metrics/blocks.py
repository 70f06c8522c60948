"""Work in blocks of queries on several threads: NumPy releases the interpreter lock while it sorts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from vireid_cli.processors import cores

BLOCK_BYTES = 1 << 20
"""Bytes of scores that one thread processes at once: about the size of a core's second-level cache."""


def for_each_block(
    total: int, step: int, work: Callable[[int, int], None], threads: int | None = None
) -> None:
    """Call ``work(first, last)`` for consecutive ranges that cover ``range(total)``, on several threads.

    Args:
        total: Number of rows.
        step: Rows per range; the last range may be shorter.
        work: Function that writes its own rows only; its exceptions propagate to the caller.
        threads: Number of threads; None uses one per core.
    """
    ranges = [(first, min(first + step, total)) for first in range(0, total, step)]
    workers = min(threads or cores(), len(ranges))
    if workers <= 1:
        for first, last in ranges:
            work(first, last)
        return
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work, first, last) for first, last in ranges]:
            done.result()
