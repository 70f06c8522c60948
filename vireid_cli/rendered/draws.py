"""Random streams that depend on nothing but their key.

Every number of the benchmark is drawn from a Philox generator keyed by (seed, purpose, pid, camid, frame).
An image is therefore the same whichever worker renders it, and whatever was rendered before it.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for; a new purpose never disturbs the draws of an old one."""

    PERSON = 1
    SPLIT = 2
    PRESENCE = 3
    SHOT = 4
    NOISE = 5
    SCENE = 6
    PERMUTATION = 7


def stream(seed: int, purpose: Purpose, *keys: int) -> np.random.Generator:
    """A generator keyed by the seed, the purpose and any further numbers (pid, camid, frame)."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(int(purpose), *keys))
    return np.random.Generator(np.random.Philox(sequence))


def choose(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """One key of ``weights``, drawn in proportion to its weight."""
    names = list(weights)
    shares = np.cumsum([weights[name] for name in names])
    return names[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]
