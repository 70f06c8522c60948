"""A user's choices about the pixels of a dataset, and the decoder that follows from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vireid_cli.data.decode import UNRECORDED, Decoder
from vireid_cli.data.depth import AUTO, choose_decoder, parse_depth
from vireid_cli.data.fill import decoders
from vireid_cli.data.sources import obeys_exif
from vireid_cli.data.store import StoreInfo, fingerprint
from vireid_cli.errors import UsageError
from vireid_cli.types import Progress, RecordTable


@dataclass(frozen=True, slots=True)
class Choices:
    """Choices about the pixels; None: as the store has it, else the dataset's usual way.

    Attributes:
        depth: Rule for 16-bit images: ``auto``, ``full`` or ``LOW:HIGH``.
        upright: Whether EXIF orientation is obeyed.
    """

    depth: str | None = None
    upright: bool | None = None

    def __post_init__(self) -> None:
        """Raise ``UsageError`` for a depth of another form, before any image is read."""
        if self.depth is not None:
            parse_depth(self.depth)


CHOICES = Choices()
Jobs = Callable[[str], Progress]
"""Makes a listener for the progress of a named job."""


def decoder_for(
    records: RecordTable,
    sizes: np.ndarray,
    info: StoreInfo,
    known: StoreInfo | None,
    choices: Choices,
    workers: int,
    progress: Progress | None,
) -> Decoder:
    """The decoder of a preparation; measured ranges are kept while the images are the same.

    Args:
        records: The images.
        sizes: (N,) their files' sizes in bytes.
        info: Of the store to write.
        known: Of the store as it is.
        choices: Of the user.
        workers: Threads.
        progress: Of measuring 16-bit images.

    Raises:
        UsageError: A choice that an occluded tree has made already.
    """
    made = info.provenance.occlusion.get("decoder")
    if made is not None:
        if choices != CHOICES:
            raise UsageError(
                f"--depth and --exif were decided when {info.root} was written.",
                "Leave them out, or write the occluded tree again from a base prepared with other choices.",
            )
        return Decoder.of_json(made)
    before = known.decoder if known and known.decoder.depth != UNRECORDED else None
    usual = Decoder(upright=obeys_exif(info.dataset), depth=AUTO)
    depth = choices.depth or (before or usual).depth
    upright = (before or usual).upright if choices.upright is None else choices.upright
    if known and before and before.depth == depth and _same_images(records, sizes, info, known):
        return replace(before, upright=upright)
    with decoders(workers) as pool:
        return choose_decoder(records, info.root, depth, upright, pool, progress)


def _same_images(records: RecordTable, sizes: np.ndarray, info: StoreInfo, known: StoreInfo) -> bool:
    """Whether a store was made from these images, by their records and the sizes of their files."""
    bad = {entry["path"] for entry in known.bad}
    kept = np.array([path not in bad for path in records.paths.tolist()], dtype=bool)
    mark = fingerprint(info.dataset, info.provenance, records.take(kept), sizes[kept], known.decoder)
    return mark == known.fingerprint
