"""Options of ``prepare``, and the decoder that results from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vireid_cli.data.decode import UNRECORDED, Decoder
from vireid_cli.data.depth import AUTO, choose_decoder, parse_depth
from vireid_cli.data.fill import decoders
from vireid_cli.data.identity_split import IdentitySplit
from vireid_cli.data.sources import applies_exif
from vireid_cli.data.store import StoreInfo
from vireid_cli.data.store_fingerprint import fingerprint
from vireid_cli.errors import UsageError
from vireid_cli.types import Progress, RecordTable


@dataclass(frozen=True, slots=True)
class Choices:
    """Options; None keeps the store's value or, without a store, uses the dataset's default.

    Attributes:
        depth: Rule for 16-bit images: ``auto``, ``full`` or ``LOW:HIGH``.
        upright: Whether to apply the EXIF orientation.
        split: Rule that divides the people of an own folder without splits.
        replace: Whether an own folder at another root may replace the images of the store.
    """

    depth: str | None = None
    upright: bool | None = None
    split: IdentitySplit | None = None
    replace: bool = False

    def __post_init__(self) -> None:
        """Raise ``UsageError`` for an invalid depth, before any image is read."""
        if self.depth is not None:
            parse_depth(self.depth)


CHOICES = Choices()
Jobs = Callable[[str], Progress]
"""Function that creates a progress callback for a named job."""


def decoder_for(
    records: RecordTable,
    sizes: np.ndarray,
    info: StoreInfo,
    known: StoreInfo | None,
    choices: Choices,
    workers: int,
    progress: Progress | None,
) -> Decoder:
    """Return the decoder of a dataset; ranges of 16-bit images are measured only if the images changed.

    Args:
        records: The images.
        sizes: (N,) file sizes in bytes.
        info: Description of the store to write.
        known: Description of the existing store, or None.
        choices: Options of the user.
        workers: Number of threads.
        progress: Callback for the measuring of 16-bit images.

    Raises:
        UsageError: The dataset is an occluded tree, which has a fixed decoder, and ``choices`` is not empty.
    """
    fixed = info.provenance.occlusion.get("decoder")
    if fixed is not None:
        if (choices.depth, choices.upright) != (None, None):
            raise UsageError(
                f"--depth and --exif have no effect on {info.root}: its images are already decoded.",
                "Remove these options, or write the occluded tree from a base prepared with them.",
            )
        return Decoder.of_json(fixed)
    before = known.decoder if known and known.decoder.depth != UNRECORDED else None
    usual = Decoder(upright=applies_exif(info.dataset), depth=AUTO)
    depth = choices.depth or (before or usual).depth
    upright = (before or usual).upright if choices.upright is None else choices.upright
    if known and before and before.depth == depth and same_images(records, sizes, info, known):
        return replace(before, upright=upright)
    with decoders(workers) as pool:
        return choose_decoder(records, info.root, depth, upright, pool, progress)


def same_images(records: RecordTable, sizes: np.ndarray, info: StoreInfo, known: StoreInfo) -> bool:
    """Whether a store contains these images, judged by records and file sizes."""
    bad = {entry["path"] for entry in known.bad}
    kept = np.array([path not in bad for path in records.paths.tolist()], dtype=bool)
    mark = fingerprint(info.dataset, info.provenance, records.take(kept), sizes[kept], known.decoder)
    return mark == known.fingerprint
