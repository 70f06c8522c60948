"""The steps of a search in one state of an index: selection, products, re-ranking, groups, records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vireid_cli.errors import UsageError
from vireid_cli.search import ranking
from vireid_cli.search.adding import checked_vectors, refuse_other_fingerprint
from vireid_cli.search.approximate_search import nearest
from vireid_cli.search.columns import MODALITY, ColumnType
from vireid_cli.search.database import column_types
from vireid_cli.search.filters import ColumnComparison, Every, Filter, parse_filter
from vireid_cli.search.records import IndexRecord, Match, records_at
from vireid_cli.search.snapshot import Snapshot
from vireid_cli.types import Modality, Progress

GROUPS = ("pid", "path")

MOST_MATCHES = 10_000
"""Largest accepted number of matches per query."""

_GROUPED = 4
"""Candidates per requested group in the first step, and growth of later steps."""

_VALUES = 1 << 22
"""Largest number of candidates of a step, of all its queries together; a query may have more."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Options of a search.

    Attributes:
        top: Number of matches per query; of groups with ``group_by``.
        where: Filter of the records; see ``filters``.
        modality: ``visible`` or ``infrared``: search this modality only.
        query_cameras: Camera of each query; its records are excluded. None entries exclude nothing.
        rerank: Re-rank the ``ranking.RERANKED`` best matches by k-reciprocal encoding, or ``top`` if it is
            larger. Other records are no matches.
        group_by: ``pid`` or ``path``: the best match per person or image only, with ``rerank`` among the
            re-ranked ones. A record without a person is a group of its own.
        fingerprint: Fingerprint of the queries' model. It is compared with that of the searched state, which
            another process can replace at any time. None: the caller compared them.
    """

    top: int = 20
    where: str | None = None
    modality: str | None = None
    query_cameras: Sequence[int | None] | None = None
    rerank: bool = False
    group_by: str | None = None
    fingerprint: Mapping[str, Any] | None = None

    def check(self, queries: int) -> None:
        """Validate the options for a number of queries.

        Raises:
            UsageError: A value is out of range, or the number of cameras differs from that of the queries.
        """
        if not 1 <= self.top <= MOST_MATCHES:
            raise UsageError(f"--top {self.top}: expected 1 to {MOST_MATCHES:,}.")
        if self.group_by is not None and self.group_by not in GROUPS:
            raise UsageError(f"--group-by {self.group_by}: choose {' or '.join(GROUPS)}.")
        if self.query_cameras is not None and len(self.query_cameras) != queries:
            raise UsageError(f"{len(self.query_cameras)} cameras for {queries} queries.")

    def check_model(self, fingerprint: Mapping[str, Any] | None, name: str) -> None:
        """Compare the queries' model with that of an index's embeddings.

        Args:
            fingerprint: Fingerprint of the index, in the searched state.
            name: Name of the index.

        Raises:
            OtherModel: They differ.
        """
        if self.fingerprint is not None:
            refuse_other_fingerprint(fingerprint, self.fingerprint, name, "the query")

    @property
    def candidates(self) -> int:
        """Number of matches per query before re-ranking."""
        return max(self.top, ranking.RERANKED) if self.rerank else self.top


def search(
    state: Snapshot, vectors: np.ndarray, options: SearchOptions, progress: Progress | None = None
) -> list[list[Match]]:
    """Search one state of an index; see ``AnyIndex.search``."""
    if state.meta["dimension"] is None:
        return [[] for _ in vectors]
    options.check_model(state.meta["fingerprint"] if state.meta["slots"] else None, state.folder.name)
    queries = checked_vectors(vectors, state.meta["dimension"])
    tree = filter_of(options.where, options.modality, column_types(state.connection))
    shape = (len(queries), options.top)
    slots, scores = np.full(shape, -1), np.full(shape, -np.inf)
    distances = np.full(shape, np.inf) if options.rerank else None
    done = 0
    for camera, places in _by_camera(options.query_cameras, len(queries)):
        counted = behind(progress, done, len(queries))
        part = _ranked(state, queries[places], state.select(tree, camera), options, counted)
        done += len(places)
        slots[places], scores[places] = part[0], part[1]
        if distances is not None:
            distances[places] = part[2]
    return _matches(slots, scores, distances, records_at(state.connection, slots))


def _ranked(
    state: Snapshot,
    queries: np.ndarray,
    selected: np.ndarray | None,
    options: SearchOptions,
    progress: Progress | None,
) -> ranking.Ranked:
    """Search one selection for several queries."""
    if options.group_by is not None and not options.rerank:
        return _groups(state, queries, selected, options.group_by, options.top)
    slots, scores = nearest(state.structure(), queries, state.vectors, selected, options.candidates)
    ranked: ranking.Ranked = slots, scores, None
    if options.rerank:
        ranked = ranking.rerank(queries, slots, scores, lambda chosen: state.vectors[chosen], progress)
    if options.group_by is None:
        return _cut(ranked, options.top)
    marks = ranking.first_of_groups(ranked[0], state.values(ranked[0], options.group_by))
    return ranking.take_marked(ranked, marks, options.top)


def _groups(
    state: Snapshot, queries: np.ndarray, selected: np.ndarray | None, group_by: str, top: int
) -> ranking.Ranked:
    """Return the best row of each of the ``top`` best groups.

    Queries with too few groups among their candidates are searched again with more, in parts of
    ``_VALUES`` candidates.
    """
    slots, scores = np.full((len(queries), top), -1), np.full((len(queries), top), -np.inf)
    count = len(state.vectors) if selected is None else len(selected)
    fetch = min(count, top * _GROUPED)
    left = np.arange(len(queries))
    while len(left):
        size = max(1, _VALUES // max(1, fetch))
        unfinished = []
        for part in np.split(left, range(size, len(left), size)):
            ranked = nearest(state.structure(), queries[part], state.vectors, selected, max(fetch, top))
            marks = ranking.first_of_groups(ranked[0], state.values(ranked[0], group_by))
            slots[part], scores[part], _ = ranking.take_marked((*ranked, None), marks, top)
            unfinished.append(part[marks.sum(axis=1) < top])
        left = np.concatenate(unfinished) if fetch < count else left[:0]
        fetch = min(count, fetch * _GROUPED)
    return slots, scores, None


def behind(progress: Progress | None, before: int, every: int) -> Progress | None:
    """Progress of one group of queries, as part of that of all queries."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, every)


def filter_of(where: str | None, modality: str | None, columns: Mapping[str, ColumnType]) -> Filter | None:
    """Parse a filter and combine it with a modality; None if there is neither.

    Raises:
        UsageError: A wrong filter or modality.
    """
    parts: list[Filter] = []
    if modality is not None:
        if modality not in list(Modality):
            raise UsageError(f"there is no modality '{modality}'.", "Choose: visible or infrared")
        parts.append(ColumnComparison(MODALITY, "=", modality))
    if where is not None:
        parts.append(parse_filter(where, columns))
    return None if not parts else parts[0] if len(parts) == 1 else Every(tuple(parts))


def _by_camera(cameras: Sequence[int | None] | None, queries: int) -> Iterator[tuple[int | None, np.ndarray]]:
    """Yield each camera with the places of its queries; one group without a camera if none is excluded."""
    if cameras is None:
        yield None, np.arange(queries)
        return
    for camera in dict.fromkeys(cameras):
        yield camera, np.array([place for place, other in enumerate(cameras) if other == camera])


def _cut(ranked: ranking.Ranked, top: int) -> ranking.Ranked:
    """Keep the first ``top`` matches of each query."""
    slots, scores, distances = ranked
    return slots[:, :top], scores[:, :top], None if distances is None else distances[:, :top]


def _matches(
    slots: np.ndarray, scores: np.ndarray, distances: np.ndarray | None, records: Mapping[int, IndexRecord]
) -> list[list[Match]]:
    """Combine slots, scores and distances with the records."""
    return [
        [
            Match(
                records[int(slot)],
                float(scores[query, place]),
                place + 1,
                None if distances is None else float(distances[query, place]),
            )
            for place, slot in enumerate(row)
            if slot >= 0
        ]
        for query, row in enumerate(slots)
    ]
