"""Sampler of P×K batches: P identities without replacement, K images per modality with replacement.

docs/methods.md#batches. The images of an identity are contiguous, and both modalities have the same order of
identities. An epoch has floor(N / (P·K)) + 1 batches, with N the number of images of the larger modality. All
batches of an epoch are drawn at once from a generator keyed by (seed, epoch). The sampler therefore has no
state, and a resumed run draws the same batches as an uninterrupted one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vireid_cli.counts import counted
from vireid_cli.errors import UsageError
from vireid_cli.types import Modality

KEYS_AT_ONCE = 1 << 16
"""Number of random keys per block when drawing identities: 512 KB, which fit a core's cache."""


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """Rows of all batches of one epoch: S batches of B = P·K images per modality.

    Attributes:
        visible: (S, B) int64 rows of visible images.
        infrared: (S, B) int64 rows of infrared images.
        labels: (S, B) int64 in 0..C−1, for both modalities; each label is repeated K times.
    """

    visible: np.ndarray
    infrared: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class _Index:
    """Rows of one modality, grouped by label.

    Attributes:
        rows: (M,) int64, sorted by label.
        starts: (C,) first position of each label in ``rows``.
        counts: (C,) number of rows of each label.
    """

    rows: np.ndarray
    starts: np.ndarray
    counts: np.ndarray

    @staticmethod
    def of(rows: np.ndarray, labels: np.ndarray, classes: int) -> _Index:
        """Group ``rows`` (M,) by ``labels`` (M,) in 0..classes−1."""
        counts = np.bincount(labels, minlength=classes)
        narrow = labels.astype(np.uint16) if classes <= 2**16 else labels  # sorted by radix: 10 × faster
        return _Index(rows[np.argsort(narrow, kind="stable")], np.cumsum(counts) - counts, counts)

    def draw(self, labels: np.ndarray, images: int, generator: np.random.Generator) -> np.ndarray:
        """Draw ``images`` rows of each label with replacement: (S, P) → (S, P·images)."""
        # In float64 the product of a count and a number below 1 is less than the count.
        nth = (generator.random((*labels.shape, images)) * self.counts[labels][..., None]).astype(np.int64)
        return self.rows[self.starts[labels][..., None] + nth].reshape(len(labels), -1)  # (S, P·K)


def _ranked(pids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct numbers, ascending, and the index of each element of ``pids`` among them."""
    if len(pids) == 0 or pids.min() < 0 or pids.max() > 64 * len(pids):
        return np.unique(pids, return_inverse=True)
    present = np.bincount(pids) > 0  # for small numbers a table is faster than sorting
    return np.flatnonzero(present), (np.cumsum(present) - 1)[pids]


class IdentitySampler:
    """Sampler of P identities without replacement × K images per modality with replacement.

    Attributes:
        labels_of: Label in 0..C−1 by person number, in ascending order of the numbers.
        dropped: Person numbers without images of one modality, ascending; they are not sampled.
        steps: Number of batches per epoch.
        num_identities: Number C of identities.
    """

    def __init__(
        self,
        pids: np.ndarray,
        modalities: np.ndarray,
        identities: int,
        images: int,
        seed: int,
        steps: int | None = None,
    ) -> None:
        """Group the images by identity and modality.

        Args:
            pids: (N,) person numbers of the training images. The rows of a plan are indices of this axis.
            modalities: (N,) ``Modality.code``.
            identities: Number P of identities per batch.
            images: Number K of images per identity and modality.
            seed: Seed; with the epoch, it determines all draws.
            steps: Number of batches per epoch, by default floor(N / (P·K)) + 1 with N the images of the
                larger modality, of identities with both modalities.

        Raises:
            UsageError: Fewer than P identities have images in both modalities.
        """
        codes = np.asarray(modalities).astype(np.int64)
        numbers, every = _ranked(np.asarray(pids).astype(np.int64))
        counts = np.bincount(2 * every + codes, minlength=2 * len(numbers)).reshape(-1, 2)  # (ids, modality)
        usable: np.ndarray = counts.min(axis=1) > 0
        self.dropped: list[int] = numbers[~usable].tolist()
        self.num_identities = int(usable.sum())
        if self.num_identities < identities:
            raise UsageError(
                f"a batch needs {counted(identities, 'identity')} with images in both modalities; "
                f"there are {self.num_identities}",
                "Lower data.sampler.identities, or train on a split with more identities.",
            )
        self.labels_of: dict[int, int] = dict(
            zip(numbers[usable].tolist(), range(self.num_identities), strict=True)
        )
        labels = (np.cumsum(usable) - 1)[every]
        self._index = {}
        for modality in Modality:
            rows = np.flatnonzero((codes == modality.code) & usable[every])
            self._index[modality] = _Index.of(rows, labels[rows], self.num_identities)
        larger = max(len(index.rows) for index in self._index.values())
        self.identities, self.images, self.seed = identities, images, seed
        self.steps = larger // (identities * images) + 1 if steps is None else steps

    def plan(self, epoch: int) -> EpochPlan:
        """Draw the batches of ``epoch``, from 0; deterministic for each (seed, epoch)."""
        generator = np.random.Generator(np.random.Philox(np.random.SeedSequence((self.seed, epoch))))
        labels = self._draw_identities(generator)  # (S, P)
        visible = self._index[Modality.VISIBLE].draw(labels, self.images, generator)
        infrared = self._index[Modality.INFRARED].draw(labels, self.images, generator)
        return EpochPlan(visible, infrared, np.repeat(labels, self.images, axis=1))

    def _draw_identities(self, generator: np.random.Generator) -> np.ndarray:
        """Draw (S, P) labels, distinct and in random order in each row: those of the P smallest random keys.

        The lowest bits of a key are its label, so the function partitions values instead of indices.
        """
        block, bits = max(1, KEYS_AT_ONCE // self.num_identities), np.uint64(self.num_identities.bit_length())
        every, low = np.arange(self.num_identities, dtype=np.uint64), (np.uint64(1) << bits) - np.uint64(1)
        drawn = []
        for first in range(0, self.steps, block):
            shape = (min(block, self.steps - first), self.num_identities)
            keys = generator.integers(0, 2**64 - 1, shape, dtype=np.uint64, endpoint=True)
            keys &= ~low
            keys |= every
            keys.partition(self.identities - 1, axis=1)
            drawn.append((np.sort(keys[:, : self.identities], axis=1) & low).astype(np.int64))
        return np.concatenate(drawn)
