"""Division of images into parts, which is the same for any number of processes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from vireid_cli.data.image_list import UNDECIDED, ListedImages
from vireid_cli.data.resize import PILLOW
from vireid_cli.embedding_files.origin import ModalityRule
from vireid_cli.engine.model import Model
from vireid_cli.types import Modality

PART = 256
"""Largest number of images of a part, at least one batch: a killed process loses at most two parts."""

PART_BYTES = 64 << 20
"""Largest size of the pixels of a part, unless one batch is larger."""


@dataclass(frozen=True)
class EmbedPlan:
    """Images with the model and the rules, in parts.

    The batches of a part depend on its images only. Embeddings therefore do not depend on the number of
    processes, to the last bit.

    Attributes:
        images: The images, after the rule of the modality.
        stats: (N, 2) int64: size in bytes (-1: missing) and time of modification of each image file.
        model: Model that embeds them.
        rule: Rule of the modalities.
        tolerance: Largest channel spread of an infrared image; see ``data.grey``.
        batch: Images per forward pass.
    """

    images: ListedImages
    stats: np.ndarray
    model: Model
    rule: ModalityRule
    tolerance: float
    batch: int

    def __len__(self) -> int:
        """Number of parts."""
        return -(-len(self.images.rows) // self.part_rows)

    @cached_property
    def part_rows(self) -> int:
        """Number of images of a part, a multiple of the batch; the last part has fewer."""
        height, width = self.model.size
        rows = min(PART, PART_BYTES // (height * width * 3))
        return max(1, rows // self.batch) * self.batch

    def rows_of(self, part: int) -> range:
        """Return the rows of a part."""
        first = part * self.part_rows
        return range(first, min(first + self.part_rows, len(self.images.rows)))

    @property
    def undecided(self) -> np.ndarray:
        """(N,) bool: rows with a modality that the pixels decide."""
        return self.images.rows.modalities == UNDECIDED

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Hash of all inputs of each part: model, rules, and path, modality, size and date of each image."""
        model = self.model
        common = {
            "root": str(self.images.root),
            "fingerprint": model.fingerprint,
            "pillow": PILLOW,
            "tolerance": self.tolerance,
            "batch": self.batch,
            "part": self.part_rows,
        }
        start = hashlib.sha256(json.dumps(common, sort_keys=True).encode())
        return tuple(self._key(start.copy(), self.rows_of(part)) for part in range(len(self)))

    def _key(self, total: Any, rows: range) -> str:
        index = slice(rows.start, rows.stop)
        total.update("\0".join(self.images.rows.paths[index].tolist()).encode())
        total.update(np.ascontiguousarray(self.images.rows.modalities[index]).tobytes())
        total.update(np.ascontiguousarray(self.stats[index]).astype("<i8").tobytes())
        return total.hexdigest()

    @cached_property
    def identifier(self) -> str:
        """Hash of all inputs of the file: the parts, and cameras, persons, times and further columns."""
        rows = self.images.rows
        total = hashlib.sha256("\0".join((self.rule, *self.keys)).encode())
        for numbers in (rows.camids, rows.pids):
            total.update(np.ascontiguousarray(numbers).astype("<i8").tobytes())
        for name, column in (("time", rows.times), *rows.columns.items()):
            total.update(f"\0{name} {column.dtype.kind}\0".encode())
            if column.dtype.kind == "U":
                total.update("\0".join(column.tolist()).encode())
            else:
                total.update(np.ascontiguousarray(column).tobytes())
        return total.hexdigest()


def with_rule(images: ListedImages, modality: Modality | None) -> tuple[ListedImages, ModalityRule]:
    """Apply the requested modality to a list.

    Args:
        images: Images; the modality of some may be undecided.
        modality: Modality of all images; None: that of the list or of the names, otherwise the pixels decide.

    Returns:
        The images, and the rule.
    """
    rows = images.rows
    if modality is None:
        undecided = bool((rows.modalities == UNDECIDED).any())
        return images, "auto" if undecided else "list"
    codes = np.full(len(rows), modality.code, dtype=np.uint8)
    return replace(images, rows=replace(rows, modalities=codes)), modality.value
