"""Answers of the server, with their OpenAPI descriptions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from vireid_cli.printable import encodable
from vireid_cli.search.records import IndexRecord, Match

Text = Annotated[str, AfterValidator(encodable)]
"""Text of an answer. Bytes of a file name that are not UTF-8 become escapes, such as ``\\xff``."""


class RecordAnswer(BaseModel):
    """One image of an index."""

    id: int | Text
    path: Text = Field(description="Path as in the index.")
    modality: Text
    camid: int | None
    pid: int | None
    time: Text | None = Field(description="ISO 8601.")
    columns: dict[Text, int | float | Text | None] = Field(description="Other columns.")
    image: Text = Field(description="Address of the image, relative to the server.")


class MatchAnswer(BaseModel):
    """One match."""

    rank: int = Field(description="From 1.")
    score: float = Field(description="Cosine similarity.")
    distance: float | None = Field(description="Distance after re-ranking; null without.")
    record: RecordAnswer


class QueryAnswer(BaseModel):
    """Matches of one query, best first."""

    name: Text = Field(description="File name of the upload, or the path of the record.")
    modality: Text = Field(description="Modality with which the query was embedded.")
    matches: list[MatchAnswer]


class SearchAnswer(BaseModel):
    """Matches of all queries."""

    index: Text
    queries: list[QueryAnswer]
    seconds: float = Field(description="Time in the server.")


class EmbeddingAnswer(BaseModel):
    """Embedding of one image."""

    name: Text
    modality: Text
    embedding: list[float] = Field(description="Unit length.")


class EmbedAnswer(BaseModel):
    """Embeddings, and the fingerprint of their model."""

    embeddings: list[EmbeddingAnswer]
    fingerprint: dict[Text, Any]


class RecordsAnswer(BaseModel):
    """A part of the records of an index."""

    total: int = Field(description="Number of records that the filter selects.")
    offset: int
    records: list[RecordAnswer]


class IndexAnswer(BaseModel):
    """One index."""

    name: Text
    kind: Text
    records: int
    dimension: int | None
    columns: dict[Text, Text] = Field(description="Columns of filters, and their types.")
    searchable: bool = Field(description="Whether a model is loaded, so that images can be searched.")


class IndexesAnswer(BaseModel):
    """All indexes, and the limits of requests."""

    indexes: list[IndexAnswer]
    limits: dict[Text, float]


def record_answer(index: str, record: IndexRecord) -> RecordAnswer:
    """Convert a record; the folder of its image on the server is left out."""
    from urllib.parse import quote

    address = f"v1/index/{quote(index, safe='')}/records/{quote(str(record.id), safe='')}/image"
    return RecordAnswer(
        id=record.id,
        path=record.path,
        modality=record.modality,
        camid=record.camid,
        pid=record.pid,
        time=record.time,
        columns=dict(record.extra),
        image=address,
    )


def match_answer(index: str, match: Match) -> MatchAnswer:
    """Convert a match."""
    return MatchAnswer(
        rank=match.rank,
        score=match.score,
        distance=match.distance,
        record=record_answer(index, match.record),
    )
