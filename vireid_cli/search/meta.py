"""Forms of the values in an index's table ``meta``, checked whenever they are read."""

from __future__ import annotations

import json
import sqlite3
from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from vireid_cli import documents

Count = Annotated[int, Field(ge=0, lt=2**62)]
Positive = Annotated[int, Field(ge=1, lt=2**62)]


@with_config(ConfigDict(strict=True, extra="forbid"))
class StructureMeta(TypedDict):
    """Description of an approximate structure.

    Keys: name and SHA-256 of its file, kind, number of covered rows, ``efSearch`` or ``nprobe`` and those
    of deeper searches, its recall@10 on a sample, and the number of principal components of HNSW (None: all
    values).
    """

    file: Annotated[str, Field(pattern=r"^(hnsw|ivf-pq)-[0-9]{6,}-[0-9]{9,}\.faiss$")]
    kind: Literal["hnsw", "ivf-pq"]
    covered: Count
    effort: Annotated[int, Field(ge=1, le=1 << 20)]
    deeper: NotRequired[
        Annotated[list[Annotated[int, Field(ge=1, le=1 << 20)] | None], Field(min_length=2, max_length=2)]
    ]
    recall: Annotated[float, Field(ge=0.0, le=1.0)]
    components: NotRequired[int | None]
    sha256: str


@with_config(ConfigDict(strict=True, extra="forbid"))
class IndexMeta(TypedDict):
    """Values of ``meta``.

    Keys: kind; path of the model; fingerprint and width of the embeddings, None before the first addition;
    number of the vector file and of its committed rows; number of the state, which every commit increases;
    the structure; time of creation; random identifier.
    """

    kind: Literal["exact", "hnsw", "ivf-pq"]
    model: str | None
    fingerprint: dict[str, Any] | None
    dimension: Annotated[int, Field(ge=1, le=1 << 20)] | None
    generation: Positive
    slots: Count
    version: Positive
    structure: StructureMeta | None
    created: str
    identifier: str


def all_meta(connection: sqlite3.Connection) -> IndexMeta:
    """Read all values of ``meta``.

    Raises:
        DataError: A value is missing or of another form.
    """
    rows = connection.execute("SELECT key, value FROM meta").fetchall()
    content = {
        str(key): documents.parse_json(str(value), "the table meta of the index") for key, value in rows
    }
    return documents.check_form(content, IndexMeta, "the table meta of the index")


def read_meta(connection: sqlite3.Connection, key: str) -> Any:
    """Read one value of ``meta``."""
    return cast(dict[str, Any], all_meta(connection))[key]


def write_meta(connection: sqlite3.Connection, key: str, value: Any) -> None:
    """Set a value of ``meta``; it must be a JSON value."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", [key, json.dumps(value)])
