"""Routes of the server."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, Form, Query, Request, Response, UploadFile

from vireid_cli.errors import UsageError
from vireid_cli.search.records import IndexRecord
from vireid_cli.serve import pictures
from vireid_cli.serve.limits import RequestRefused
from vireid_cli.serve.schemas import (
    EmbedAnswer,
    EmbeddingAnswer,
    IndexAnswer,
    IndexesAnswer,
    QueryAnswer,
    RecordAnswer,
    RecordsAnswer,
    SearchAnswer,
    match_answer,
    record_answer,
)
from vireid_cli.serve.services import QueryOptions, SearchQuery, ServedIndex, Services, model_queue
from vireid_cli.serve.uploads import ModalityChoice
from vireid_cli.version import __version__

router = APIRouter()

LONGEST_FILTER = 2000
MOST_MATCHES = 200
MOST_RECORDS = 1000

_IDENTIFIER = re.compile(r"[0-9]{1,18}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Number of a record in SQLite, or a UUID."""

Where = Annotated[str | None, Form(max_length=LONGEST_FILTER, description="Filter: camid in (3, 6)")]
IndexName = Annotated[str | None, Form(max_length=200, description="Index; may be left out if there is one.")]
Uploads = Annotated[list[UploadFile], File(description="Images of people: JPEG, PNG, BMP, TIFF or WebP.")]


def services(request: Request) -> Services:
    """Services of the application."""
    return request.app.state.services


ServicesOf = Annotated[Services, Depends(services)]


def search_options(
    top: Annotated[int, Form(ge=1, le=MOST_MATCHES, description="Number of matches.")] = 20,
    where: Where = None,
    gallery: Annotated[
        Literal["visible", "infrared"] | None, Form(description="Modality of matches.")
    ] = None,
    group_by: Annotated[
        Literal["pid", "path"] | None, Form(description="One match per person or path.")
    ] = None,
    exclude_same_camera: Annotated[bool, Form(description="Exclude the camera of the query.")] = False,
    rerank: Annotated[bool, Form(description="k-reciprocal re-ranking.")] = False,
) -> QueryOptions:
    """Options of a search from the fields of a form."""
    blank = where is None or not where.strip()
    return QueryOptions(top, None if blank else where, gallery, group_by, exclude_same_camera, rerank)


CAMERA_HINT = "Images: set camid. Records: use those with a camera."
"""Advice for queries whose camera is unknown."""

OptionsOf = Annotated[QueryOptions, Depends(search_options)]


@router.post("/v1/search", response_model=SearchAnswer, summary="Search with images or records")
async def search(
    provided: ServicesOf,
    options: OptionsOf,
    images: Annotated[list[UploadFile] | None, File(description="Images of people.")] = None,
    record: Annotated[list[str] | None, Form(description="Identifiers of records as queries.")] = None,
    index: IndexName = None,
    modality: Annotated[ModalityChoice, Form(description="Modality of the images.")] = "auto",
    camid: Annotated[int | None, Form(ge=0, description="Camera of the images.")] = None,
) -> SearchAnswer:
    """Rank the records of an index by similarity to each query."""
    started = time.perf_counter()
    served = provided.index(index)
    uploads, records = images or [], record or []
    if not uploads and not records:
        raise RequestRefused(400, "There is no query.", "Upload images, or set record.")
    if len(uploads) + len(records) > provided.limits.images:
        raise _too_many(provided)
    if camid is not None and not uploads:
        raise RequestRefused(400, "camid has no effect: records have their own cameras.", "Remove camid.")
    # before the vectors are read: the index may get embeddings of another model until the search
    fingerprint = await asyncio.to_thread(_fingerprint, served, bool(uploads))
    queries = await _image_queries(served, provided, uploads, modality, camid)
    queries += await _record_queries(served, records)
    if options.exclude and any(query.item[1] is None for query in queries):
        raise RequestRefused(400, "exclude_same_camera needs the camera of each query.", CAMERA_HINT)
    ranked = await served.search([query.item for query in queries], options, fingerprint)
    answers = [
        QueryAnswer(
            name=query.name,
            modality=query.modality,
            matches=[match_answer(served.name, match) for match in matches],
        )
        for query, matches in zip(queries, ranked, strict=True)
    ]
    return SearchAnswer(index=served.name, queries=answers, seconds=time.perf_counter() - started)


def _fingerprint(served: ServedIndex, embeds: bool) -> dict[str, Any] | None:
    """Fingerprint of the queries: of the model if it embeds images, else of the index's present state."""
    return model_queue(served).model.fingerprint if embeds else served.index.fingerprint


@dataclass(frozen=True, slots=True)
class _NamedQuery:
    name: str
    modality: str
    item: SearchQuery


async def _image_queries(
    served: ServedIndex,
    provided: Services,
    uploads: list[UploadFile],
    modality: ModalityChoice,
    camid: int | None,
) -> list[_NamedQuery]:
    """Decode and embed uploads."""
    if not uploads:
        return []
    queue = model_queue(served)
    decoded = await queue.decode(await _read(uploads, provided), modality)
    vectors = await queue.embed(decoded)
    return [
        _NamedQuery(image.name, image.modality.value, (vector, camid))
        for image, vector in zip(decoded, vectors, strict=True)
    ]


async def _record_queries(served: ServedIndex, identifiers: list[str]) -> list[_NamedQuery]:
    """Read the vectors of records."""
    if not identifiers:
        return []

    def read() -> list[_NamedQuery]:
        """Read the vectors of the records."""
        records = [_record(served, identifier) for identifier in identifiers]
        vectors = served.index.vectors([record.id for record in records])
        return [
            _NamedQuery(record.path, record.modality, (vector, record.camid))
            for record, vector in zip(records, vectors, strict=True)
        ]

    return await asyncio.to_thread(read)


def _record(served: ServedIndex, identifier: str) -> IndexRecord:
    """Return a record of an index.

    Raises:
        RequestRefused: There is none (404).
    """
    try:
        if not _IDENTIFIER.fullmatch(identifier):
            raise UsageError(f"index {served.name} has no such record.")
        return served.index.record(identifier)
    except UsageError as error:
        raise RequestRefused(404, error.message, error.hint) from error


@router.post("/v1/embed", response_model=EmbedAnswer, summary="Embed images")
async def embed(
    provided: ServicesOf,
    images: Uploads,
    index: IndexName = None,
    modality: Annotated[ModalityChoice, Form(description="Modality of the images.")] = "auto",
) -> EmbedAnswer:
    """Embed images with the model of an index."""
    queue = model_queue(provided.index(index))
    decoded = await queue.decode(await _read(images, provided), modality)
    vectors = await queue.embed(decoded)
    return EmbedAnswer(
        embeddings=[
            EmbeddingAnswer(name=image.name, modality=image.modality.value, embedding=vector.tolist())
            for image, vector in zip(decoded, vectors, strict=True)
        ],
        fingerprint=queue.model.fingerprint,
    )


async def _read(uploads: list[UploadFile], provided: Services) -> list[tuple[str, bytes]]:
    """Read uploads as (name, content)."""
    if len(uploads) > provided.limits.images:
        raise _too_many(provided)
    return [
        ((upload.filename or f"image {number}")[:200], await upload.read())
        for number, upload in enumerate(uploads, 1)
    ]


def _too_many(provided: Services) -> RequestRefused:
    return RequestRefused(413, f"A request has at most {provided.limits.images} queries.", "Split it.")


@router.get("/v1/indexes", response_model=IndexesAnswer, summary="List indexes")
def list_served(provided: ServicesOf) -> IndexesAnswer:
    """List the indexes that can be read, and the limits of requests."""
    listed = [
        IndexAnswer(
            name=name,
            kind=served.index.kind,
            records=records,
            dimension=served.index.dimension,
            columns=dict(served.index.columns),
            searchable=served.embeddings is not None,
        )
        for name, records in provided.sizes().items()
        for served in (provided.indexes[name],)
    ]
    limits = provided.limits
    return IndexesAnswer(
        indexes=listed,
        limits={"body": limits.body, "pixels": limits.pixels, "images": limits.images},
    )


@router.get("/v1/index/{name}/records", response_model=RecordsAnswer, summary="List records")
def list_records(
    name: str,
    provided: ServicesOf,
    where: Annotated[str | None, Query(max_length=LONGEST_FILTER, description="Filter.")] = None,
    offset: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=0, le=MOST_RECORDS)] = 100,
) -> RecordsAnswer:
    """List the records that a filter selects."""
    served = provided.index(name)
    listed = served.index.records(where=where or None, offset=offset, limit=limit) if limit else []
    return RecordsAnswer(
        total=served.index.count(where or None),
        offset=offset,
        records=[record_answer(name, record) for record in listed],
    )


@router.get("/v1/index/{name}/records/{identifier}", response_model=RecordAnswer, summary="Get a record")
def show_record(name: str, identifier: str, provided: ServicesOf) -> RecordAnswer:
    """Return one record."""
    return record_answer(name, _record(provided.index(name), identifier))


@router.get(
    "/v1/index/{name}/records/{identifier}/image",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
    summary="Get the image of a record",
)
def show_image(
    name: str,
    identifier: str,
    provided: ServicesOf,
    height: Annotated[int, Query(ge=16, le=2048, description="Largest height in pixels.")] = 256,
) -> Response:
    """Return the image of a record as JPEG."""
    record = _record(provided.index(name), identifier)
    content = pictures.picture(record, height, provided.limits.pixels, provided.images)
    return Response(content, media_type="image/jpeg", headers={"cache-control": "private, max-age=300"})


@router.get("/health", summary="State of the server")
async def health(request: Request) -> dict[str, str]:
    """Return ``ok``, or ``stopping`` while the last requests are answered."""
    stopping = getattr(request.state, "stopping", False)
    return {"status": "stopping" if stopping else "ok", "version": __version__}
