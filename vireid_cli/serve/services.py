"""Indexes and models of a server, with the queues of their requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vireid_cli.errors import DataError, OtherModel
from vireid_cli.processors import cores
from vireid_cli.search.records import IndexRecord, Match
from vireid_cli.serve.batching import Batcher
from vireid_cli.serve.limits import RequestRefused, ServeLimits
from vireid_cli.serve.uploads import ImageReader, ModalityChoice, QueryImage, decode_upload
from vireid_cli.types import Modality


class ServedModel(ImageReader, Protocol):
    """Model that embeds queries, such as ``engine.model.Model``."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Fingerprint of the embeddings."""
        ...

    def embed(self, images: list[np.ndarray], modality: Modality, *, batch: int, workers: int) -> np.ndarray:
        """Embed (h, w, 3) images of one modality: (N, D) float32."""
        ...


class SearchableIndex(Protocol):
    """Index of the package ``search``, in a folder or on a Qdrant server."""

    @property
    def kind(self) -> str:
        """Kind of the index."""
        ...

    @property
    def dimension(self) -> int | None:
        """Width of the vectors."""
        ...

    @property
    def columns(self) -> Mapping[str, str]:
        """Columns of filters, and their types."""
        ...

    @property
    def fingerprint(self) -> dict[str, Any] | None:
        """Fingerprint of the embeddings."""
        ...

    def search(
        self,
        vectors: np.ndarray,
        *,
        top: int,
        where: str | None,
        modality: str | None,
        query_cameras: Sequence[int | None] | None,
        rerank: bool,
        group_by: str | None,
        fingerprint: Mapping[str, Any] | None,
    ) -> list[list[Match]]:
        """Search (Q, D) vectors."""
        ...

    def records(self, *, where: str | None, offset: int, limit: int) -> list[IndexRecord]:
        """List records."""
        ...

    def count(self, where: str | None = None) -> int:
        """Count records."""
        ...

    def record(self, identifier: int | str) -> IndexRecord:
        """Return a record."""
        ...

    def vectors(self, identifiers: Sequence[int | str]) -> np.ndarray:
        """Return (n, D) vectors of records."""
        ...


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """Options of a search; requests with equal ones, of the same model, are searched together.

    Attributes:
        top: Number of matches.
        where: Filter, or None.
        modality: Modality of matches, or None for both.
        group_by: ``pid`` or ``path``, or None.
        exclude: Whether to exclude the cameras of the queries.
        rerank: Whether to re-rank.
    """

    top: int = 20
    where: str | None = None
    modality: str | None = None
    group_by: str | None = None
    exclude: bool = False
    rerank: bool = False


SearchQuery = tuple[np.ndarray, int | None]
"""(D,) vector and camera of a query."""


class EmbeddingQueue:
    """Queue of images of one model."""

    def __init__(self, model: ServedModel, limits: ServeLimits) -> None:
        self.model, self._limits = model, limits
        self._decoders = ThreadPoolExecutor(cores(), thread_name_prefix="decode")
        self._batches: Batcher[np.ndarray, np.ndarray] = Batcher(
            self._embed, window=limits.window, largest=limits.batch
        )

    async def decode(self, files: Sequence[tuple[str, bytes]], choice: ModalityChoice) -> list[QueryImage]:
        """Decode uploads in threads; see ``uploads.decode_upload`` for errors."""
        loop = asyncio.get_running_loop()
        decoding = [
            loop.run_in_executor(self._decoders, decode_upload, name, data, choice, self.model, self._limits)
            for name, data in files
        ]
        try:
            return list(await asyncio.gather(*decoding))
        finally:
            for task in decoding:
                task.cancel()

    async def embed(self, images: Sequence[QueryImage]) -> list[np.ndarray]:
        """Embed images: a (D,) float32 vector each."""
        places: dict[Modality, list[int]] = {}
        for place, image in enumerate(images):
            places.setdefault(image.modality, []).append(place)
        parts = await asyncio.gather(
            *(
                self._batches.submit(kind, [images[place].pixels for place in rows])
                for kind, rows in places.items()
            )
        )
        vectors = {
            place: vector
            for rows, part in zip(places.values(), parts, strict=True)
            for place, vector in zip(rows, part, strict=True)
        }
        return [vectors[place] for place in range(len(images))]

    def _embed(self, kind: Modality, pixels: list[np.ndarray]) -> list[np.ndarray]:
        return list(self.model.embed(pixels, kind, batch=self._limits.batch, workers=1))

    def observe(self, callback: Callable[[int], object]) -> None:
        """Set a callback with the number of items of each batch."""
        self._batches.observe = callback

    async def close(self) -> None:
        """Stop the threads."""
        await self._batches.close()
        self._decoders.shutdown(wait=True, cancel_futures=True)


class ServedIndex:
    """An index with the queue of its searches, and the queue of its model."""

    def __init__(
        self,
        name: str,
        index: SearchableIndex,
        embeddings: EmbeddingQueue | None,
        limits: ServeLimits,
    ) -> None:
        self.name, self.index, self.embeddings = name, index, embeddings
        self._batches: Batcher[SearchQuery, list[Match]] = Batcher(
            self._search, window=limits.window, largest=limits.batch
        )

    async def search(
        self,
        queries: Sequence[SearchQuery],
        options: QueryOptions,
        fingerprint: Mapping[str, Any] | None = None,
    ) -> list[list[Match]]:
        """Search queries.

        Args:
            queries: Vectors and cameras.
            options: Options of the search.
            fingerprint: Fingerprint of the model of the vectors; None if it is unknown.

        Raises:
            UsageError: The filter or an option is wrong.
            RequestRefused: The index has embeddings of another model by now (409).
        """
        model = json.dumps(fingerprint, sort_keys=True)
        try:
            return await self._batches.submit((options, model), queries)
        except OtherModel as error:
            raise RequestRefused(
                409,
                f"The index {self.name} has embeddings of another model than the query.",
                "Restart the server: it loads the model of the index.",
            ) from error

    def _search(self, key: tuple[QueryOptions, str], queries: list[SearchQuery]) -> list[list[Match]]:
        options, model = key
        return self.index.search(
            np.stack([vector for vector, _ in queries]),
            top=options.top,
            where=options.where,
            modality=options.modality,
            query_cameras=[camera for _, camera in queries] if options.exclude else None,
            rerank=options.rerank,
            group_by=options.group_by,
            fingerprint=json.loads(model),
        )

    def observe(self, callback: Callable[[int], object]) -> None:
        """Set a callback with the number of items of each batch."""
        self._batches.observe = callback

    async def close(self) -> None:
        """Stop the threads."""
        await self._batches.close()


@dataclass(frozen=True, slots=True)
class Services:
    """All that a server serves.

    Attributes:
        indexes: Indexes by name.
        limits: Limits of requests.
        images: Folder of the images that replaces those of the records; None keeps them.
    """

    indexes: Mapping[str, ServedIndex]
    limits: ServeLimits
    images: Path | None = None

    def index(self, name: str | None) -> ServedIndex:
        """Return an index by name; None: the only one.

        Raises:
            RequestRefused: There is no such index (404), or the name is missing (400).
        """
        if name is None and len(self.indexes) == 1:
            return next(iter(self.indexes.values()))
        if name is None:
            raise RequestRefused(400, "The index is missing.", f"Set index: {', '.join(self.indexes)}.")
        if name not in self.indexes:
            raise RequestRefused(404, "There is no such index.", f"Indexes: {', '.join(self.indexes)}.")
        return self.indexes[name]

    def sizes(self) -> dict[str, int]:
        """Number of records per index, without indexes that can't be read now."""
        sizes = {}
        for name, served in self.indexes.items():
            with suppress(DataError):
                sizes[name] = served.index.count()
        return sizes

    async def close(self) -> None:
        """Stop all queues."""
        models = {id(one.embeddings): one.embeddings for one in self.indexes.values() if one.embeddings}
        queues: list[ServedIndex | EmbeddingQueue] = [*self.indexes.values(), *models.values()]
        await asyncio.gather(*(queue.close() for queue in queues))


def model_queue(served: ServedIndex) -> EmbeddingQueue:
    """Return the queue of an index's model.

    Raises:
        RequestRefused: The server has no model for this index (409).
    """
    if served.embeddings is None:
        raise RequestRefused(
            409, f"No model is loaded for the index {served.name}.", "Start the server with --model."
        )
    return served.embeddings
