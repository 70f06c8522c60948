"""The collection of an index on a Qdrant server: its description, and errors of the client."""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vireid_cli import documents
from vireid_cli.errors import DataError, UsageError
from vireid_cli.files import write_json
from vireid_cli.search.columns import FIXED, TIME, ColumnType
from vireid_cli.search.contract import Kind
from vireid_cli.search.qdrant_filter import key_of, qdrant

POINTER = "qdrant.json"
"""File in the folder of an index that names its server and collection."""

KEY_VARIABLE = "VIREID_QDRANT_API_KEY"
"""Environment variable with the API key of the server; it is never stored."""

METADATA = "vireid"
"""Key of the collection's metadata with ``Collection``."""

PAGE = 1_000
"""Points per request when all are read."""

_NAMESPACE = uuid.UUID("5b1f6a1e-2f5c-5c0a-9d4e-2a9d7a1c3e77")


@dataclass(frozen=True, slots=True)
class Pointer:
    """Server and collection of an index, in its folder.

    Attributes:
        url: ``http://…`` or ``https://…``; an absolute folder for the client's local mode, which suits tests.
        collection: Name of the collection.
        kind: ``exact`` or ``hnsw``.
        model: Path of the model that embeds queries, or None.
        created: Time of ISO 8601.
    """

    url: str
    collection: str
    kind: Kind
    model: str | None
    created: str

    def write(self, folder: Path) -> None:
        """Write the pointer atomically."""
        write_json(folder / POINTER, documents.sealed(asdict(self)))

    @staticmethod
    def read(folder: Path) -> Pointer:
        """Read the pointer of an index.

        Raises:
            DataError: The file is damaged.
        """
        content = documents.read_json(folder / POINTER)
        documents.check_seal(content, str(folder / POINTER))
        names = Pointer.__slots__
        if not isinstance(content, dict) or any(name not in content for name in names):
            raise DataError(f"{folder / POINTER} is not of the form that vireid writes.")
        return Pointer(**{name: content[name] for name in names})


@dataclass(frozen=True, slots=True)
class Collection:
    """Description of a collection, stored in its metadata on the server, so that all machines agree.

    Attributes:
        fingerprint: Fingerprint of the embeddings.
        dimension: Width of the vectors.
        columns: Types of the columns of the user's lists.
    """

    fingerprint: dict[str, Any]
    dimension: int
    columns: dict[str, ColumnType] = field(default_factory=dict)


def connect(url: str) -> Any:
    """Create a client.

    Raises:
        MissingExtra: The client is not installed.
        UsageError: The URL is neither http(s) nor the absolute path of a folder.
    """
    client = qdrant().QdrantClient
    if url.startswith(("http://", "https://")):
        return client(url=url, api_key=os.environ.get(KEY_VARIABLE) or None, check_compatibility=False)
    if "://" in url or not Path(url).is_absolute():  # localhost:6333 is no folder
        raise UsageError(f"--url {url}: expected http://HOST:PORT or https://HOST:PORT.")
    return client(path=url)


def point_id(root: str, path: str, modality: str) -> str:
    """Identifier of a record: the same on every machine, so that additions can be repeated."""
    return str(uuid.uuid5(_NAMESPACE, f"{root}\0{path}\0{modality}"))


def read_collection(client: Any, name: str) -> Collection | None:
    """Read the description of a collection; None if it does not exist.

    Raises:
        DataError: The collection was not created by vireid.
    """
    if not client.collection_exists(name):
        return None
    stored = (client.get_collection(name).config.metadata or {}).get(METADATA)
    if not isinstance(stored, dict):
        raise DataError(
            f"the collection '{name}' was not created by vireid.", "Choose another name for the index."
        )
    return Collection(stored["fingerprint"], stored["dimension"], stored["columns"])


def write_collection(client: Any, name: str, collection: Collection, *, new: bool) -> None:
    """Create a collection, or update its description; then create the missing payload indexes.

    Every column that a filter can use gets an index.
    """
    models = qdrant().models
    metadata = {METADATA: asdict(collection)}
    if new:
        vectors = models.VectorParams(size=collection.dimension, distance=models.Distance.DOT)
        client.create_collection(name, vectors_config=vectors, metadata=metadata)
    else:
        client.update_collection(name, metadata=metadata)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # local mode warns that it has no indexes
        for column, kind in payload_schema(collection.columns).items():
            client.create_payload_index(name, key_of(column), kind)


def payload_schema(columns: Mapping[str, ColumnType]) -> dict[str, Any]:
    """Qdrant's index type of each column."""
    kinds = qdrant().models.PayloadSchemaType
    names = {"integer": kinds.INTEGER, "real": kinds.FLOAT, "text": kinds.KEYWORD}
    schema = {name: names[kind] for name, kind in {**FIXED, **columns}.items()}
    return schema | {TIME: kinds.DATETIME}


def pages(client: Any, name: str, condition: Any, *, vectors: bool) -> Iterator[list[Any]]:
    """Yield the points that a condition selects, in the order of identifiers, ``PAGE`` at a time.

    Args:
        client: Client of the server.
        name: Name of the collection; a missing one has no points.
        condition: Filter of Qdrant, or None.
        vectors: Whether the points have their vectors.
    """
    if not client.collection_exists(name):
        return
    offset = None
    while True:
        points, offset = client.scroll(
            name, condition, limit=PAGE, offset=offset, with_payload=True, with_vectors=vectors
        )
        yield points
        if offset is None:
            return


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Convert the client's errors to ``DataError``."""
    errors = qdrant().http.exceptions
    try:
        yield
    except errors.UnexpectedResponse as error:
        raise DataError(f"the Qdrant server {url} refused: {error.reason_phrase} {_reason(error)}") from error
    except errors.ApiException as error:
        advice = f"Start the server, or check --url and ${KEY_VARIABLE}."
        raise DataError(f"the Qdrant server {url} can't be reached: {error}", advice) from error
    except RuntimeError as error:
        if "already accessed" not in str(error):
            raise
        raise DataError(f"{url} is used by another process.", "Wait until it ends.") from error


def _reason(error: Any) -> str:
    """The server's text, shortened."""
    return documents.shorten(error.content.decode("utf-8", "replace"))
