"""Threads of the network on the CPU: each computes its own batches, on one processor core.

Products of matrices are summed in another order for another number of threads: embeddings of a ResNet-50 by
one and by two threads of PyTorch differ by 7e-8. Here a batch always has one thread, so the embeddings are
equal to the bit for any number of cores. Small batches on several threads are as fast as one large batch: a
ResNet-50 at 288x144 takes 66 ms of processor time per image in batches of 16, and 79 ms in batches of 64.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from vireid_cli.engine.embed import BATCH
from vireid_cli.engine.model import Model

CPU_BATCH = 16
"""Default images per forward pass on the CPU."""


def default_batch(model: Model) -> int:
    """Return the default number of images per forward pass on the device of a model."""
    return CPU_BATCH if model.embedder.on_cpu else BATCH


@contextmanager
def compute_threads(model: Model) -> Iterator[ThreadPoolExecutor | None]:
    """Open one thread per thread of PyTorch, each limited to one core; None for a model on a GPU."""
    if not model.embedder.on_cpu:
        yield None
        return
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(count, thread_name_prefix="embed")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(count)
