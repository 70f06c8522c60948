"""A checked file of embeddings in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vireid_cli.embedding_files.origin import HINT, EmbeddingOrigin
from vireid_cli.embedding_files.rows import ImageRows
from vireid_cli.errors import DataError

LENGTH_TOLERANCE = 1e-3
"""Accepted difference of a row's norm from 1."""

_ROWS = 8192
"""Number of rows per block of the checks, so that a large file is never copied as a whole."""


@dataclass(frozen=True, slots=True)
class EmbeddingFile:
    """Content of a file of embeddings.

    Attributes:
        path: Path of the file.
        origin: Model and rules of the computation.
        rows: The N images.
        features: (N, D) float32, rows of unit length. The inner product of two rows is their cosine
            similarity.
    """

    path: Path
    origin: EmbeddingOrigin
    rows: ImageRows
    features: np.ndarray

    def __len__(self) -> int:
        """Number of images, N."""
        return len(self.rows)

    def image(self, row: int) -> Path:
        """Return the path of the image file of a row, absolute if the origin's root is."""
        return Path(os.path.normpath(Path(self.origin.root) / str(self.rows.paths[row])))

    def checked(self) -> EmbeddingFile:
        """Return the file itself after checking all values.

        Raises:
            DataError: A column has another form or length, or a value is outside of its range.
        """
        if problem := self.rows.problem() or self._problem():
            raise DataError(f"{self.path}: {problem}.", HINT)
        return self

    def _problem(self) -> str:
        """Return the first problem of the embeddings; empty if there is none."""
        shape = (len(self.rows), self.origin.dimension)
        if self.features.shape != shape or self.features.dtype != np.float32:
            return f"embedding is {self.features.dtype} of shape {self.features.shape}; expected {shape}"
        for first in range(0, len(self.features), _ROWS):
            block = self.features[first : first + _ROWS].astype(np.float64)
            norms = np.sqrt(np.einsum("nd,nd->n", block, block))
            bad = np.flatnonzero(~(np.abs(norms - 1.0) <= LENGTH_TOLERANCE))  # NaN is never close
            if len(bad):
                return f"row {first + bad[0]}: the norm of its embedding is {norms[bad[0]]:.4g}, not 1"
        return ""
