"""Types shared by all packages: modality, record, batch, embeddings.

The module does not import torch, so that commands without a network start fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from vireid_cli.modality import Modality as Modality

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[int, int], None]
"""Callback with (done, total)."""

Size = tuple[int, int]
"""Image size as (height, width) in pixels."""

SIZE: Size = (288, 144)
"""Default input size, that of most papers."""

Resize = Literal["lanczos", "bicubic"]
"""Resize filter: Pillow's Lanczos, as in published code, or torch's bicubic."""

RESIZE: Resize = "lanczos"
"""Default resize filter."""

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Extensions of image files, in lower case."""

Side = Literal["query", "gallery"]
SIDES: tuple[Side, ...] = ("query", "gallery")
"""The two sides of a test."""

TESTED = ("test", *SIDES)
"""Splits of test images. A list (``records.csv``) can assign queries and gallery itself."""

TRIALS_MARK = "trials:"
"""Prefix of ``Record.split`` in datasets with one split per trial; one letter per trial follows."""

TRIAL_LETTERS = {"train": "r", "test": "e", "none": "-"}
"""Letter of each split in ``Record.split`` after ``TRIALS_MARK``."""

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of R, G, B for conversion to grey (ITU-R BT.601)."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Channel means and standard deviations (RGB, pixels in [0, 1]) of ImageNet backbones."""


@dataclass(frozen=True, slots=True)
class Record:
    """One image of one person.

    Attributes:
        path: Path relative to the dataset's root, with forward slashes.
        pid: Person number of the dataset.
        camid: Camera number of the dataset.
        modality: Visible or infrared.
        split: Split of this person: ``train``, ``val`` or ``test``; or ``query`` or ``gallery`` in datasets
            that assign test images to one side. In datasets with one split per trial: ``trials:`` and one
            letter per trial (``TRIAL_LETTERS``).
    """

    path: str
    pid: int
    camid: int
    modality: Modality
    split: str


@dataclass(frozen=True, slots=True)
class RecordTable:
    """Records as columns of equal length N, in a fixed order.

    Attributes:
        paths: (N,) unicode, paths relative to the dataset's root.
        pids: (N,) int64.
        camids: (N,) int64.
        modalities: (N,) uint8, ``Modality.code``.
        splits: (N,) unicode.
    """

    paths: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    modalities: np.ndarray
    splits: np.ndarray

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, name)) for name in self.__slots__}
        if len(lengths) != 1:
            raise ValueError(f"columns of a record table differ in length: {sorted(lengths)}")

    def __len__(self) -> int:
        """Number of images."""
        return len(self.paths)

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the rows as records."""
        for i in range(len(self)):
            yield self.row(i)

    @property
    def tested(self) -> np.ndarray:
        """(N,) bool: rows of test identities, on either side."""
        return np.isin(self.splits, TESTED)

    @property
    def has_cameras(self) -> bool:
        """Whether some modality has several cameras. Faces and RegDB have one camera per modality."""
        return any(len(np.unique(self.camids[self.modalities == m.code])) > 1 for m in Modality)

    def side(self, name: Side, modality: Modality) -> np.ndarray:
        """Row indices of one modality on one side of a test; split ``test`` belongs to both sides."""
        return np.flatnonzero(np.isin(self.splits, ("test", name)) & (self.modalities == modality.code))

    @property
    def trials(self) -> int:
        """Number of trials of a dataset with one split per trial; 0 for datasets with a single split."""
        marked = len(self) > 0 and str(self.splits[0]).startswith(TRIALS_MARK)
        return len(str(self.splits[0])) - len(TRIALS_MARK) if marked else 0

    def in_trial(self, trial: int) -> RecordTable:
        """Return the same rows with their split in one trial: ``train``, ``test`` or ``none``.

        Args:
            trial: Number of the trial, from 1.

        Raises:
            ValueError: The trial does not exist.
        """
        if not 1 <= trial <= self.trials:
            raise ValueError(f"trial {trial} of {self.trials}")
        letters = self.splits.astype(f"U{len(TRIALS_MARK) + self.trials}").view("U1").reshape(len(self), -1)
        column = letters[:, len(TRIALS_MARK) + trial - 1]
        splits = np.full(len(self), "none", dtype="U5")
        for split, letter in TRIAL_LETTERS.items():
            splits[column == letter] = split
        return RecordTable(self.paths, self.pids, self.camids, self.modalities, splits)

    def row(self, index: int) -> Record:
        """Return the record at ``index``."""
        return Record(
            str(self.paths[index]),
            int(self.pids[index]),
            int(self.camids[index]),
            Modality.of(self.modalities[index]),
            str(self.splits[index]),
        )

    def modality(self, index: int) -> Modality:
        """Return the modality of the image at ``index``."""
        return Modality.of(self.modalities[index])

    def take(self, index: np.ndarray) -> RecordTable:
        """Select the rows at ``index`` (integers or a boolean mask), in that order."""
        return RecordTable(*(getattr(self, name)[index] for name in self.__slots__))

    @staticmethod
    def of(records: list[Record]) -> RecordTable:
        """Convert a list of records to columns."""
        return RecordTable(
            np.array([r.path for r in records], dtype=np.str_),
            np.array([r.pid for r in records], dtype=np.int64),
            np.array([r.camid for r in records], dtype=np.int64),
            np.array([r.modality.code for r in records], dtype=np.uint8),
            np.array([r.split for r in records], dtype=np.str_),
        )


@dataclass(frozen=True, slots=True)
class Erasure:
    """Masks of random erasing: augmentation draws them, the network applies them.

    The masks are separate from the pixels because some methods transform an image before erasing (SEPG
    computes its SEG image) or erase after normalising (CAJ).

    Attributes:
        visible: (B, 1, H, W) bool, true for erased pixels of the visible images.
        infrared: (B, 1, H, W) bool, the same for the infrared images.
        second: (B, 1, H, W) bool, the same for the second view, or None.
        fill: RGB value of erased pixels.
        normalised: Whether ``fill`` is written after normalising by mean and standard deviation; otherwise
            it is a pixel value in [0, 1].
    """

    visible: Tensor
    infrared: Tensor
    fill: tuple[float, float, float]
    normalised: bool = False
    second: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """Channel exchange after normalising and erasing: augmentation draws it, the network applies it.

    CAJ exchanges normalised channels, so that their different means and deviations are part of the
    augmentation. Each row has the weights of the three channels in the grey image that replaces all of
    them. A row of zeros leaves the image unchanged.

    Attributes:
        infrared: (B, 3) float, weights of the infrared images.
        second: (B, 3) float, weights of the second view, or None.
        visible: (B, 3) float, weights of the visible images (the first view), or None.
    """

    infrared: Tensor
    second: Tensor | None = None
    visible: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """P identities × K images of each modality, B = P·K.

    Attributes:
        visible: (B, 3, H, W) float pixels in [0, 1], RGB, not normalised.
        infrared: (B, 3, H, W) float, in the same format.
        labels: (B,) int64 in 0..C−1. Both modalities have the same order of identities, with the images of
            each identity contiguous.
        visible_camids: (B,) int64, or None.
        infrared_camids: (B,) int64, or None.
        erase: Masks of random erasing, or None.
        second: (B, 3, H, W) second view of the visible images with independent cropping, flipping and
            erasing (CAJ), or None.
        exchange: Channel exchange after normalising and erasing, or None.
    """

    visible: Tensor
    infrared: Tensor
    labels: Tensor
    visible_camids: Tensor | None = None
    infrared_camids: Tensor | None = None
    erase: Erasure | None = None
    second: Tensor | None = None
    exchange: Exchange | None = None


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Embeddings of N images with their labels.

    Attributes:
        features: (N, D) float32, rows of unit length unless the protocol differs.
        pids: (N,) int64.
        camids: (N,) int64.
        modalities: (N,) uint8, ``Modality.code``.
        paths: (N,) unicode; empty strings if unknown.
    """

    features: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    modalities: np.ndarray
    paths: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.str_))

    def __post_init__(self) -> None:
        if len(self.paths) == 0:
            object.__setattr__(self, "paths", np.full(len(self.pids), "", dtype=np.str_))
        lengths = {len(getattr(self, name)) for name in self.__slots__}
        if len(lengths) != 1:
            raise ValueError(f"columns of embeddings differ in length: {sorted(lengths)}")

    def __len__(self) -> int:
        """Number of images, N."""
        return len(self.pids)

    def take(self, index: np.ndarray) -> Embeddings:
        """Select the rows at ``index``, in that order."""
        return Embeddings(*(getattr(self, name)[index] for name in self.__slots__))

    def to_float64(self) -> Embeddings:
        """Convert the features to float64, so that their products rank alike on every device."""
        return replace(self, features=self.features.astype(np.float64))
