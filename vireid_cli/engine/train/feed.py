"""Batches of training images on the device, read from the prepared store.

If the training set fits in GPU memory beside the network, it is uploaded once as uint8; otherwise each
batch is read from the memory map. Augmentation converts pixels to float.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vireid_cli.data.augment import augment_batch
from vireid_cli.engine.runtime import Runtime, generator
from vireid_cli.recipe.augmentation import Augment
from vireid_cli.sharding.share import Rows
from vireid_cli.types import Batch, Size

if TYPE_CHECKING:
    from vireid_cli.data.sampler import EpochPlan
    from vireid_cli.data.store import Store

RESIDENT_SHARE = 0.4
"""Largest share of the GPU's free memory that the training set may take."""


class Pixels:
    """Uint8 pixels of the store, loaded to the device by row.

    Args:
        store: The prepared store.
        size: (height, width) in pixels; the store must hold this size.
        rows: Row indices that ``batch`` will receive; a GPU keeps them resident if they fit.
        runtime: Its device receives the batches.
    """

    def __init__(self, store: Store, size: Size, rows: np.ndarray, runtime: Runtime) -> None:
        self._store, self._size, self._device = store, size, runtime.device
        self._resident: Tensor | None = None
        self._place = np.zeros(0, dtype=np.int64)
        if runtime.device.type == "cuda" and self._fits(len(rows)):
            unique = np.unique(rows)
            self._place = np.full(int(unique[-1]) + 1, -1, dtype=np.int64)
            self._place[unique] = np.arange(len(unique))
            self._resident = self._upload(unique)

    @property
    def resident(self) -> bool:
        """Whether all pixels are in GPU memory."""
        return self._resident is not None

    def batch(self, rows: np.ndarray) -> Tensor:
        """Return the pixels of these rows of the store: (B, H, W, 3) uint8 on the device."""
        if self._resident is not None:
            index = torch.from_numpy(self._place[rows]).to(self._device, non_blocking=True)
            return self._resident[index]
        pixels = torch.from_numpy(self._store.batch(self._size, rows))
        if self._device.type == "cuda":
            return pixels.pin_memory().to(self._device, non_blocking=True)
        return pixels.to(self._device)

    def _fits(self, images: int) -> bool:
        free, _ = torch.cuda.mem_get_info(self._device)
        return images * self._size[0] * self._size[1] * 3 < RESIDENT_SHARE * free

    def _upload(self, rows: np.ndarray, block: int = 2048) -> Tensor:
        """Copy rows to the device block by block, which bounds the host memory."""
        whole = torch.empty((len(rows), *self._size, 3), dtype=torch.uint8, device=self._device)
        for start in range(0, len(rows), block):
            part = self._store.batch(self._size, rows[start : start + block])
            whole[start : start + len(part)] = torch.from_numpy(part).to(self._device)
        return whole


class Feed:
    """Batches of an epoch's plan, augmented on the device.

    The batch of step s in epoch e depends only on (seed, e, s), so a resumed run trains on the same
    batches as an uninterrupted one, for any number of workers.
    """

    def __init__(
        self,
        pixels: Pixels,
        rows: np.ndarray,
        camids: np.ndarray,
        augment: Augment,
        seed: int,
        runtime: Runtime,
        share: Rows | None = None,
    ) -> None:
        """Create a feed.

        Args:
            pixels: Source of the pixels.
            rows: (N,) row of the store of each training image; plans index this axis.
            camids: (M,) camera of each row of the store.
            augment: Augmentation options.
            seed: Seed of the augmentation.
            runtime: Its device receives the batches.
            share: Rows of each batch that this rank computes; None: all.
        """
        self._pixels, self._rows, self._camids, self._augment = pixels, rows, camids, augment
        self._seed, self._device, self._share = seed, runtime.device, share

    def store_rows(self, plan: EpochPlan, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the store's rows of one batch: visible and infrared, (B,) each."""
        return self._rows[plan.visible[step]], self._rows[plan.infrared[step]]

    def labels(self, plan: EpochPlan, step: int) -> Tensor:
        """Labels of the whole batch of one step, (B,) on the device."""
        return self._to_device(plan.labels[step])

    def batch(self, plan: EpochPlan, epoch: int, step: int, *, whole: bool = False) -> Batch:
        """Load and augment the batch of one step: the rows of this rank, or all with ``whole``."""
        share = None if whole else self._share
        own = slice(None) if share is None else share.rows
        # A CPU generator gives the same draws on every device.
        draw = generator(torch.device("cpu"), self._seed, "augment", epoch, step)
        rows = [side[own] for side in self.store_rows(plan, step)]
        pixels = [self._pixels.batch(side) for side in rows]
        images = augment_batch(pixels[0], pixels[1], self._augment, draw, share)
        return Batch(
            **images._asdict(),
            labels=self._to_device(plan.labels[step][own]),
            visible_camids=self._to_device(self._camids[rows[0]]),
            infrared_camids=self._to_device(self._camids[rows[1]]),
        )

    def _to_device(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device, non_blocking=True)
