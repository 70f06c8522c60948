"""A prepared store as a PyTorch dataset, for training loops of other projects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vireid_cli.data.store import Store, open_store_at
from vireid_cli.errors import UsageError
from vireid_cli.types import Modality, RecordTable, Size

SPLITS = ("train", "val", "trainval", "test", "all")


class Sample(NamedTuple):
    """One image with its labels; PyTorch's default collation turns samples into a batch.

    Attributes:
        image: (3, H, W) float32 RGB in [0, 1], not normalised, or the result of the dataset's transform.
        label: Index of the identity among those of the split, 0..C−1.
        pid: The dataset's number of the person.
        camid: The dataset's number of the camera.
        modality: 0 visible, 1 infrared (``Modality.code``).
        path: Path of the image file, relative to the dataset's root.
    """

    image: Tensor
    label: int
    pid: int
    camid: int
    modality: int
    path: str


@dataclass(eq=False)
class PersonDataset(Dataset[Sample]):
    """Images of one split of a prepared store.

    The pixels are memory-mapped: each worker process maps the file, and no pixels are copied to it.

    Attributes:
        store: The prepared store.
        size: (height, width) of the images in pixels.
        records: One row per sample.
        rows: (N,) rows of the samples in the store.
        transform: Applied to each (3, H, W) image; None: no transform.
        pids: (C,) person number of each label.
        labels: (N,) labels, 0..C−1.
    """

    store: Store
    size: Size
    records: RecordTable
    rows: np.ndarray
    transform: Callable[[Tensor], Tensor] | None = None
    pids: np.ndarray = field(init=False)
    labels: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.pids, self.labels = np.unique(self.records.pids, return_inverse=True)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        """Return one image with its labels. Raises ``IndexError`` beyond the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        return self.__getitems__([index % len(self)])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Return several images, read from the store at once; PyTorch's data loader calls this method."""
        selected = np.asarray(indices, dtype=np.int64)
        pixels = self.store.batch(self.size, self.rows[selected])  # (n, H, W, 3) uint8
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255.0)
        table = self.records
        return [
            Sample(
                image if self.transform is None else self.transform(image),
                int(self.labels[i]),
                int(table.pids[i]),
                int(table.camids[i]),
                int(table.modalities[i]),
                str(table.paths[i]),
            )
            for image, i in zip(images, selected, strict=True)
        ]

    def file(self, index: int) -> Path:
        """Return the path of an image's original file."""
        return self.store.info.root / str(self.records.paths[index])

    def __getstate__(self) -> dict[str, Any]:
        """Replace the store by its folder and resize rule, because a memory map can't be pickled."""
        return {**self.__dict__, "store": (self.store.folder, self.store.resize)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the store in this process."""
        self.__dict__.update({**state, "store": open_store_at(*state["store"])})


def dataset_of(
    store: Store,
    size: Size,
    split: str = "train",
    *,
    modality: Modality | None = None,
    trial: int = 1,
    transform: Callable[[Tensor], Tensor] | None = None,
) -> PersonDataset:
    """Create the dataset of one split of a prepared store.

    Args:
        store: The prepared store.
        size: (height, width) in pixels; the store must hold this size.
        split: One of ``SPLITS``; ``trainval`` is the training split of most papers on SYSU-MM01.
        modality: Include images of this modality only; None: both.
        trial: Number of the split, from 1, of a dataset with several splits (RegDB).
        transform: Applied to each (3, H, W) float image in [0, 1].

    Raises:
        UsageError: The split is unknown or has no images.
    """
    if split not in SPLITS:
        raise UsageError(f"There is no split '{split}'.", f"Choose: {', '.join(SPLITS)}")
    table = store.records_in_trial(trial)
    names = {"trainval": ("train", "val"), "all": tuple(np.unique(table.splits))}.get(split, (split,))
    selected = np.isin(table.splits, names)
    if modality is not None:
        selected &= table.modalities == modality.code
    rows = np.flatnonzero(selected)
    if len(rows) == 0:
        kind = f" {modality.value}" if modality else ""
        raise UsageError(f"{store.info.dataset} has no{kind} image in the split '{split}'.")
    return PersonDataset(store, size, table.take(rows), rows, transform)
