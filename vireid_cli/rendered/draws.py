"""Random streams that depend on their key only.

Every random number of the benchmark comes from a Philox generator keyed by (seed, purpose, pid, camid,
frame). An image therefore does not depend on the worker that renders it or on the images rendered before.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """Purpose of a stream; adding a purpose does not change the draws of the others."""

    PERSON = 1
    SPLIT = 2
    PRESENCE = 3
    SHOT = 4
    NOISE = 5
    SCENE = 6
    PERMUTATION = 7
    OCCLUDER = 8


def stream(seed: int, purpose: Purpose, *keys: int) -> np.random.Generator:
    """Return a generator keyed by the seed, the purpose and further numbers (pid, camid, frame)."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(int(purpose), *keys))
    return np.random.Generator(np.random.Philox(sequence))


def choose(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """Draw one key of ``weights`` in proportion to its weight."""
    names = list(weights)
    shares = np.cumsum([weights[name] for name in names])
    return names[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]
