"""Queries of a search: their vectors, names, cameras and image files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vireid_cli.embedding_files.file import EmbeddingFile
from vireid_cli.errors import UsageError
from vireid_cli.search.files import known_numbers
from vireid_cli.types import Modality


@dataclass(frozen=True, slots=True)
class Queries:
    """Queries in a fixed order.

    Attributes:
        names: Path of each query, as given or as in its file of embeddings.
        images: Image file of each query.
        modalities: ``visible`` or ``infrared``.
        camids: Camera of each query, or None.
        pids: Person of each query, or None.
        features: (Q, D) float32, rows of unit length.
    """

    names: tuple[str, ...]
    images: tuple[Path, ...]
    modalities: tuple[str, ...]
    camids: tuple[int | None, ...]
    pids: tuple[int | None, ...]
    features: np.ndarray

    def __len__(self) -> int:
        """Number of queries, Q."""
        return len(self.names)

    def as_json(self) -> list[Mapping[str, Any]]:
        """Name, modality and camera of each query."""
        return [
            {"query": name, "modality": modality, "camid": camid}
            for name, modality, camid in zip(self.names, self.modalities, self.camids, strict=True)
        ]

    def known_cameras(self) -> tuple[int | None, ...]:
        """Cameras of the queries.

        Raises:
            UsageError: The camera of a query is unknown.
        """
        for name, camid in zip(self.names, self.camids, strict=True):
            if camid is None:
                raise UsageError(
                    f"--exclude-same-camera: the camera of the query {name} is unknown.",
                    "Images: set --camera. Files of embeddings: embed again from a list with camid.",
                )
        return self.camids


def queries_of(content: EmbeddingFile) -> Queries:
    """Take the rows of a file of embeddings as queries."""
    rows = content.rows
    return Queries(
        tuple(rows.paths.tolist()),
        tuple(content.image(row) for row in range(len(rows))),
        tuple(Modality.of(code).value for code in rows.modalities),
        tuple(known_numbers(rows.camids)),
        tuple(known_numbers(rows.pids)),
        content.features,
    )


def joined(parts: Sequence[Queries]) -> Queries:
    """Concatenate queries of the same width.

    Raises:
        UsageError: There is none, or their widths differ.
    """
    if not parts or not sum(map(len, parts)):
        raise UsageError("there is no query.", "Give an image or a file of embeddings.")
    if len({part.features.shape[1] for part in parts}) > 1:
        raise UsageError("the queries have embeddings of different widths.")
    return Queries(
        tuple(name for part in parts for name in part.names),
        tuple(image for part in parts for image in part.images),
        tuple(modality for part in parts for modality in part.modalities),
        tuple(camid for part in parts for camid in part.camids),
        tuple(pid for part in parts for pid in part.pids),
        np.concatenate([part.features for part in parts]),
    )
