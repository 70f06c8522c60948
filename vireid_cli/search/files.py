"""Files of embeddings as records of an index, and as queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vireid_cli.embedding_files.file import EmbeddingFile
from vireid_cli.embedding_files.rows import UNKNOWN
from vireid_cli.search.columns import CAMERA, MODALITY, PATH, PERSON, TIME
from vireid_cli.types import Modality


def record_columns(content: EmbeddingFile) -> dict[str, Sequence[Any]]:
    """Columns of a file's images as ``Index.add`` reads them."""
    rows = content.rows
    names = np.array([Modality.of(code).value for code in (0, 1)])
    return {
        PATH: rows.paths.tolist(),
        MODALITY: names[rows.modalities].tolist(),
        CAMERA: known_numbers(rows.camids),
        PERSON: known_numbers(rows.pids),
        TIME: rows.times.tolist(),
        **{name: column.tolist() for name, column in rows.columns.items()},
    }


def known_numbers(column: np.ndarray) -> list[int | None]:
    """Numbers of a column; None where the file does not know it."""
    return [None if number == UNKNOWN else number for number in column.tolist()]
