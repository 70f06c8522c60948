"""Searches in a collection of Qdrant, one batch of queries per request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vireid_cli.search.columns import CAMERA, FIXED
from vireid_cli.search.pipeline import SearchOptions, behind
from vireid_cli.search.qdrant_filter import EXTRA, key_of, qdrant
from vireid_cli.search.ranking import rerank
from vireid_cli.search.records import IndexRecord, Match
from vireid_cli.types import Progress

RankedPoint = tuple[Any, float | None]
"""A point and its re-ranked distance; None without re-ranking."""

_GROUPED = 4
"""Candidates per requested group in the first request, and growth of later ones."""

_POINTS = 1 << 16
"""Largest number of points of an answer, of all its queries together; a query may have more."""


def record_of(point: Any) -> IndexRecord:
    """Convert a point to a record."""
    payload = point.payload
    fixed = {name: payload.get(name) for name in FIXED}
    return IndexRecord(id=str(point.id), root=payload["root"], extra=dict(payload.get(EXTRA, {})), **fixed)


def search_points(
    client: Any,
    name: str,
    queries: np.ndarray,
    condition: Any,
    options: SearchOptions,
    exact: bool,
    progress: Progress | None = None,
) -> list[list[Match]]:
    """Return the matches of each query.

    Args:
        client: Client of the server.
        name: Name of the collection.
        queries: (Q, D) float32.
        condition: Filter of Qdrant, or None.
        options: Options of the search.
        exact: Compare with every record instead of using the server's HNSW.
        progress: Called with the numbers of re-ranked and of all queries.
    """
    cameras = options.query_cameras or [None] * len(queries)
    filters = [_without_camera(condition, camera) for camera in cameras]
    growing = bool(options.group_by) and not options.rerank
    count = options.candidates * (_GROUPED if growing else 1)
    results: list[list[Match]] = [[] for _ in queries]
    left = list(range(len(queries)))
    while left:
        size = max(1, _POINTS // count)
        unfinished = []
        for first in range(0, len(left), size):
            part = left[first : first + size]
            rows = _request(client, name, queries[part], [filters[i] for i in part], count, options, exact)
            counted = behind(progress, first, len(left))
            ranked = _reranked(queries[part], rows, counted) if options.rerank else _sorted(rows)
            for place, points in zip(part, ranked, strict=True):
                results[place] = _matches(points, options)
                if growing and len(results[place]) < options.top and len(points) == count:
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


def _sorted(rows: Sequence[Sequence[Any]]) -> list[list[RankedPoint]]:
    """Order the points of each query by score, then by path."""
    return [
        [(p, None) for p in sorted(points, key=lambda p: (-p.score, p.payload["path"], str(p.id)))]
        for points in rows
    ]


def _reranked(
    queries: np.ndarray, rows: Sequence[Sequence[Any]], progress: Progress | None
) -> list[list[RankedPoint]]:
    """Order the points of each query by k-reciprocal encoding, see ``ranking.rerank``."""
    ordered = [[point for point, _ in points] for points in _sorted(rows)]
    numbers: dict[str, int] = {}
    vectors: list[np.ndarray] = []
    slots = np.full((len(ordered), max(map(len, ordered), default=0)), -1)
    for place, points in enumerate(ordered):
        for column, point in enumerate(points):
            if str(point.id) not in numbers:
                numbers[str(point.id)] = len(vectors)
                vectors.append(np.array(point.vector, np.float32))
            slots[place, column] = numbers[str(point.id)]
    every = np.array(vectors)
    columns = np.broadcast_to(np.arange(slots.shape[1]), slots.shape)  # ``rerank`` permutes them
    _, order, distances = rerank(queries, slots, columns, lambda chosen: every[chosen], progress)
    assert distances is not None  # ``rerank`` always returns them
    return [
        [(points[column], float(value)) for column, value in zip(own, values, strict=True) if value < np.inf]
        for points, own, values in zip(ordered, order.tolist(), distances, strict=True)
    ]


def _matches(points: Sequence[RankedPoint], options: SearchOptions) -> list[Match]:
    """Group the ordered points of one query and limit them."""
    seen: set[Any] = set()
    result: list[Match] = []
    for point, distance in points:
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
