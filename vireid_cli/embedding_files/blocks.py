"""Check of the blocks of embeddings while a file is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def counted(blocks: Iterable[np.ndarray], shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield blocks of rows as contiguous float32, and count them.

    Args:
        blocks: (n, D) arrays of consecutive rows.
        shape: Expected (N, D) of all blocks together.

    Raises:
        ValueError: A block has another width, or the blocks have more or fewer rows than N.
    """
    rows = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[1] != shape[1]:
            raise ValueError(f"a block of embeddings has shape {block.shape}, expected (n, {shape[1]})")
        rows += len(block)
        if rows > shape[0]:
            break
        yield np.ascontiguousarray(block, dtype=np.float32)
    if rows != shape[0]:
        raise ValueError(f"the blocks of embeddings have {rows} rows or more, expected {shape[0]}")
