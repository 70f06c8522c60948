"""Searches in a collection of Qdrant, one batch of queries per request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vireid_cli.metrics.rerank import k_reciprocal
from vireid_cli.search.columns import CAMERA, FIXED
from vireid_cli.search.pipeline import SearchOptions
from vireid_cli.search.qdrant_filter import EXTRA, key_of, qdrant
from vireid_cli.search.records import IndexRecord, Match

_GROUPED = 4
"""Candidates per requested group in the first request, and growth of later ones."""


def record_of(point: Any) -> IndexRecord:
    """Convert a point to a record."""
    payload = point.payload
    fixed = {name: payload.get(name) for name in FIXED}
    return IndexRecord(id=str(point.id), root=payload["root"], extra=dict(payload.get(EXTRA, {})), **fixed)


def search_points(
    client: Any, name: str, queries: np.ndarray, condition: Any, options: SearchOptions, exact: bool
) -> list[list[Match]]:
    """Return the matches of each query.

    Args:
        client: Client of the server.
        name: Name of the collection.
        queries: (Q, D) float32.
        condition: Filter of Qdrant, or None.
        options: Options of the search.
        exact: Compare with every record instead of using the server's HNSW.
    """
    cameras = options.query_cameras or [None] * len(queries)
    filters = [_without_camera(condition, camera) for camera in cameras]
    count = options.candidates * (_GROUPED if options.group_by else 1)
    results: list[list[Match]] = [[] for _ in queries]
    left = list(range(len(queries)))
    while left:
        rows = _request(client, name, queries[left], [filters[i] for i in left], count, options, exact)
        unfinished = []
        for place, points in zip(left, rows, strict=True):
            results[place] = _matches(queries[place], points, options)
            if options.group_by and len(results[place]) < options.top and len(points) == count:
                unfinished.append(place)  # more candidates can have more groups
        left, count = unfinished, count * _GROUPED
    return results


def _request(
    client: Any,
    name: str,
    queries: np.ndarray,
    filters: Sequence[Any],
    count: int,
    options: SearchOptions,
    exact: bool,
) -> list[list[Any]]:
    """Return the best points of each query."""
    models = qdrant().models
    requests = [
        models.QueryRequest(
            query=query.tolist(),
            filter=condition,
            limit=count,
            params=models.SearchParams(exact=exact),
            with_payload=True,
            with_vector=options.rerank,
        )
        for query, condition in zip(queries, filters, strict=True)
    ]
    return [answer.points for answer in client.query_batch_points(name, requests)]


def _matches(query: np.ndarray, points: Sequence[Any], options: SearchOptions) -> list[Match]:
    """Order the points of one query, re-rank and group them."""
    ordered = sorted(points, key=lambda point: (-point.score, point.payload["path"], str(point.id)))
    distances: list[float | None] = [None] * len(ordered)
    if options.rerank and ordered:
        vectors = np.array([point.vector for point in ordered], np.float32)
        values = k_reciprocal(query[None], vectors)[0]
        order = np.argsort(values, kind="stable").tolist()
        ordered, distances = [ordered[i] for i in order], [float(values[i]) for i in order]
    seen: set[Any] = set()
    result: list[Match] = []
    for point, distance in zip(ordered, distances, strict=True):
        if options.group_by:
            group = point.payload.get(options.group_by)
            if group is not None and group in seen:
                continue
            seen.add(group)
        result.append(Match(record_of(point), float(point.score), len(result) + 1, distance))
        if len(result) == options.top:
            break
    return result


def _without_camera(condition: Any, camera: int | None) -> Any:
    """Add the exclusion of a camera to a filter; points without a camera remain."""
    if camera is None:
        return condition
    models = qdrant().models
    excluded = models.FieldCondition(key=key_of(CAMERA), match=models.MatchValue(value=camera))
    return models.Filter(must=None if condition is None else [condition], must_not=[excluded])
