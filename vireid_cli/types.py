"""The shared words: modality, record, batch, embeddings.

Nothing here imports torch when it is loaded, so that a help text or a results table stays fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[int, int], None]
"""Called with (done, total)."""

Size = tuple[int, int]
"""Image size as (height, width) in pixels."""

SIZE: Size = (288, 144)
"""The input size of most papers of the field."""

Resize = Literal["lanczos", "bicubic"]
"""Rule by which images are resized: Pillow's Lanczos filter, as the field does, or torch's cubic one."""

RESIZE: Resize = "lanczos"
"""The default rule."""

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
"""Endings of image files, in lower case."""

Side = Literal["query", "gallery"]
SIDES: tuple[Side, ...] = ("query", "gallery")
"""The two sides of a test."""

TRIALS_MARK = "trials:"
"""Begins the split of an image whose dataset is split anew in each trial: a letter a trial follows."""

TRIAL_LETTERS = {"train": "r", "test": "e", "none": "-"}

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of R, G, B in a grey image (ITU-R BT.601)."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Channel statistics (RGB, pixels in [0, 1]) that ImageNet backbones were trained with."""


class Modality(StrEnum):
    """The two sides of the task."""

    VISIBLE = "visible"
    INFRARED = "infrared"

    @property
    def code(self) -> int:
        """0 for visible, 1 for infrared: how the modality stands in integer columns."""
        return 0 if self is Modality.VISIBLE else 1

    @property
    def other(self) -> Modality:
        """The opposite modality."""
        return Modality.INFRARED if self is Modality.VISIBLE else Modality.VISIBLE

    @staticmethod
    def of(code: int) -> Modality:
        """The modality whose ``code`` this is."""
        return Modality.VISIBLE if int(code) == 0 else Modality.INFRARED


@dataclass(frozen=True, slots=True)
class Record:
    """One image of one person.

    Attributes:
        path: Relative to the dataset's root, with forward slashes.
        pid: The dataset's own person number.
        camid: The dataset's own camera number.
        modality: Visible or infrared.
        split: The dataset's own split of this person: ``train``, ``val`` or ``test``; ``query`` or
            ``gallery`` where the dataset says on which side of a test an image stands. Where a dataset
            is split anew in each trial, ``trials:`` and a letter a trial (``TRIAL_LETTERS``).
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
        paths: (N,) unicode, relative to the dataset's root.
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
        """The rows as records, in order."""
        for i in range(len(self)):
            yield self.row(i)

    @property
    def tested(self) -> np.ndarray:
        """(N,) bool: rows of test identities, on whichever side."""
        return np.isin(self.splits, ("test", *SIDES))

    @property
    def has_cameras(self) -> bool:
        """Whether camera numbers say more than modalities: faces and RegDB have one a modality."""
        return any(len(np.unique(self.camids[self.modalities == m.code])) > 1 for m in Modality)

    def side(self, name: Side, modality: Modality) -> np.ndarray:
        """Rows of one modality that stand on one side of a test; those of split ``test`` stand on both."""
        return np.flatnonzero(np.isin(self.splits, ("test", name)) & (self.modalities == modality.code))

    @property
    def trials(self) -> int:
        """Number of trials in which the dataset is split anew; 0 where it has one split for all."""
        marked = len(self) > 0 and str(self.splits[0]).startswith(TRIALS_MARK)
        return len(str(self.splits[0])) - len(TRIALS_MARK) if marked else 0

    def in_trial(self, trial: int) -> RecordTable:
        """The same rows with their split (``train``, ``test``, ``none``) in one trial, from 1.

        Raises:
            ValueError: There is no such trial.
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
        """The record at ``index``."""
        return Record(
            str(self.paths[index]),
            int(self.pids[index]),
            int(self.camids[index]),
            Modality.of(self.modalities[index]),
            str(self.splits[index]),
        )

    def modality(self, index: int) -> Modality:
        """The modality of the image at ``index``."""
        return Modality.of(self.modalities[index])

    def take(self, index: np.ndarray) -> RecordTable:
        """The rows at ``index`` (integers or a boolean mask), in that order."""
        return RecordTable(*(getattr(self, name)[index] for name in self.__slots__))

    @staticmethod
    def of(records: list[Record]) -> RecordTable:
        """Columns of a list of records."""
        return RecordTable(
            np.array([r.path for r in records], dtype=np.str_),
            np.array([r.pid for r in records], dtype=np.int64),
            np.array([r.camid for r in records], dtype=np.int64),
            np.array([r.modality.code for r in records], dtype=np.uint8),
            np.array([r.split for r in records], dtype=np.str_),
        )


@dataclass(frozen=True, slots=True)
class Erasure:
    """Where random erasing strikes; drawn by augmentation, applied by the network.

    A method may transform an image first (SEPG makes its SEG image before erasing) or erase after
    normalising (CAJ), so the rectangles travel as masks.

    Attributes:
        visible: (B, 1, H, W) bool, true where a visible pixel is erased.
        infrared: (B, 1, H, W) bool.
        second: (B, 1, H, W) bool of the second view; None: there is none.
        fill: RGB value written there, in the space that ``normalised`` names.
        normalised: False: ``fill`` is in pixels [0, 1]; True: it is written after mean/std.
    """

    visible: Tensor
    infrared: Tensor
    fill: tuple[float, float, float]
    normalised: bool = False
    second: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """What becomes of colours after normalising and erasing; drawn by augmentation, applied by the network.

    CAJ exchanges channels there, so that their different means and deviations are part of the
    augmentation. A row is the weights of the three channels in the one that replaces them all; a row of
    zeros leaves an image as it is.

    Attributes:
        infrared: (B, 3) float.
        second: (B, 3) float, of the second view; None: there is none.
    """

    infrared: Tensor
    second: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """P identities × K images of each modality, B = P·K.

    Attributes:
        visible: (B, 3, H, W) float pixels in [0, 1], RGB, not normalised.
        infrared: (B, 3, H, W), the same.
        labels: (B,) int64 in 0..C−1, valid for both modalities: identities in the same order,
            contiguous by identity.
        visible_camids: (B,) int64, or None.
        infrared_camids: (B,) int64, or None.
        erase: Masks of random erasing, or None.
        second: (B, 3, H, W) another view of the visible images, cropped, flipped and erased by draws of
            its own (CAJ), or None.
        exchange: Channels exchanged after normalising and erasing, or None.
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
    """Embeddings of N images beside what is known of them.

    Attributes:
        features: (N, D) float32, rows of unit length unless the protocol says otherwise.
        pids: (N,) int64.
        camids: (N,) int64.
        modalities: (N,) uint8, ``Modality.code``.
        paths: (N,) unicode; empty strings where unknown.
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
        """The rows at ``index``, in that order."""
        return Embeddings(*(getattr(self, name)[index] for name in self.__slots__))

    def widened(self) -> Embeddings:
        """The same in float64: one product then ranks alike on every device."""
        return replace(self, features=self.features.astype(np.float64))
